import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'
import { type IngestProcess, selectRows, startIngestProcess, stopIngestProcess } from './ingest-process.ts'

const dataDir = mkdtempSync(join(tmpdir(), 'strobe-upload-'))
let server: IngestProcess

beforeAll(async () => {
  server = await startIngestProcess(dataDir)
})

afterAll(async () => {
  await stopIngestProcess(server)
  rmSync(dataDir, { recursive: true, force: true })
})

// Not the dimensions: the server remembers which of those the store has.
const data = ['samples', 'profiles', 'totals_1m', 'batches']
beforeEach(async () => {
  for (const table of data) await server.store.command({ query: `TRUNCATE TABLE ${table}` })
})

const conformance = (name: string) => readFileSync(new URL(`./data/conformance/${name}`, import.meta.url))

interface Answer {
  status: number
  code: string
  message: string
  profiles: { type: string; samples: number; total: string }[]
  retimed: boolean
  originalTime?: string
}

async function upload(
  bytes: Uint8Array,
  query = 'service=api',
  headers: Record<string, string> = {},
): Promise<Answer> {
  const response = await fetch(`http://127.0.0.1:${server.httpPort}/api/v1/profiles?${query}`, {
    method: 'POST',
    body: bytes as Uint8Array<ArrayBuffer>,
    headers: { 'content-type': 'application/octet-stream', ...headers },
  })
  return { status: response.status, ...((await response.json()) as Omit<Answer, 'status'>) }
}

async function storedTotals(): Promise<Record<string, string>> {
  const rows = (await selectRows(
    server.store,
    "SELECT splitByChar(':', toString(type))[2] AS name, toString(sum(toInt128(value))) FROM samples GROUP BY name",
  )) as [string, string][]
  return Object.fromEntries(rows)
}

// Totals, and the function with the most of its own, from SOURCES.md; addresses are
// relative to the file here: less the 0x400000 at which both of these binaries are mapped.
const valid: [
  file: string,
  totals: Record<string, string>,
  column: string,
  top: [name: string, self: string],
][] = [
  ['pprof/go-inlined.cpu.pb.gz', { cpu: '1760000000' }, 'cpu', ['runtime.mapiternext', '1280000000']],
  ['pprof/go-cpu-fib.pb.gz', { cpu: '29740000000' }, 'cpu', ['math/big.addVV', '28610000000']],
  [
    'pprof/go-heap-large.pb.gz',
    {
      alloc_objects: '310797348',
      alloc_space: '116044559690',
      inuse_objects: '74172',
      inuse_space: '14730706',
    },
    'alloc_space',
    ['compress/flate.NewWriter', '29909594881'],
  ],
  ['pprof/go-fgprof-wall.pb.gz', { time: '2104393918350' }, 'time', ['runtime.gopark', '2036929272560']],
  ['pprof/ebpf-thread-labels.pb.gz', { samples: '462' }, 'samples', ['runtime.mallocgc', '40']],
  ['pprof/single-stack.pb.gz', { cpu: '52631578' }, 'cpu', ['runtime.futex', '52631578']],
  [
    'pprof/node-perfmap.pb.gz',
    { samples: '190' },
    'samples',
    ['LazyCompile:*fib /usr/src/app/main.js:1', '190'],
  ],
  ['pprof/raw-native-kernel.pb.gz', { samples: '930' }, 'samples', ['main+0x63784', '839']],
  [
    'pprof/go-stripped-normal.pb.gz',
    { cpu: '9070000000' },
    'cpu',
    ['pprof-example-app-go+0xe354b', '1510000000'],
  ],
  ['pprof/go-simple-nomapping.pb.gz', { cpu: '1500000000' }, 'cpu', ['main.alpha', '480000000']],
  ['pprof/go-2015-nomapping.pb.gz', { cpu: '2530000000' }, 'cpu', ['main.fib', '2410000000']],
  [
    'pprof/go-heap-small.pb.gz',
    { alloc_objects: '247747', alloc_space: '1374249148', inuse_objects: '48375', inuse_space: '330314096' },
    'alloc_space',
    ['main.NewAlloc', '1364805662'],
  ],
  [
    'pprof/go-nomappings.pb.gz',
    { alloc_objects: '2', alloc_space: '1765955', inuse_objects: '2', inuse_space: '1765955' },
    'inuse_space',
    ['+0x1096cf7', '947340'],
  ],
  ['pprof/go-cpu-labels.pb.gz', { cpu: '27220000000' }, 'cpu', ['fmt.(*fmt).fmtInteger', '4360000000']],
  ['pprof/go-lines.pb.gz', { cpu: '3080000000' }, 'cpu', ['main.goHog', '3070000000']],
  [
    'pprof/php-symfony.pprof',
    { 'wall-time': '248104107' },
    'wall-time',
    ['cgi-fcgi|fastcgi_finish_request', '65114243'],
  ],
  ['pprof/folded-equivalent.pb.gz', { samples: '12' }, 'samples', ['foo', '5']],
  ['derived/uncompressed.pb', { cpu: '29740000000' }, 'cpu', ['math/big.addVV', '28610000000']],
  ['derived/multi-member.pb.gz', { cpu: '29740000000' }, 'cpu', ['math/big.addVV', '28610000000']],
  ['derived/sample-without-locations.pb.gz', { cpu: '380000000' }, 'cpu', ['main.computeSum', '190000000']],
  ['derived/duplicate-strings.pb.gz', { cpu: '380000000' }, 'cpu', ['main.computeSum', '190000000']],
  ['derived/unknown-mapping-id.pb.gz', { cpu: '380000000' }, 'cpu', ['main.computeSum', '190000000']],
  ['derived/time-zero.pb.gz', { cpu: '380000000' }, 'cpu', ['main.computeSum', '190000000']],
  ['derived/odd-labels.pb.gz', { cpu: '380000000' }, 'cpu', ['main.computeSum', '190000000']],
]

