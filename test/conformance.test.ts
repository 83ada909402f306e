import { readFileSync } from 'node:fs'
import { gunzipSync, gzipSync } from 'node:zlib'
import { create } from '@bufbuild/protobuf'
import {
  decodePprof,
  encodePprof,
  parseFolded,
  profileNameOf,
  profileTypeId,
  storedSampleTypes,
} from '@strobe/profile'
import { WriteRequestSchema } from '@strobe/proto'
import { connectIngest, type IngestConnection } from '@strobe/server'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { readConformance, startTestServer, type TestServer } from './api-server.ts'

const sources = readFileSync(new URL('./data/conformance/SOURCES.md', import.meta.url), 'utf8')

/** Rows of SOURCES.md as [file, what is right]. */
const rows = sources
  .split('\n')
  .filter(line => /^\| (pprof|folded)\//.test(line))
  .map(line => {
    const cells = line.replaceAll('\\|', '\0').split('|')
    return [cells[1]!, cells.at(-2)!].map(cell => cell.replaceAll('\0', '|').trim()) as [string, string]
  })
const valid = rows.filter(([file, right]) => /^pprof\/(?!legacy)/.test(file) && right.startsWith('valid ; '))
const legacy = rows.filter(([file]) => file.startsWith('pprof/legacy'))
const folded = rows.filter(([file]) => file.startsWith('folded/'))

/** derived/, beside the refused ones of api-conformance.test.ts: what they were made from says what is right. */
const derived: [file: string, source: string][] = [
  ['derived/uncompressed.pb', 'pprof/go-cpu-fib.pb.gz'],
  ['derived/multi-member.pb.gz', 'pprof/go-cpu-fib.pb.gz'],
  ['derived/sample-without-locations.pb.gz', 'pprof/go-cpu-errgroup.pb.gz'],
  ['derived/duplicate-strings.pb.gz', 'pprof/go-cpu-errgroup.pb.gz'],
  ['derived/unknown-mapping-id.pb.gz', 'pprof/go-cpu-errgroup.pb.gz'],
  ['derived/time-zero.pb.gz', 'pprof/go-cpu-errgroup.pb.gz'],
  ['derived/odd-labels.pb.gz', 'pprof/go-cpu-errgroup.pb.gz'],
]
/** Of the derived ones, those whose functions are not those of their source: a frame or a module is missing. */
const withoutFrames = new Set(['derived/sample-without-locations.pb.gz'])

const protocols = ['upload', 'grpc'] as const
type Protocol = (typeof protocols)[number]
const serviceOf = (file: string, protocol: Protocol) => `${protocol}-${file.replaceAll(/[^a-z0-9]/g, '-')}`
const plain = (bytes: Uint8Array) => (bytes[0] === 0x1f && bytes[1] === 0x8b ? gunzipSync(bytes) : bytes)

let server: TestServer
let ingest: IngestConnection

beforeAll(async () => {
  server = await startTestServer()
  ingest = connectIngest(server.grpcAddress)
  // All at once: the server stores what arrives together in one go.
  await Promise.all(
    [...valid, ...derived].flatMap(([file]) => protocols.map(protocol => send(file, protocol))),
  )
})
afterAll(async () => {
  ingest?.close()
  await server?.stop()
})

async function send(file: string, protocol: Protocol): Promise<void> {
  const bytes = await readConformance(file)
  const service = serviceOf(file, protocol)
  if (protocol === 'upload') {
    const { status, body } = await server.push(bytes, { service })
    if (status !== 200) throw new Error(`${file}: ${JSON.stringify(body)}`)
    return
  }
  // A sample of these belongs to the first series of its body, so each type is a body of its own.
  const profile = decodePprof(plain(bytes))
  await ingest.write(
    create(WriteRequestSchema, {
      batchId: crypto.getRandomValues(new Uint8Array(16)),
      bodies: storedSampleTypes(profile).map(sampleTypeIndex => ({
        pprof: bytes,
        series: [
          {
            labels: [{ name: 'service_name', value: service }],
            profileName: profileNameOf(profile),
            sampleTypeIndex,
            timeUnixNanos: BigInt(Date.now() - 60_000) * 1_000_000n,
            durationNanos: 10_000_000_000n,
            period: profile.period,
          },
        ],
      })),
    }),
  )
}

interface Functions {
  total: number
  functions: { name: string; self: number; total: number }[]
  omitted: { functions: number }
}

async function functionsOf(service: string, type: string): Promise<Functions> {
  const { status, body } = await server.get('functions', {
    type,
    query: `{service_name="${service}"}`,
    from: 'now-1h',
    to: 'now+1m',
    limit: 10_000,
  })
  expect(status, JSON.stringify(body)).toBe(200)
  return body as Functions
}

function part(right: string, pattern: RegExp): string {
  return pattern.exec(right)?.[1] ?? expect.fail(`SOURCES.md has no ${pattern} in ${right}`)
}

/** `a=1; b=2`, where names may hold `=` and `;`. */
function entries(text: string): [name: string, value: number][] {
  return text.split(/(?<=\d); /).map(entry => {
    const [, name, value] = /^(.*)=(\d+)$/s.exec(entry)!
    return [name!, Number(value)]
  })
}

async function expectSame(file: string, right: string, service: string, isWhole = true): Promise<void> {
  const profile = decodePprof(plain(await readConformance(file)))
  const totals = new Map(
    part(right, /^valid ; (.*?) ; /)
      .split(', ')
      .map(each => [each.slice(0, each.lastIndexOf('=')), Number(each.slice(each.lastIndexOf('=') + 1))]),
  )
  const column = part(right, /self\((.*?)\)/)
  for (const index of storedSampleTypes(profile)) {
    const sampleType = profile.sampleTypes[index]!
    const type = profileTypeId(profileNameOf(profile), sampleType, profile.periodType)
    const answer = await functionsOf(service, type)
    expect([type, answer.total]).toEqual([type, totals.get(`${sampleType.type}/${sampleType.unit}`)])
    expect(answer.omitted.functions).toBe(0)
    expect(answer.functions.reduce((sum, { self }) => sum + self, 0)).toBe(answer.total)
    if (sampleType.type !== column || !isWhole) continue
    // pprof's listing knows names only: one name in two files is one entry there, and its total counts a stack once.
    const self = new Map<string, number>()
    for (const each of answer.functions) self.set(each.name, (self.get(each.name) ?? 0) + each.self)
    const ranks = [...self.values()].sort((a, b) => b - a)
    for (const [rank, [name, value]] of entries(part(right, /self\(.*?\) (.*?) ; cum /)).entries()) {
      expect([name, ranks[rank]]).toEqual([name, value])
      // SOURCES.md names an unsymbolized frame by its address in the process, we by that in its file.
      if (!/\+0x[0-9a-f]+$/.test(name)) expect([name, self.get(name)]).toEqual([name, value])
    }
    for (const [name, value] of entries(part(right, / ; cum (.*)$/))) {
      if (/\+0x[0-9a-f]+$/.test(name)) continue
      const found = answer.functions.filter(each => each.name === name).map(each => each.total)
      expect([name, Math.max(0, ...found)]).toEqual([name, value])
    }
  }
}

test('SOURCES.md was read', () => {
  expect([valid.length, legacy.length, folded.length]).toEqual([25, 7, 6])
})

describe.each(protocols)('%s', protocol => {
  test.each(valid)('%s reads back as pprof reads it, in every type', (file, right) =>
    expectSame(file, right, serviceOf(file, protocol)),
  )

  test.each(derived)('%s reads back as %s', async (file, source) => {
    const right = valid.find(([name]) => name === source)![1]
    await expectSame(file, right, serviceOf(file, protocol), !withoutFrames.has(file))
    if (!withoutFrames.has(file)) return
    const { functions } = await functionsOf(serviceOf(file, protocol), 'cpu')
    expect(functions.find(({ name }) => name === '[no stack]')?.self).toBeGreaterThan(0)
  })
})

test.each(legacy)('%s, of before pprof was protobuf, is refused by name', async file => {
  const { status, body } = await server.push(await readConformance(file), { service: 'legacy' })
  expect(status).toBe(400)
  expect(body).toMatchObject({ code: expect.stringMatching(/^PROFILE_/) })
})

/** Self and total worked out from the text by hand: SOURCES.md gives the first of each. */
const foldedRight: Record<
  string,
  { total: number; self: Record<string, number>; cum: Record<string, number> }
> = {
  'folded/simple.txt': { total: 14, self: { b: 5, c: 5 }, cum: { a: 14 } },
  'folded/simple-crlf.txt': { total: 14, self: { b: 5, c: 5 }, cum: { a: 14 } },
  'folded/simple-utf16-le.txt': { total: 14, self: { b: 5, c: 5 }, cum: { a: 14 } },
  'folded/simple-with-invalids.txt': { total: 14, self: { b: 5, c: 5 }, cum: { a: 14 } },
  'folded/recursion.txt': { total: 10, self: { b: 5, c: 4 }, cum: { a: 9, b: 9 } },
  'folded/pprofutils.txt': { total: 12, self: { foo: 5, foobar: 4, bar: 3 }, cum: { main: 12, foo: 8 } },
}

test.each(folded)('%s is stored as the profile it is', async file => {
  const right = foldedRight[file]!
  const service = serviceOf(file, 'upload')
  const { profile } = parseFolded(await readConformance(file))
  expect(await server.push(gzipSync(encodePprof(profile)), { service })).toMatchObject({ status: 200 })
  const answer = await functionsOf(service, 'samples')
  const of = (key: 'self' | 'total') =>
    Object.fromEntries(answer.functions.map(each => [each.name, each[key]]))
  expect(answer.total).toBe(right.total)
  expect(of('self')).toMatchObject(right.self)
  expect(of('total')).toMatchObject(right.cum)
})
