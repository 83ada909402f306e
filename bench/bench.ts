import type { Figure } from './figure.ts'

/**
 * One bench: measures, cleans up after itself, returns its figures in the order to print.
 *
 * smoke: the smallest scale at which every figure comes out, whatever it says.
 * note: tells what could not be measured here, and why.
 */
export type Bench = (scale: 'full' | 'smoke', note: (sentence: string) => void) => Promise<Figure[]>
