import { readFileSync } from 'node:fs'
import { gunzipSync, gzipSync, zstdCompressSync } from 'node:zlib'
import { fromBinary, toBinary } from '@bufbuild/protobuf'
import {
  decodePprof,
  encodePprof,
  formatFolded,
  formatSelector,
  matchProfileType,
  PprofBody,
  parseFolded,
  parseProfileTypeId,
  parseSelector,
  parseSpeedscope,
  parseTime,
  profileTypeId,
  resolveStacks,
} from '@strobe/profile'
import { WriteRequestSchema } from '@strobe/proto'
import { RequestDecoder } from '../../server/src/ingest/request-decoder.ts'
import { defaultIngestSettings } from '../../server/src/ingest/settings.ts'
import { checkBatch, readWrite } from '../../server/src/ingest/strobe/decode.ts'
import { scanWrite } from '../../server/src/ingest/strobe/scan.ts'
import { unpackBody } from '../../server/src/ingest/unpack.ts'
import { readStackRows, readStackSums } from '../../server/src/query/tree/store-rows.ts'
import { openSeen, readIngestRows } from '../../server/src/storage/testing.ts'
import { makeBatch } from '../ingest-process.ts'
import { journalTarget, pipeTarget, spoolTarget } from './file-targets.ts'
import { mutateBytes, mutateJson, mutateText, mutateTree, type Pick } from './mutate.ts'
import { expectThat, one, type Target } from './target.ts'
import { encodeWire, parseWire, pprofSchema, type WireSchema } from './wire-tree.ts'

const conformance = new URL('../data/conformance/', import.meta.url)

function readSeed(file: string): Uint8Array {
  const bytes = readFileSync(new URL(file, conformance))
  return bytes[0] === 0x1f && bytes[1] === 0x8b ? gunzipSync(bytes) : bytes
}

export function pprofSeeds(): Uint8Array[] {
  return [
    'pprof/go-cpu-errgroup.pb.gz',
    'pprof/go-heap-small.pb.gz',
    'pprof/go-inlined.cpu.pb.gz',
    'pprof/go-lines.pb.gz',
    'pprof/go-nomappings.pb.gz',
    'pprof/node-perfmap.pb.gz',
    'pprof/raw-native-kernel.pb.gz',
    'pprof/single-stack.pb.gz',
    'derived/odd-labels.pb.gz',
    'derived/sample-without-locations.pb.gz',
  ].map(readSeed)
}

/** A message changed as a tree, as bytes, or both. */
export function mutateMessage(bytes: Uint8Array, schema: WireSchema, pick: Pick): Uint8Array {
  const kind = pick(4)
  if (kind === 0) return mutateBytes(bytes, pick)
  const tree = parseWire(bytes, schema)
  mutateTree(tree, pick)
  const mutated = encodeWire(tree)
  return kind === 1 ? mutateBytes(mutated, pick) : mutated
}

function columnBytes(value: object): number {
  return Object.values(value).reduce(
    (sum, column) => sum + (ArrayBuffer.isView(column) ? column.buffer.byteLength : 0),
    0,
  )
}

/** Code of a coded error; throws every other. */
function codeOf(work: () => unknown): string {
  try {
    work()
    return ''
  } catch (error) {
    if ((error as Error).name !== 'StrobeError') throw error
    return (error as { code: string }).code
  }
}

