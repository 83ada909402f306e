import { CodedError } from '../errors.ts'
import { groupLabels } from '../tenant-groups.ts'
import { groupSetting, type TenantSettingName, type TenantValues, tenantSetting } from '../tenant-settings.ts'
import type { IngestSettings } from './settings.ts'

/** The server's settings with what the tenant has of its own. */
export function tenantIngestSettings(base: IngestSettings, values: TenantValues): IngestSettings {
  if (values.size === 0) return base
  const own = (name: TenantSettingName, otherwise: number) =>
    values.has(name) ? tenantSetting(values, name) : otherwise
  const unpackedBytes = own('unpacked_bytes', 0)
  const { limits } = base
  return {
    ...base,
    groupLabels: values.has(groupSetting) ? groupLabels(values) : base.groupLabels,
    windowPastMs: own('past_window', base.windowPastMs),
    windowFutureMs: own('future_window', base.windowFutureMs),
    limits: {
      ...limits,
      maxUnpackedBytes:
        unpackedBytes > 0 ? Math.min(unpackedBytes, limits.maxUnpackedBytes) : limits.maxUnpackedBytes,
      maxBatchProfiles: own('batch_profiles', limits.maxBatchProfiles),
      maxProfileSamples: own('profile_samples', limits.maxProfileSamples),
      maxStackDepth: own('stack_depth', limits.maxStackDepth),
      maxLabels: own('series_labels', limits.maxLabels),
      maxLabelNameBytes: own('label_name_bytes', limits.maxLabelNameBytes),
      maxLabelValueBytes: own('label_value_bytes', limits.maxLabelValueBytes),
    },
  }
}

/** A refusal by a limit says whose limit it is, and who can raise it. */
export function nameTenant(error: unknown, tenant: string): unknown {
  if (!(error instanceof CodedError) || error.details.tenant !== undefined) return error
  const { limitName } = error.details
  if (limitName === undefined) return error
  return new CodedError(
    error.code,
    `${error.message} (limit ${limitName} of tenant ${tenant}; strobe admin limits shows and sets it)`,
    { ...error.details, tenant },
    { cause: error },
  )
}
