import { DEFAULT_GROUP_LABELS } from '@strobe/profile'
import { CodedError } from './errors.ts'
import type { PastValue } from './storage/tenants.ts'
import { groupSetting, type TenantValues } from './tenant-settings.ts'

const maxLabels = 12
const maxNameLength = 200
const always = 'service_name'

// A profile may be dated a day ahead, and for two more a series that the store knows may be summed with the group it
// had before: its row is renewed once a day. The fourth is for other servers, which follow within seconds.
const overlapMs = 4 * 86_400_000

export const groupSentence = `Labels that keep groups of series apart, at most ${maxLabels}, commas between; ${always} always is one. Long ranges by them are read from groups, by others from series, which costs more. Holds for what comes from then on.`

/** text: as checkGroupLabels gives it; '' for the default. */
function readGroupLabels(text: string): readonly string[] {
  return text === '' ? DEFAULT_GROUP_LABELS : text.split(',')
}

/** The list under which a tenant's profiles are stored now. */
export function groupLabels(values: TenantValues): readonly string[] {
  return readGroupLabels(values.get(groupSetting) ?? '')
}

/** The labels of every list that groups of profiles may have been made by which start at fromMs or later. */
export function groupLabelsSince(past: readonly PastValue[], fromMs: number): readonly string[] {
  const first = past.findLastIndex(({ sinceMs }) => sinceMs <= fromMs - overlapMs)
  const lists = past.slice(Math.max(0, first)).map(({ value }) => readGroupLabels(value))
  if (first < 0) lists.unshift(DEFAULT_GROUP_LABELS)
  return lists[0]!.filter(label => lists.every(list => list.includes(label)))
}

/**
 * The text to keep for a list, in one order and with service_name; '' for the default. Throws BAD_REQUEST with what
 * it takes.
 */
export function checkGroupLabels(text: string): string {
  if (text === '') return ''
  const labels = new Set([always, ...text.split(',').map(label => label.trim())])
  for (const label of labels) {
    if (label.length <= maxNameLength && /^[A-Za-z_][A-Za-z0-9_]*$/.test(label)) continue
    throw new CodedError(
      'BAD_REQUEST',
      `${groupSetting}: "${label.slice(0, 100)}" is no label of a series as the store names them: letters, digits and _, at most ${maxNameLength} of them, with commas between names`,
      { setting: groupSetting, value: label.slice(0, 100) },
    )
  }
  if (labels.size > maxLabels)
    throw new CodedError(
      'BAD_REQUEST',
      `${groupSetting}: ${labels.size} labels with ${always}, the limit is ${maxLabels}; leave out those that ranges of days are seldom asked by`,
      { setting: groupSetting, limit: maxLabels, observed: labels.size },
    )
  return [...labels].join(',')
}

export const defaultGroupText = DEFAULT_GROUP_LABELS.join(',')
