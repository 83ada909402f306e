import { gunzipSync } from 'node:zlib'
import {
  columnStacks,
  decodePprof,
  type FunctionTotal,
  functionTotals,
  type Profile,
  resolveStacks,
} from '@strobe/profile'
import type { WriteRequest } from '@strobe/proto'
import { WindowMerger } from './merge-windows.ts'

/** Unpacked bytes of one window's body: more is no window of an agent of ours. */
const maxBodyBytes = 1 << 30

export interface RecordingSummary {
  /** Wall time that the windows cover. */
  durationNs: number
  periodNs: number
  samples: number
  /** Samples that the kernel's own accounting of CPU time leads to expect. */
  expected: number
  lost: number
  /** Samples whose stack does not reach its root. */
  incomplete: number
  /** Samples whose leaf has no name. */
  unsymbolized: number
  /** By self, largest first; values in nanoseconds of CPU. */
  functions: FunctionTotal[]
}

/** What the agent sent so far, as one profile. */
export class Recording {
  readonly #merger = new WindowMerger()
  readonly #counts = { expected: 0, lost: 0, incomplete: 0, unsymbolized: 0 }

  add(batch: WriteRequest): void {
    for (const body of batch.bodies) {
      const profile = decodePprof(gunzipSync(body.pprof, { maxOutputLength: maxBodyBytes }))
      this.#merger.add({
        profile,
        seriesLabels: body.series.map(
          series => new Map(series.labels.map(({ name, value }) => [name, value])),
        ),
      })
      for (const series of body.series) {
        this.#counts.expected += Number(series.expected)
        this.#counts.lost += Number(series.lost)
        this.#counts.incomplete += Number(series.truncated)
        this.#counts.unsymbolized += Number(series.unsymbolized)
      }
    }
  }

  /** null when nothing was sampled. */
  finish(): { profile: Profile; summary: RecordingSummary } | null {
    const profile = this.#merger.finish()
    if (!profile || profile.values.length === 0) return null
    const stacks = columnStacks(resolveStacks(profile), 0)
    const periodNs = Number(profile.period)
    const total = profile.values.reduce((sum, value) => sum + value, 0n)
    return {
      profile,
      summary: {
        durationNs: Number(profile.durationNanos),
        periodNs,
        samples: Number(total / profile.period),
        ...this.#counts,
        functions: functionTotals(stacks, stacks.values, stacks.frames),
      },
    }
  }
}
