/** One measured number beside what it must reach. */
export interface Figure {
  /** snake_case, unique in its bench. */
  name: string
  /** Median of the trials. */
  value: number
  unit: string
  /** Largest (`<=`) or smallest (`>=`) value that is good; null where the figure is only a baseline or context. */
  budget: { relation: '<=' | '>='; value: number } | null
  /** Every trial, in order; one entry where the figure is measured once. */
  trials: number[]
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b)
  const middle = sorted.length >> 1
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2
}

/** trials: at least one; budget: '<= 0.8', or '' for none. */
export function figure(name: string, unit: string, trials: readonly number[], budget = ''): Figure {
  const [, relation, limit] = /^(<=|>=) ([\d.]+)$/.exec(budget) ?? []
  return {
    name,
    value: median(trials),
    unit,
    budget: relation ? { relation: relation as '<=' | '>=', value: Number(limit) } : null,
    trials: trials.map(roundToFour),
  }
}

/** 'ok' or 'short'; '-' for a figure without a budget. */
export function verdict({ value, budget }: Figure): 'ok' | 'short' | '-' {
  if (!budget) return '-'
  return (budget.relation === '<=' ? value <= budget.value : value >= budget.value) ? 'ok' : 'short'
}

/** `name value unit budget ok|short`; a dash stands for no budget. */
export function formatFigure(each: Figure): string {
  const budget = each.budget ? `${each.budget.relation}${roundToFour(each.budget.value)}` : '-'
  return `${each.name} ${roundToFour(each.value)} ${each.unit} ${budget} ${verdict(each)}`
}

/** Four significant digits: more would be noise. */
function roundToFour(value: number): number {
  return Number(value.toPrecision(4))
}