/** Both readers of pprof: what the columns of the one say, the objects of the other say. */
function pprofTarget(): Target {
  const seeds = pprofSeeds()
  // One for all inputs, as in the server: nothing of a body may be left in the next.
  const body = new PprofBody()
  return {
    make: pick => mutateMessage(one(pick, seeds), pprofSchema, pick),
    run(input) {
      const codes = [() => resolveStacks(decodePprof(input)), () => body.read(input)].map(codeOf)
      expectThat(codes[0] === codes[1], `one reader says "${codes[0]}", the other "${codes[1]}"`)
      const profile = decodePprof(input)
      expectThat(columnBytes(profile) < 64 * input.length + 65_536, 'decoded columns are out of proportion')
      const resolved = resolveStacks(profile)
      expectThat(
        columnBytes(resolved) < 256 * input.length + 65_536,
        'resolved columns are out of proportion',
      )
      const again = encodePprof(decodePprof(encodePprof(profile)))
      expectThat(Buffer.compare(again, encodePprof(profile)) === 0, 'encoding does not settle')
      const width = profile.sampleTypes.length
      const sums = (values: BigInt64Array) =>
        profile.sampleTypes.map((_, column) =>
          values.reduce(
            (sum, value, at) => (at % width === column ? BigInt.asIntN(64, sum + value) : sum),
            0n,
          ),
        )
      expectThat(
        String(sums(profile.values)) === String(sums(resolved.values)),
        'summing equal samples changed a total',
      )
      const stackIds = Array.from(body.sampleStack.subarray(0, body.samples), stack =>
        BigInt.asUintN(
          64,
          (BigInt(body.stackIds[2 * stack + 1]!) << 32n) | BigInt(body.stackIds[2 * stack]!),
        ),
      )
      expectThat(
        String(stackIds) === String(Array.from(resolved.sampleStack, stack => resolved.stackId[stack])) &&
          String(body.values) === String(resolved.values) &&
          String(body.sampleSeries.subarray(0, body.samples)) === String(resolved.sampleSeries),
        'the two readers made other samples',
      )
      return 'accepted'
    },
  }
}

/** What the gRPC server does with the bytes of a request, up to the queue; what it scans is what a decoder finds. */
function batchTarget(): Target {
  const nowMs = 1_790_000_000_000
  const settings = defaultIngestSettings()
  const { seen, scopes } = openSeen()
  const decoder = new RequestDecoder(seen, scopes)
  return {
    make: pick => mutateMessage(batchSeed(nowMs), batchSchema, pick),
    async run(input) {
      const scanned = readWrite(() => scanWrite(input))
      checkBatch(scanned.batchId, scanned.profiles, settings.limits)
      const { batch } = decoder.decode({
        protocol: 'strobe',
        tenant: 'default',
        receivedAtMs: nowMs,
        retention: 0,
        settings,
        request: input,
      })
      const request = fromBinary(WriteRequestSchema, input)
      expectThat(
        Buffer.compare(scanned.batchId, request.batchId) === 0 &&
          Buffer.compare(scanned.batchId, batch.batchId) === 0 &&
          scanned.bodyBytes === request.bodies.reduce((sum, body) => sum + body.pprof.length, 0) &&
          scanned.profiles === request.bodies.reduce((sum, body) => sum + body.series.length, 0),
        'what was scanned of the request is not what it holds',
      )
      const rows = readIngestRows(batch)
      expectThat(rows.length === scanned.profiles, 'a series got no profile, or two')
      for (const { stackIds, labelsetIds, values, durationNs } of rows) {
        expectThat(
          stackIds.length === values.length && labelsetIds.length === values.length,
          'the columns of a profile differ in length',
        )
        expectThat(durationNs >= 0n, 'a profile ends before it starts')
      }
      return 'accepted'
    },
  }
}

/** What an upload's bytes become, packed or not. */
function uploadTarget(): Target {
  const seeds = pprofSeeds()
  const { seen, scopes } = openSeen()
  const decoder = new RequestDecoder(seen, scopes)
  return {
    make(pick) {
      const bytes = mutateMessage(one(pick, seeds), pprofSchema, pick)
      const kind = pick(4)
      return kind === 0 ? gzipSync(bytes, { level: 1 }) : kind === 1 ? zstdCompressSync(bytes) : bytes
    },
    run(input) {
      const { batch, upload } = decoder.decode({
        protocol: 'upload',
        tenant: 'default',
        receivedAtMs: 1_790_000_000_000,
        retention: 0,
        settings: defaultIngestSettings(),
        batchId: new Uint8Array(16),
        body: input,
        options: { service: 'fuzz', profileName: '', labels: [], source: '', isTimeKept: false },
      })
      const rows = readIngestRows(batch)
      expectThat(rows.length === upload!.profiles.length, 'the answer counts other profiles than are stored')
      for (const [at, { type, values }] of rows.entries()) {
        const said = upload!.profiles[at]!
        const total = values.reduce((sum, value) => sum + value, 0n)
        expectThat(said.type === type, 'the answer names another type than is stored')
        expectThat(said.total === String(total), `the answer says ${said.total}, stored are ${total}`)
      }
      return 'accepted'
    },
  }
}

