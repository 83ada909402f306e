import type { WriteRequest } from '@strobe/proto'
import { seededRandom } from '../cli/src/demo/random.ts'
import type { Bench } from './bench.ts'
import { type Figure, figure } from './figure.ts'
import { type FleetService, makeRequest, makeService } from './fleet.ts'
import { buildGoParser } from './go-parser.ts'
import { type BenchServer, startBenchServer } from './server.ts'

interface Scale {
  trials: number
  /** 64 kB profiles of one trial. */
  profiles: number
  /** Requests of one trial, and the profiles of 8 stacks that share the body of each. */
  sharedRequests: number
  sharedProfiles: number
}

const scales: Record<'full' | 'smoke', Scale> = {
  full: { trials: 7, profiles: 400, sharedRequests: 20, sharedProfiles: 500 },
  smoke: { trials: 1, profiles: 40, sharedRequests: 2, sharedProfiles: 100 },
}
const instances = 50
const windowSeconds = 10
// As many hosts as send at once: more than a group's wait would make the server idle, not cheaper.
const parallel = 64

/** What taking a profile costs from gRPC to durable, and what it takes on disk. */
export const ingestBench: Bench = async (scaleName, note) => {
  const scale = scales[scaleName]
  const random = seededRandom(42)
  const services = Array.from({ length: 5 }, (_, at) => makeService(`svc-${at}`, 2000 + at * 4000, at + 1))
  const hour = Math.floor(Date.now() / 3_600_000) * 3_600_000
  // Windows go on from trial to trial, as those of a running fleet do.
  let sent = 0
  const profiles = (count: number): WriteRequest[] =>
    Array.from({ length: count }, () => {
      const at = sent++
      return makeRequest([
        {
          service: services[at % services.length]!,
          instance: Math.floor(at / services.length) % instances,
          startMs: hour - 3_600_000 + Math.floor(at / services.length / instances) * windowSeconds * 1000,
          seconds: windowSeconds,
          stacks: Math.round(184 * (0.7 + 0.6 * random())),
          random,
        },
      ])
    })
  const shared = (service: FleetService): WriteRequest[] =>
    Array.from({ length: scale.sharedRequests }, () =>
      makeRequest(
        Array.from({ length: scale.sharedProfiles }, () => {
          const at = sent++
          return {
            service,
            instance: at % 2000,
            startMs: hour - 7_200_000 + Math.floor(at / 2000) * windowSeconds * 1000,
            seconds: windowSeconds,
            stacks: 8,
            random,
          }
        }),
      ),
    )

  const go = buildGoParser()
  if (!go) note('no Go with golang-src: no baseline, and figures that are ratios are left out')
  const server = await startBenchServer()
  try {
    const cost = async (requests: WriteRequest[]) => {
      const before = server.cpuSeconds()
      await server.write(requests, parallel)
      return (server.cpuSeconds() - before) * 1000
    }
    const bodies = (requests: WriteRequest[]) => requests.map(request => request.bodies[0]!.pprof)
    // Compiled code and known stacks on both sides before anything counts.
    await cost(profiles(scale.profiles))
    await cost(shared(services[0]!))
    const [ours, theirs, ratios, many, manyTheirs] = [[], [], [], [], []] as number[][]
    let bytes = 0
    for (let trial = 0; trial < scale.trials; trial++) {
      const requests = profiles(scale.profiles)
      bytes += bodies(requests).reduce((sum, body) => sum + body.length, 0) / requests.length
      ours!.push((await cost(requests)) / requests.length)
      if (go) {
        go.load(bodies(requests))
        theirs!.push(go.run(3))
        ratios!.push(ours!.at(-1)! / theirs!.at(-1)!)
      }
      const small = shared(services[0]!)
      many!.push((small.length * scale.sharedProfiles) / ((await cost(small)) / 1000))
      if (go) {
        go.load(bodies(small))
        manyTheirs!.push(scale.sharedProfiles / (go.run(3) / 1000))
      }
    }
    const figures: Figure[] = [
      figure('profile_bytes', 'bytes', [bytes / scale.trials]),
      figure('cpu_per_profile', 'ms', ours!),
    ]
    if (go)
      figures.push(
        figure('go_parse_per_profile', 'ms', theirs!),
        figure('cpu_per_profile_beside_go', 'x', ratios!, '<= 0.8'),
      )
    figures.push(figure('shared_profiles_per_cpu_second', '1/s', many!, '>= 10000'))
    if (go) figures.push(figure('go_parse_shared_per_cpu_second', '1/s', manyTheirs!))
    return [...figures, ...(await measureSize(server))]
  } finally {
    go?.close()
    await server.stop()
  }
}

/** On disk and beside the same columns uncompressed, once everything is merged; and what merging cost. */
async function measureSize(server: BenchServer): Promise<Figure[]> {
  const before = server.cpuSeconds()
  await server.store.command({ query: 'OPTIMIZE TABLE samples FINAL' })
  const mergeSeconds = server.cpuSeconds() - before
  const result = await server.store.query({
    query: `SELECT toFloat64(sum(rows)) AS rows, toFloat64(sum(bytes_on_disk)) AS disk,
      toFloat64(sum(data_uncompressed_bytes)) AS plain FROM system.parts WHERE table = 'samples' AND active`,
    format: 'JSONEachRow',
  })
  const [{ rows, disk, plain } = { rows: 0, disk: 0, plain: 0 }] = await result.json<{
    rows: number
    disk: number
    plain: number
  }>()
  return [
    figure('stored_samples', 'samples', [rows]),
    figure('bytes_per_sample', 'bytes', [disk / rows], '<= 2.0'),
    figure('bytes_per_sample_uncompressed', 'bytes', [plain / rows]),
    figure('last_merge_cpu_per_million_samples', 's', [(mergeSeconds / rows) * 1e6]),
  ]
}
