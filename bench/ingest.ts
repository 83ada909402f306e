import type { WriteRequest } from '@strobe/proto'
import { seededRandom } from '../cli/src/demo/random.ts'
import type { Bench } from './bench.ts'
import { type Figure, figure } from './figure.ts'
import { type FleetService, makeRequest, makeService } from './fleet.ts'
import { buildGoParser } from './go-parser.ts'
import { startBenchServer } from './server.ts'

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

/** What taking a profile costs from gRPC to durable, and what the server holds and delays meanwhile. */
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
          version: at % 10 === 0 ? 'v2' : 'v1',
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
            version: 'v1',
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
    const delays: number[] = []
    const memory = { server: 0, engine: 0 }
    await server.eventLoopDelayMs()
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
      delays.push(await server.eventLoopDelayMs())
      const now = server.residentBytes()
      memory.server = Math.max(memory.server, now.server)
      memory.engine = Math.max(memory.engine, now.engine)
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
    const [[stored] = [0]] = await server.rows<[number]>('SELECT toFloat64(count()) FROM samples')
    return [
      ...figures,
      figure('event_loop_delay_p99', 'ms', delays),
      figure('server_memory', 'MB', [memory.server / 1e6]),
      figure('engine_memory', 'MB', [memory.engine / 1e6]),
      figure('stored_samples', 'samples', [stored]),
    ]
  } finally {
    go?.close()
    await server.stop()
  }
}
