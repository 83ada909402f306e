import type { StackColumns } from '../call-tree.ts'
import { profileError } from '../errors.ts'
import type { Profile, TreeFrame, ValueType } from '../model.ts'
import { DEFAULT_TEXT_LIMITS, ProfileBuilder, type TextLimits } from './profile-builder.ts'

export interface SpeedscopeProfile {
  name: string
  profile: Profile
}

/** speedscope's units, what they become, and by which factor. */
const UNITS: Record<string, [ValueType, number]> = {
  none: [{ type: 'samples', unit: 'count' }, 1],
  nanoseconds: [{ type: 'time', unit: 'nanoseconds' }, 1],
  microseconds: [{ type: 'time', unit: 'nanoseconds' }, 1e3],
  milliseconds: [{ type: 'time', unit: 'nanoseconds' }, 1e6],
  seconds: [{ type: 'time', unit: 'nanoseconds' }, 1e9],
  bytes: [{ type: 'space', unit: 'bytes' }, 1],
}

/**
 * Reads a speedscope file (www.speedscope.app/file-format-schema.json), sampled and evented profiles, each
 * becomes one. Time becomes nanoseconds. Evented profiles are summed by stack: order and gaps are lost.
 * Throws SPEEDSCOPE_INVALID, which names the place, and TEXT_LIMIT.
 */
export function parseSpeedscope(text: string, limits: TextLimits = DEFAULT_TEXT_LIMITS): SpeedscopeProfile[] {
  let file: unknown
  try {
    file = JSON.parse(text)
  } catch (error) {
    throw invalid('the file', `is no JSON: ${(error as Error).message}`)
  }
  const root = object(file, 'the file')
  const frames = array(object(root.shared, 'shared').frames, 'shared.frames').map((frame, i) => {
    const { name, file, line } = object(frame, `shared.frames[${i}]`)
    if (typeof name !== 'string') throw invalid(`shared.frames[${i}].name`, 'is no text')
    return { name, file: typeof file === 'string' ? file : '', line: isLine(line) ? line : 0 }
  })
  return array(root.profiles, 'profiles').map((entry, i) => {
    const at = `profiles[${i}]`
    const source = object(entry, at)
    const unit = typeof source.unit === 'string' ? source.unit : ''
    const known = Object.hasOwn(UNITS, unit) ? UNITS[unit] : undefined
    if (known === undefined)
      throw invalid(`${at}.unit`, `"${unit.slice(0, 50)}" is not one of ${Object.keys(UNITS).join(', ')}`)
    const [sampleType, factor] = known
    const builder = new ProfileBuilder(sampleType, limits)
    const locations = frames.map(({ name, file, line }) => builder.location(name, file, line))
    const toValue = (value: unknown, place: string): bigint => {
      const scaled = Math.round(number(value, place) * factor)
      if (!(Math.abs(scaled) < 2 ** 63)) throw invalid(place, 'is too large')
      return BigInt(scaled)
    }
    const location = (index: unknown, place: string): number => {
      const found = typeof index === 'number' ? locations[index] : undefined
      if (found === undefined) throw invalid(place, 'is no frame of shared.frames')
      return found
    }
    if (source.type === 'sampled') addSamples(source, at, builder, toValue, location)
    else if (source.type === 'evented') addEvents(source, at, builder, toValue, location, limits)
    else throw invalid(`${at}.type`, 'is neither "sampled" nor "evented"')
    return { name: typeof source.name === 'string' ? source.name : '', profile: builder.build() }
  })
}

type ToValue = (value: unknown, place: string) => bigint
type ToLocation = (index: unknown, place: string) => number

function addSamples(
  source: Record<string, unknown>,
  at: string,
  builder: ProfileBuilder,
  toValue: ToValue,
  location: ToLocation,
): void {
  const samples = array(source.samples, `${at}.samples`)
  const weights = array(source.weights, `${at}.weights`)
  if (samples.length !== weights.length) {
    throw invalid(`${at}.weights`, `has ${weights.length} entries for ${samples.length} samples`)
  }
  for (const [i, sample] of samples.entries()) {
    const place = `${at}.samples[${i}]`
    const stack = array(sample, place).map(index => location(index, place))
    builder.addStack(stack.reverse(), toValue(weights[i], `${at}.weights[${i}]`))
  }
}