export const batchSchema: WireSchema = { 2: { 1: pprofSchema, 2: { 1: {} } } }

export function batchSeed(nowMs: number): Uint8Array {
  return toBinary(WriteRequestSchema, makeBatch(7, nowMs))
}

function foldedTarget(): Target {
  const seeds = ['simple', 'simple-crlf', 'simple-with-invalids', 'recursion', 'pprofutils'].map(name =>
    Buffer.from(readSeed(`folded/${name}.txt`)).toString(),
  )
  const tokens = [
    ';',
    ' ',
    '\n',
    '\r\n',
    '# ',
    '\ufeff',
    ' 1.5',
    ' -5',
    ' 1e9',
    '\0',
    ';;',
    'a;b 3\n',
    ' 123456789012345678\n',
  ]
  return {
    make(pick) {
      const text = mutateText(one(pick, seeds), tokens, pick)
      const kind = pick(6)
      const bytes = kind < 2 ? Buffer.from(`\ufeff${text}`, 'utf16le') : Buffer.from(text)
      return kind === 5 ? mutateBytes(bytes, pick) : bytes
    },
    run(input) {
      const { profile } = parseFolded(input)
      const { columns, values } = stacksOf(profile)
      const text = formatFolded(columns, values, columns.frames)
      const sum = (list: readonly bigint[]) => list.reduce((total, value) => total + value, 0n)
      const total = sum(values)
      // A sum past 64 bits is written and cannot be read; stacks that cancel each other out leave no line.
      if (sum(values.map(value => (value < 0n ? -value : value))) >= 2n ** 63n) return 'huge'
      const again = text === '' ? 0n : sum(stacksOf(parseFolded(text).profile).values)
      expectThat(again === total, `a total of ${total} is written as ${again}`)
      return 'accepted'
    },
  }
}

function stacksOf(profile: ReturnType<typeof decodePprof>) {
  const frames = Array.from(profile.lineFunction, fn => ({
    name: profile.functions[fn]!.name.trim() || '?',
    file: '',
    module: '',
    kind: 'native' as const,
  }))
  return {
    columns: { stackOffset: profile.stackOffset, stackFrame: profile.stackLocation, frames },
    values: [...profile.values],
  }
}

function speedscopeTarget(): Target {
  const seeds = ['evented-0.0.1', 'sampled-0.1.2'].map(name =>
    Buffer.from(readSeed(`speedscope/${name}.json`)).toString(),
  )
  const tokens = ['{', '}', '[', ']', ',', '"', '1e999', '-1', 'null', '\\u0000', '"at":5,', '"O"', '"C"']
  return {
    make(pick) {
      const seed = one(pick, seeds)
      if (pick(4) === 0) return Buffer.from(mutateText(seed, tokens, pick))
      let value: unknown = JSON.parse(seed)
      for (let edits = 1 + pick(3); edits > 0; edits--) value = mutateJson(value, pick)
      return Buffer.from(JSON.stringify(value) ?? '')
    },
    run(input) {
      for (const { profile } of parseSpeedscope(Buffer.from(input).toString())) {
        expectThat(columnBytes(profile) < 256 * input.length + 65_536, 'columns are out of proportion')
        decodePprof(encodePprof(profile))
      }
      return 'accepted'
    },
  }
}

function textTarget(seeds: string[], tokens: string[], run: (text: string) => void): Target {
  return {
    make: pick => Buffer.from(mutateText(one(pick, seeds), tokens, pick)),
    run(input) {
      run(Buffer.from(input).toString())
      return 'accepted'
    },
  }
}

function selectorTarget(): Target {
  const seeds = [
    '{service_name="api"}',
    'cpu{service_name=~"a.*|b",pod!="x",region!~`eu-\\d`}',
    `{"k8s.pod"='it\\'s',"\\u0041"="\\x41\\101\\U0001F600"}`,
    '{}',
  ]
  const tokens = [
    '{',
    '}',
    '"',
    "'",
    '`',
    '\\',
    '=~',
    '!~',
    '!=',
    ',',
    '\\x4',
    '\\U00110000',
    'or',
    '[5m]',
    '\n',
    '#',
  ]
  return textTarget(seeds, tokens, text => {
    const matchers = parseSelector(text)
    const again = parseSelector(formatSelector(matchers))
    expectThat(
      JSON.stringify(again) === JSON.stringify(matchers),
      'what is formatted is read as something else',
    )
  })
}

