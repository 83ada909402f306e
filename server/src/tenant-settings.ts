import { CodedError } from './errors.ts'
import { formatQuantity, type QuantityType, quantityHelp, readQuantity } from './quantity.ts'

/** What an operator may set for each tenant, by name. Kept as text in the store's tenant_settings. */
export interface TenantSetting {
  type: QuantityType
  /** In bytes, milliseconds or a count. */
  default: number
  min: number
  max: number
  /** What it bounds, and what happens beyond it. */
  sentence: string
}

const day = 86_400_000

export const tenantSettings = {
  bytes_per_second: {
    ...{ type: 'bytes', default: 0, min: 0, max: 2 ** 40 },
    sentence:
      'Bytes of requests, as sent, that each server takes per second; 10 seconds of it may come at once. 0: no limit. Beyond: 429 with the time until there is room.',
  },
  requests_in_flight: {
    ...{ type: 'integer', default: 2_000, min: 1, max: 100_000 },
    sentence: 'Uploads and batches that each server works on at once. Beyond: 429.',
  },
  active_series: {
    ...{ type: 'integer', default: 500_000, min: 1, max: 10_000_000 },
    sentence:
      'Different series that each server takes within an hour. Beyond: 429 for batches with series not seen before.',
  },
  unpacked_bytes: {
    ...{ type: 'bytes', default: 0, min: 0, max: 2 ** 32 },
    sentence:
      'Bytes of one request once unpacked. 0: what the server allows, which is never passed. Beyond: 413.',
  },
  batch_profiles: {
    ...{ type: 'integer', default: 10_000, min: 1, max: 100_000 },
    sentence: 'Profiles of one batch of an agent. Beyond: 413.',
  },
  profile_samples: {
    ...{ type: 'integer', default: 1_000_000, min: 1, max: 10_000_000 },
    sentence: 'Samples of one profile. Beyond: 413.',
  },
  stack_depth: {
    ...{ type: 'integer', default: 4_096, min: 16, max: 100_000 },
    sentence:
      'Frames of one stack. Beyond nothing is refused: the leaf side is kept below a frame [truncated], and counted.',
  },
  series_labels: {
    ...{ type: 'integer', default: 64, min: 1, max: 1_000 },
    sentence: 'Labels of one series. Beyond: 400.',
  },
  label_name_bytes: {
    ...{ type: 'bytes', default: 200, min: 16, max: 4_096 },
    sentence:
      'Bytes of a label name. Beyond nothing is refused: the name is cut, and ends in a hash of the whole one.',
  },
  label_value_bytes: {
    ...{ type: 'bytes', default: 2_048, min: 16, max: 65_536 },
    sentence: 'Bytes of a label value. Beyond: 400.',
  },
  past_window: {
    ...{ type: 'duration', default: 14 * day, min: 60_000, max: 365 * day },
    sentence:
      'How long before its receipt a profile may start. Beyond: 400 for batches of agents; uploads are dated to their receipt.',
  },
  future_window: {
    ...{ type: 'duration', default: 600_000, min: 0, max: day },
    sentence:
      'How long after its receipt a profile may start, by a clock that is ahead. Beyond as with past_window.',
  },
  query_statements: {
    ...{ type: 'integer', default: 3, min: 1, max: 64 },
    sentence:
      'Statements of queries that run in the store at once, of those that STROBE_QUERY_CONCURRENCY gives to all tenants. Beyond they wait; tenants take turns.',
  },
  query_waiting: {
    ...{ type: 'integer', default: 256, min: 1, max: 10_000 },
    sentence: 'Statements of queries that may wait for their turn. Beyond: 429.',
  },
  keep_samples: {
    ...{ type: 'duration', default: 14 * day, min: 3_600_000, max: 3650 * day },
    sentence:
      'Samples, for the last days exact to the second. Older ones are not shown, and are removed with their partition.',
  },
  keep_group_10m: {
    ...{ type: 'duration', default: 2 * day, min: 3_600_000, max: 3650 * day },
    sentence:
      'Sums of ten minutes by group of series. Older ones are not shown, and are removed with their partition.',
  },
  keep_instance_functions_10m: {
    ...{ type: 'duration', default: 14 * day, min: 3_600_000, max: 3650 * day },
    sentence:
      'Functions by ten minutes and instance. Older ones are not shown, and are removed with their partition.',
  },
  keep_series_1h: {
    ...{ type: 'duration', default: 90 * day, min: 3_600_000, max: 3650 * day },
    sentence:
      'Sums by hour and series: what older ranges by host or pod are read from. Older ones are not shown, and are removed with their partition.',
  },
  keep_group_1h: {
    ...{ type: 'duration', default: 400 * day, min: 3_600_000, max: 3650 * day },
    sentence:
      'Sums by hour and group of series: what older ranges by service and version are read from. Older ones are not shown, and are removed with their partition.',
  },
  keep_functions_1h: {
    ...{ type: 'duration', default: 400 * day, min: 3_600_000, max: 3650 * day },
    sentence: 'Functions by hour. Older ones are not shown, and are removed with their partition.',
  },
  keep_profiles: {
    ...{ type: 'duration', default: 90 * day, min: 3_600_000, max: 3650 * day },
    sentence:
      'Profiles without their samples: what cores, missing minutes and averages rest on. Older ones are not shown, and are removed with their partition.',
  },
  keep_totals_1m: {
    ...{ type: 'duration', default: 90 * day, min: 3_600_000, max: 3650 * day },
    sentence: 'Sums by minute: the charts. Older ones are not shown, and are removed with their partition.',
  },
  retention_class: {
    ...{ type: 'integer', default: 0, min: 0, max: 255 },
    sentence:
      'Rows of one class share partitions. Tenants that keep less than others belong into a class of their own: then whole partitions are dropped, and none is rewritten.',
  },
} satisfies Record<string, TenantSetting>

/** The one setting that is no quantity: tenant-groups.ts. */
export const groupSetting = 'group_labels'

export type TenantSettingName = keyof typeof tenantSettings

/** Of one tenant: value by name, as text; what is not there has its default. */
export type TenantValues = ReadonlyMap<string, string>

export function isTenantSetting(name: string): name is TenantSettingName {
  return Object.hasOwn(tenantSettings, name)
}

/** A value that cannot be read any more, by another version, counts as its default. */
export function tenantSetting(values: TenantValues, name: TenantSettingName): number {
  const setting: TenantSetting = tenantSettings[name]
  const value = readQuantity(values.get(name) ?? '', setting.type)
  return value === null ? setting.default : Math.min(setting.max, Math.max(setting.min, value))
}

/**
 * The text to keep for a setting, '' for its default. Throws BAD_REQUEST with what it takes.
 */
export function checkTenantSetting(name: string, text: string): string {
  if (!isTenantSetting(name))
    throw new CodedError(
      'BAD_REQUEST',
      `there is no setting "${name.slice(0, 100)}" of tenants; there are ${[...Object.keys(tenantSettings), groupSetting].join(', ')}`,
      { setting: name.slice(0, 100) },
    )
  if (text === '') return ''
  const setting: TenantSetting = tenantSettings[name]
  const value = readQuantity(text, setting.type)
  const bound = (limit: number) => formatQuantity(limit, setting.type)
  if (value === null || value < setting.min || value > setting.max)
    throw new CodedError(
      'BAD_REQUEST',
      `${name}=${text.slice(0, 100)}: it takes ${quantityHelp[setting.type]} from ${bound(setting.min)} to ${bound(setting.max)}`,
      { setting: name, value: text.slice(0, 100) },
    )
  return text
}