/** Time between two events goes to the frames that are open. */
function addEvents(
  source: Record<string, unknown>,
  at: string,
  builder: ProfileBuilder,
  toValue: ToValue,
  location: ToLocation,
  limits: TextLimits,
): void {
  // A tree of the stacks that were open: its nodes are bounded by the events, a list of stacks is not.
  const parents = [-1]
  const nodeLocations = [-1]
  const weights = [0n]
  const children = new Map<string, number>()
  const depths = [0]
  let node = 0
  let last = toValue(source.startValue, `${at}.startValue`)
  const advance = (time: bigint, place: string): void => {
    if (time < last) throw invalid(place, 'lies before the event in front of it')
    weights[node]! += time - last
    last = time
  }
  for (const [i, entry] of array(source.events, `${at}.events`).entries()) {
    const place = `${at}.events[${i}]`
    const event = object(entry, place)
    advance(toValue(event.at, `${place}.at`), `${place}.at`)
    const frame = location(event.frame, `${place}.frame`)
    if (event.type === 'O') {
      const key = `${node}:${frame}`
      let child = children.get(key)
      if (child === undefined) {
        child = parents.push(node) - 1
        nodeLocations.push(frame)
        weights.push(0n)
        depths.push(depths[node]! + 1)
        children.set(key, child)
        if (depths[child]! > limits.maxStackDepth) {
          throw invalid(
            place,
            `opens frame ${depths[child]}, the limit is ${limits.maxStackDepth} (maxStackDepth)`,
          )
        }
      }
      node = child
    } else if (event.type === 'C') {
      if (nodeLocations[node] !== frame)
        throw invalid(place, 'closes a frame that is not the innermost open one')
      node = parents[node]!
    } else throw invalid(`${place}.type`, 'is neither "O" nor "C"')
  }
  advance(toValue(source.endValue, `${at}.endValue`), `${at}.endValue`)
  for (let leaf = 1; leaf < parents.length; leaf++) {
    if (weights[leaf] === 0n) continue
    const stack: number[] = []
    for (let each = leaf; each > 0; each = parents[each]!) stack.push(nodeLocations[each]!)
    builder.addStack(stack, weights[leaf]!)
  }
}

/** One sampled profile as a speedscope file. Units that speedscope does not know become 'none'. */
export function formatSpeedscope(
  name: string,
  unit: string,
  stacks: StackColumns,
  values: ArrayLike<number>,
  frames: readonly TreeFrame[],
): string {
  const samples: number[][] = []
  const weights: number[] = []
  let total = 0
  for (let stack = 0; stack < values.length; stack++) {
    const sample: number[] = []
    for (let at = stacks.stackOffset[stack + 1]! - 1; at >= stacks.stackOffset[stack]!; at--) {
      sample.push(stacks.stackFrame[at]!)
    }
    samples.push(sample)
    weights.push(values[stack]!)
    total += values[stack]!
  }
  return JSON.stringify({
    $schema: 'https://www.speedscope.app/file-format-schema.json',
    version: '0.0.1',
    exporter: 'strobe',
    name,
    activeProfileIndex: 0,
    shared: {
      frames: frames.map(({ name, file }) => (file === '' ? { name } : { name, file })),
    },
    profiles: [
      {
        type: 'sampled',
        name,
        unit: Object.hasOwn(UNITS, unit) ? unit : 'none',
        startValue: 0,
        endValue: total,
        samples,
        weights,
      },
    ],
  })
}

function object(value: unknown, place: string): Record<string, unknown> {
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw invalid(place, 'is no object')
  return value as Record<string, unknown>
}

function array(value: unknown, place: string): unknown[] {
  if (!Array.isArray(value)) throw invalid(place, 'is no list')
  return value
}

function number(value: unknown, place: string): number {
  if (typeof value !== 'number' || !Number.isFinite(value)) throw invalid(place, 'is no number')
  return value
}

function isLine(value: unknown): value is number {
  return typeof value === 'number' && Number.isInteger(value) && value >= 0 && value <= 0xffffffff
}

function invalid(place: string, reason: string): Error {
  return profileError('SPEEDSCOPE_INVALID', `${place} ${reason}`, { place })
}