for (const [file, totals, column, [name, self]] of valid) {
  test(`${file} is stored with the figures of go tool pprof`, async () => {
    const answer = await upload(conformance(file))
    expect(answer.status, answer.message).toBe(200)
    expect(
      Object.fromEntries(answer.profiles.map(profile => [profile.type.split(':')[1], profile.total])),
    ).toEqual(totals)
    expect(await storedTotals()).toEqual(totals)
    const top = await selectRows(
      server.store,
      `SELECT if(f.name != '', f.name, concat(fr.module, '+0x', replaceRegexpOne(lower(hex(fr.address)), '^0+', ''))) AS leaf, toString(sum(toInt128(s.value))) AS self
       FROM (SELECT stack_id, value FROM samples WHERE splitByChar(':', toString(type))[2] = '${column}') s
       JOIN (SELECT stack_id, any(frames)[1] AS frame_id FROM stacks GROUP BY stack_id) st USING stack_id
       JOIN (SELECT frame_id, any(function_id) AS function_id, any(module) AS module, any(address) AS address FROM frames GROUP BY frame_id) fr USING frame_id
       LEFT JOIN (SELECT function_id, any(name) AS name FROM functions GROUP BY function_id) f USING function_id
       GROUP BY leaf ORDER BY sum(toInt128(s.value)) DESC LIMIT 1`,
    )
    expect(top).toEqual([[name, self]])
  })
}

const refused: [file: string, status: number, code: string, cause: RegExp][] = [
  ['derived/truncated.pb.gz', 400, 'PROFILE_MALFORMED', /cut short/],
  ['derived/empty.pb.gz', 400, 'PROFILE_EMPTY', /nothing/],
  ['derived/concatenated.pb.gz', 400, 'PROFILE_MALFORMED', /PPROF_CONCATENATED/],
  ['derived/value-count-mismatch.pb.gz', 400, 'PROFILE_MALFORMED', /PPROF_VALUE_COUNT.*1.*2/],
  ['derived/zero-location-id.pb.gz', 400, 'PROFILE_MALFORMED', /PPROF_LOCATION_ZERO/],
  ['pprof/fuzz-24b.bin', 400, 'PROFILE_MALFORMED', /PPROF_/],
  ['SOURCES.md', 400, 'PROFILE_MALFORMED', /PPROF_/],
]

for (const [file, status, code, cause] of refused) {
  test(`${file} is refused as ${code} and leaves nothing`, async () => {
    const answer = await upload(conformance(file))
    expect(answer).toMatchObject({ status, code })
    expect(answer.message).toMatch(cause)
    for (const table of data) {
      expect(await selectRows(server.store, `SELECT toUInt32(count()) FROM ${table}`), table).toEqual([[0]])
    }
  })
}

test('a body that unpacks to more than the limit is refused before it is unpacked', async () => {
  const answer = await upload(gzipSync(Buffer.alloc(129 * 2 ** 20)))
  expect(answer).toMatchObject({ status: 413, code: 'UNPACKED_TOO_LARGE' })
  expect(answer.message).toContain(String(128 * 2 ** 20))
})

test('a body over the limit is refused with both sizes', async () => {
  const answer = await upload(Buffer.alloc(17 * 2 ** 20, 1))
  expect(answer).toMatchObject({ status: 413, code: 'BODY_TOO_LARGE' })
  expect(answer.message).toContain(String(16 * 2 ** 20))
})

