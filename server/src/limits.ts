/** Bounds of what the server takes in. Each refusal names the one it met. */
export interface IngestLimits {
  /** Bytes of one request body, as sent. */
  maxBodyBytes: number
  /** Bytes of one profile body once unpacked. */
  maxUnpackedBytes: number
  /** Profiles of one batch. */
  maxBatchProfiles: number
  /** Labels of one series. */
  maxLabels: number
  maxLabelNameBytes: number
  maxLabelValueBytes: number
}

export function defaultIngestLimits(): IngestLimits {
  return {
    maxBodyBytes: 16 * 2 ** 20,
    maxUnpackedBytes: 128 * 2 ** 20,
    maxBatchProfiles: 10_000,
    maxLabels: 64,
    maxLabelNameBytes: 200,
    maxLabelValueBytes: 2_048,
  }
}
