import { readdir, stat } from 'node:fs/promises'
import { join } from 'node:path'
import {
  type ComparedReplicate,
  type ComparedSide,
  columnStacks,
  matchProfileType,
  type Profile,
  profileNameOf,
  profileTypeId,
  resolveStacks,
  selfWeights,
  storedSampleTypes,
  type TreeFrame,
  type WeightedStacks,
} from '@strobe/profile'
import { CliError } from '../command.ts'
import { readProfileFile } from './read-profile-file.ts'

export interface FileSide {
  side: ComparedSide
  /** Profile type ids of the column that was read, one per distinct type. */
  types: string[]
  unit: string
}

/**
 * A file, or a folder whose files are replicates: recordings of the same thing, which tell how much it varies
 * from one to the next. wantedType: '' for the only or the first type.
 */
export async function readSide(path: string, wantedType: string): Promise<FileSide> {
  const files = await listFiles(path)
  const parts: { stacks: WeightedStacks; replicate: ComparedReplicate }[] = []
  const types = new Set<string>()
  let unit = ''
  for (const file of files) {
    const profiles = await readProfileFile(file)
    // Profiles of one file are parts of one recording.
    const replicates = profiles.map(profile => {
      const column = chooseColumn(profile, wantedType, file)
      types.add(typeIdOf(profile, column))
      unit = profile.sampleTypes[column]!.unit
      const stacks = columnStacks(resolveStacks(profile), column)
      return {
        stacks,
        replicate: {
          self: selfWeights(stacks),
          samples: countSamples(profile, column),
          seconds: Number(profile.durationNanos) / 1e9,
        },
      }
    })
    parts.push(...replicates)
  }
  return { side: joinParts(parts), types: [...types].sort(), unit }
}

async function listFiles(path: string): Promise<string[]> {
  const facts = await stat(path).catch((error: Error) => {
    throw new CliError(`${path}: ${error.message}`, 1, { cause: error })
  })
  if (!facts.isDirectory()) return [path]
  const entries = await readdir(path, { withFileTypes: true })
  const files = entries
    .filter(entry => entry.isFile() && !entry.name.startsWith('.'))
    .map(entry => join(path, entry.name))
    .sort()
  if (files.length === 0) throw new CliError(`${path} holds no files`)
  return files
}

function typeIdOf(profile: Profile, column: number): string {
  return profileTypeId(profileNameOf(profile), profile.sampleTypes[column]!, profile.periodType)
}

function chooseColumn(profile: Profile, wantedType: string, file: string): number {
  const columns = storedSampleTypes(profile)
  if (columns.length === 0) throw new CliError(`${file} has no samples`)
  if (wantedType === '') {
    const preferred = columns.find(column => profile.sampleTypes[column]!.type === profile.defaultSampleType)
    return preferred ?? columns[0]!
  }
  const ids = columns.map(column => typeIdOf(profile, column))
  return columns[ids.indexOf(matchProfileType(wantedType, ids))]!
}

/** By the column that counts them, else by value over period, else every unit is one. */
function countSamples(profile: Profile, column: number): number {
  const width = profile.sampleTypes.length
  const sumOf = (index: number): number => {
    let sum = 0n
    for (let at = index; at < profile.values.length; at += width) sum += profile.values[at]!
    return Number(sum)
  }
  const counting = profile.sampleTypes.findIndex(
    ({ type, unit }) => /^samples?$/.test(type) && unit === 'count',
  )
  if (counting >= 0) return sumOf(counting)
  const { type, unit } = profile.sampleTypes[column]!
  const isTimed = type === profile.periodType.type && unit === profile.periodType.unit && profile.period > 0n
  if (isTimed) return sumOf(column) / Number(profile.period)
  // Of other weights (bytes, waiting time) the number of observations is not known: stacks are the least it is.
  return unit === 'count' ? sumOf(column) : profile.values.length / width
}

function joinParts(parts: readonly { stacks: WeightedStacks; replicate: ComparedReplicate }[]): ComparedSide {
  const frames: TreeFrame[] = []
  const stackOffset: number[] = [0]
  const stackFrame: number[] = []
  const values: number[] = []
  const lengths = parts.map(({ stacks }) => stacks.frames.length)
  const allFrames = lengths.reduce((sum, length) => sum + length, 0)
  const replicates = parts.map(({ stacks, replicate }) => {
    const base = frames.length
    for (const frame of stacks.frames) frames.push(frame)
    const start = stackFrame.length
    for (const frame of stacks.stackFrame as Uint32Array) stackFrame.push(base + frame)
    for (let stack = 0; stack < stacks.values.length; stack++) {
      stackOffset.push(start + stacks.stackOffset[stack + 1]!)
      values.push(stacks.values[stack]!)
    }
    // The index after a part's last frame stands for samples without a stack, and so does that after all.
    const self = new Map<number, number>()
    for (const [frame, weight] of replicate.self)
      self.set(frame === stacks.frames.length ? allFrames : base + frame, weight)
    return { ...replicate, self }
  })
  return { stacks: { frames, stackOffset, stackFrame, values }, replicates }
}