test('an old profile gets the time of receipt and keeps its own as a field', async () => {
  const before = Date.now()
  const answer = await upload(conformance('pprof/go-cpu-errgroup.pb.gz'))
  expect(answer).toMatchObject({ retimed: true, originalTime: '2021-01-08T16:10:32.116Z' })
  const [[time, original, flags]] = (await selectRows(
    server.store,
    "SELECT toUnixTimestamp64Milli(time) - 1600000000000, toString(original_time, 'UTC'), flags FROM profiles",
  )) as [[number, string, number]]
  expect(Number(time) + 1_600_000_000_000).toBeGreaterThanOrEqual(before)
  expect([original, flags]).toEqual(['2021-01-08 16:10:32.116', 2])
})

test('with keepTime an old profile is refused with both times', async () => {
  const answer = await upload(conformance('pprof/go-cpu-errgroup.pb.gz'), 'service=api&keepTime=1')
  expect(answer).toMatchObject({ status: 400, code: 'TIME_OUT_OF_WINDOW' })
  expect(answer.message).toMatch(/starts at 2021-01-08T16:10:32.116Z and was received at 20\d\d-/)
  expect(await selectRows(server.store, 'SELECT toUInt32(count()) FROM profiles')).toEqual([[0]])
})

test('a missing time is the time of receipt, and said so', async () => {
  const answer = await upload(conformance('derived/time-zero.pb.gz'), 'service=api&keepTime=1')
  expect(answer).toMatchObject({ status: 200, retimed: false })
  expect(await selectRows(server.store, 'SELECT flags, toUInt32(time > now() - 60) FROM profiles')).toEqual([
    [1, 1],
  ])
})

test('the service is the parameter, else the file; labels come along', async () => {
  const body = conformance('pprof/single-stack.pb.gz')
  await upload(body, 'source=%2Fhome%2Fme%2Fcheckout.pb.gz&label.k8s-pod=p1&label.version=2')
  await upload(body, 'source=x.pb.gz&service=named&name=my_cpu')
  expect(
    await selectRows(
      server.store,
      "SELECT service, type, mapKeys(labels) AS k, labels['k8s_pod'] FROM series WHERE service IN ('checkout', 'named') ORDER BY service",
    ),
  ).toEqual([
    ['checkout', 'process_cpu:cpu:nanoseconds:cpu:nanoseconds', ['k8s_pod', 'service_name', 'version'], 'p1'],
    ['named', 'my_cpu:cpu:nanoseconds:cpu:nanoseconds', ['service_name'], ''],
  ])
  expect(await upload(body, 'name=cpu')).toMatchObject({ status: 400, code: 'BAD_REQUEST' })
})

test('odd labels lose no profile; names can be selected, numbers keep 64 bits and their unit', async () => {
  await upload(conformance('derived/odd-labels.pb.gz'))
  expect(await storedTotals()).toEqual({ cpu: '380000000' })
  const [[labels, units]] = (await selectRows(
    server.store,
    'SELECT labels, units FROM labelsets WHERE labelset_id IN (SELECT labelset_id FROM samples) LIMIT 1',
  )) as [[Record<string, string>, Record<string, string>]]
  // k8s-pod is a text and a number: the text keeps the plain name. Of service.name's two values the first stays.
  expect(Object.keys(labels).sort()).toEqual([
    expect.stringMatching(/^k8s_pod$/),
    expect.stringMatching(/^k8s_pod_[0-9a-f]{8}$/),
    'local_root_span_id',
    'service_name',
    expect.stringMatching(/^(u[0-9a-f]{3})+$/),
  ])
  const numeric = Object.keys(units)
  expect(numeric).toEqual([expect.stringMatching(/^k8s_pod_[0-9a-f]{8}$/)])
  expect(labels[numeric[0]!]).toBe((2n ** 62n).toString())
  expect(
    await selectRows(
      server.store,
      "SELECT service, value FROM sample_labels WHERE name = 'local_root_span_id' GROUP BY service, value ORDER BY value LIMIT 1",
    ),
  ).toEqual([['api', expect.any(String)]])
})

test('a counter that was sent as a delta has a type of its own; levels beside it stay levels', async () => {
  await upload(conformance('pprof/go-heap-small.pb.gz'), 'service=deltas&label.__delta__=false')
  const rows = await selectRows(
    server.store,
    "SELECT type, mapKeys(labels) FROM series WHERE service = 'deltas' AND type LIKE '%bytes:space%' ORDER BY type",
  )
  expect(rows).toEqual([
    ['memory:alloc_space:bytes:space:bytes:delta', ['service_name']],
    ['memory:inuse_space:bytes:space:bytes', ['service_name']],
  ])
})

test('a retry under one key is stored once', async () => {
  const body = conformance('pprof/single-stack.pb.gz')
  const headers = { 'idempotency-key': 'deploy 17' }
  const [first, second] = await Promise.all([
    upload(body, 'service=a', headers),
    upload(body, 'service=a', headers),
  ])
  expect([first!.status, second!.status]).toEqual([200, 200])
  await upload(body, 'service=a', headers)
  expect(await storedTotals()).toEqual({ cpu: '52631578' })
})
