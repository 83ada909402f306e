import type { Figure } from './figure.ts'

/**
 * One bench: measures, cleans up after itself, returns its figures in the order to print.
 *
 * smoke: the smallest scale at which every figure comes out, whatever it says.
 * note: tells what could not be measured here, and why.
 * options: what the command line asks for beyond the scale.
 */
export type Bench = (
  scale: 'full' | 'smoke',
  note: (sentence: string) => void,
  options: BenchOptions,
) => Promise<Figure[]>

export interface BenchOptions {
  /** Of what runs for a time; null for the scale's own. */
  minutes: number | null
  /** Null for the scale's own. */
  kills: number | null
}
