import type { ProfileType } from '../api/types.ts'
import type { Choice } from './controls.tsx'

export function preferredType(types: ProfileType[] | undefined): string | undefined {
  return (types?.find(one => one.sampleType === 'cpu') ?? types?.[0])?.id
}

/** What a picker offers; a chosen type that was not collected stands there too, and says so. */
export function typeChoicesOf(types: ProfileType[] | undefined, chosen: string | undefined): Choice[] {
  const choices: Choice[] = (types ?? []).map(one => ({ id: one.id, text: one.title, hint: one.unit }))
  if (chosen !== undefined && !choices.some(one => one.id === chosen)) {
    choices.push({ id: chosen, text: chosen.split(':')[1] ?? chosen, hint: 'not collected' })
  }
  return choices
}
