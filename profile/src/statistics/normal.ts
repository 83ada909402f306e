const SQRT_TWO_PI = Math.sqrt(2 * Math.PI)

/** Probability that a standard normal is above z; relative error under 1e-12, also far out. */
export function normalTail(z: number): number {
  if (z < 0) return 1 - normalTail(-z)
  const density = Math.exp((-z * z) / 2) / SQRT_TWO_PI
  if (z > 3) {
    // Laplace's continued fraction 1/(z + 1/(z + 2/(z + 3/...))), from its far end.
    let fraction = z
    for (let term = 120; term >= 1; term--) fraction = z + term / fraction
    return density / fraction
  }
  // z + z^3/3 + z^5/15 + ...
  let term = z
  let sum = z
  for (let odd = 3; Math.abs(term) > 1e-17 * sum; odd += 2) {
    term *= (z * z) / odd
    sum += term
  }
  return 0.5 - density * sum
}

/** The z that a standard normal passes with probability `tail`, 0 < tail < 1. */
export function normalQuantile(tail: number): number {
  if (tail > 0.5) return -normalQuantile(1 - tail)
  // Abramowitz and Stegun 26.2.23 is right to 4.5e-4; two Newton steps do the rest.
  const t = Math.sqrt(-2 * Math.log(tail))
  let z =
    t - (2.515517 + t * (0.802853 + t * 0.010328)) / (1 + t * (1.432788 + t * (0.189269 + t * 0.001308)))
  for (let step = 0; step < 3; step++) {
    const density = Math.exp((-z * z) / 2) / SQRT_TWO_PI
    z += (normalTail(z) - tail) / density
  }
  return z
}