function typeTarget(): Target {
  const ids = [
    'process_cpu:cpu:nanoseconds:cpu:nanoseconds',
    'memory:alloc_space:bytes:space:bytes',
    'wall:wall:n::',
  ]
  return textTarget([...ids, 'cpu', 'process_cpu:cpu'], [':', '::', ' ', 'cpu', '__proto__'], text => {
    const wanted = [() => matchProfileType(text, ids), () => matchProfileType(text, [])]
    const { name, sampleType, sampleUnit, periodType, periodUnit } = parseProfileTypeId(text)
    const again = profileTypeId(
      name,
      { type: sampleType, unit: sampleUnit },
      { type: periodType, unit: periodUnit },
    )
    expectThat(again === text, 'the parts of a type make another type')
    for (const each of wanted) each()
  })
}

function timeTarget(): Target {
  const seeds = ['now-15m', 'now', '1790000000000', '2026-11-25T09:00:00.123Z', 'now+1h30m']
  return textTarget(seeds, ['now', '-', '+', 'm', 'h', 'd', '9999999999999999', 'e', 'Z', ' '], text => {
    const timeMs = parseTime(text, 1_790_000_000_000)
    expectThat(Number.isFinite(timeMs), 'a time is not finite')
  })
}

/** Answers of a store that is not ours or was cut off. */
function rowBinaryTarget(): Target {
  const rows = Buffer.concat([
    Buffer.from('0102030405060708', 'hex'),
    Buffer.of(2),
    Buffer.alloc(16, 1),
    Buffer.from('1112131415161718', 'hex'),
    Buffer.of(0x81, 0x01),
    Buffer.alloc(129 * 8, 2),
  ])
  const isRefusal = (error: unknown) => error instanceof RangeError
  return {
    make: pick => mutateBytes(pick(2) === 0 ? rows : Buffer.alloc(24 * (1 + pick(5)), pick(256)), pick),
    run(input) {
      const bytes = Buffer.from(input)
      const outcomes = [
        () => {
          let frames = 0
          for (const stack of readStackRows(bytes)) frames += stack.frames.length / 2
          expectThat(frames * 8 <= bytes.length, 'more frames than bytes')
        },
        () => expectThat(readStackSums(bytes, false).count * 24 === bytes.length, 'rows are not whole'),
        () => expectThat(readStackSums(bytes, true).count * 25 <= bytes.length, 'more rows than bytes'),
      ].map(read => {
        try {
          read()
          return true
        } catch (error) {
          if (!isRefusal(error)) throw error
          return false
        }
      })
      return outcomes.some(Boolean) ? 'accepted' : 'RangeError'
    },
  }
}

function unpackTarget(): Target {
  const limitBytes = 20_000
  const packed = [
    gzipSync(Buffer.from('a profile '.repeat(500))),
    gzipSync(Buffer.alloc(1_000_000)),
    Buffer.concat([gzipSync(Buffer.from('one')), gzipSync(Buffer.from('two'))]),
    gzipSync(Buffer.alloc(0)),
    gzipSync(pprofSeeds()[0]!),
    zstdCompressSync(pprofSeeds()[0]!),
    Buffer.concat([zstdCompressSync(Buffer.from('one')), zstdCompressSync(Buffer.alloc(1_000_000))]),
  ]
  return {
    make: pick => mutateBytes(one(pick, packed), pick),
    async run(input) {
      const bytes = unpackBody(input, limitBytes)
      expectThat(bytes.length > 0 && bytes.length <= limitBytes, `${bytes.length} bytes came through`)
      return 'accepted'
    },
  }
}

export const targets: Record<string, () => Target> = {
  pprof: pprofTarget,
  batch: batchTarget,
  upload: uploadTarget,
  folded: foldedTarget,
  speedscope: speedscopeTarget,
  selector: selectorTarget,
  type: typeTarget,
  time: timeTarget,
  journal: journalTarget,
  spool: spoolTarget,
  pipe: pipeTarget,
  'row-binary': rowBinaryTarget,
  unpack: unpackTarget,
}
