import { tenantSettings } from './tenant-settings.ts'

/** Bounds of what the server takes in. Each refusal names the one it met. */
export interface IngestLimits {
  /** Bytes of one request body, as sent. */
  maxBodyBytes: number
  /** Bytes of one profile body once unpacked. */
  maxUnpackedBytes: number
  /** Profiles of one batch. */
  maxBatchProfiles: number
  /** Samples of one profile, equal ones summed. */
  maxProfileSamples: number
  /** Frames of one stack; deeper ones are cut. */
  maxStackDepth: number
  /** Labels of one series. */
  maxLabels: number
  /** Longer names are cut. */
  maxLabelNameBytes: number
  maxLabelValueBytes: number
}

export function defaultIngestLimits(): IngestLimits {
  return {
    maxBodyBytes: 16 * 2 ** 20,
    maxUnpackedBytes: 128 * 2 ** 20,
    maxBatchProfiles: tenantSettings.batch_profiles.default,
    maxProfileSamples: tenantSettings.profile_samples.default,
    maxStackDepth: tenantSettings.stack_depth.default,
    maxLabels: tenantSettings.series_labels.default,
    maxLabelNameBytes: tenantSettings.label_name_bytes.default,
    maxLabelValueBytes: tenantSettings.label_value_bytes.default,
  }
}
