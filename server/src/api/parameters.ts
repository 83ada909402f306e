import { z } from 'zod'

// Bounds keep a statement's parameters inside the 16 KiB that an HTTP request line may have on the way to the store.
const text = (maxLength: number) => z.string().max(maxLength)

export const typeParameter = text(300)
  .default('')
  .describe(
    'profile type: process_cpu:cpu:nanoseconds:cpu:nanoseconds or an unambiguous part of it, such as cpu; not needed when the selector has a metric name',
  )
export const selectorParameter = text(4096)
  .default('{}')
  .describe('PromQL vector selector, such as {service_name="api"}')
export const rangeParameters = {
  from: text(64).default('now-1h').describe('start: unix ms, RFC 3339, now or now-15m'),
  to: text(64).default('now').describe('end, as from'),
}
export const selectionParameters = { type: typeParameter, query: selectorParameter, ...rangeParameters }

export function integer(name: string, bounds: { min: number; max: number; default: number }) {
  return z.coerce
    .number()
    .int()
    .min(bounds.min)
    .max(bounds.max)
    .default(bounds.default)
    .describe(`${name}, ${bounds.min} to ${bounds.max}`)
}

export const viewParameters = {
  group: z
    .string()
    .max(210)
    .regex(
      /^(?:function|file|line|module|package|label:.+)$/,
      'one of function, file, line, module, package, label:NAME',
    )
    .default('function')
    .describe(
      'what frames are summed by: function, file, line, module, package, or label:NAME, which puts the values of that label above the functions',
    ),
  focus: text(1000)
    .default('')
    .describe('RE2 over function names: only stacks with a match count, each once, however often it matches'),
  hide: text(1000)
    .default('')
    .describe(
      'RE2 over function names: matching frames leave their stacks, their weight goes to the callers',
    ),
}

/** Counts are of samples; times are unix ms. */
export const metaAnswer = z.object({
  from: z.number(),
  to: z.number(),
  profiles: z.number(),
  coveredSeconds: z.number(),
  expected: z.number(),
  lost: z.number(),
  truncated: z.number(),
  unsymbolized: z.number(),
  missingMinutes: z.number(),
  minutes: z.number(),
  retimed: z.number(),
  resets: z.number(),
  rowsRead: z.number(),
  bytesRead: z.number(),
  elapsedMs: z.number(),
  askedFrom: z
    .number()
    .optional()
    .describe('start as asked for, when it is before what is kept; then from is where that begins'),
  levels: z.array(z.string()).optional().describe('tables that sums over samples were read from'),
})

export const frameKind = z.enum(['native', 'kernel', 'jit', 'interpreted', 'unsymbolized', 'omitted', 'none'])
