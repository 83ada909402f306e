import { type Label, profileTypeId, readDeltaMark, type ValueType } from '@strobe/profile'

/**
 * The type of a profile and the labels of its series, as every protocol has to make them: a counter that was
 * sent as a delta gets a type of its own, and the label that said so goes.
 */
export function markType(
  name: string,
  sampleType: ValueType,
  periodType: ValueType,
  labels: readonly Label[],
  durationNs: bigint,
): { type: string; labels: Label[] } {
  const type = {
    name,
    sampleType: sampleType.type,
    sampleUnit: sampleType.unit,
    periodType: periodType.type,
    periodUnit: periodType.unit,
  }
  const mark = readDeltaMark(type, labels, durationNs)
  return {
    type: profileTypeId(name, sampleType, periodType, mark.isDelta),
    labels: mark.labels.map(label => ({ name: label.name, value: label.value })),
  }
}
