import type { Profile } from '../model.ts'
import { DEFAULT_PPROF_LIMITS, type PprofLimits } from './limits.ts'
import { PprofScanner } from './scanner.ts'

/**
 * Decodes one pprof message (github.com/google/pprof proto/profile.proto), already decompressed.
 *
 * Ids become positions: an unknown mapping or function id becomes -1 as in google/pprof, an unknown
 * location id is refused. Samples stay in file order and are not merged; a sample may have no location.
 * Line numbers below 0 or over 2^32 - 1 become 0. The result does not refer to `bytes`.
 * Strings may be slices of one text: whoever keeps one for long keeps the whole table.
 * Throws PPROF_* of errors.ts.
 */
export function decodePprof(bytes: Uint8Array, limits: PprofLimits = DEFAULT_PPROF_LIMITS): Profile {
  const scanner = new PprofScanner()
  scanner.scan(bytes, limits)
  const { layout, labels } = scanner
  const texts = scanner.strings.all()
  const text = (index: number) => texts[index]!
  return {
    sampleTypes: scanner.sampleTypes,
    defaultSampleType: text(layout.defaultSampleType),
    periodType: scanner.periodType,
    period: layout.period,
    timeNanos: layout.timeNanos,
    durationNanos: layout.durationNanos,
    comments: layout.comments.map(text),
    mappings: scanner.mappings,
    functions: Array.from({ length: scanner.functions }, (_, i) => ({
      name: text(scanner.functionName[i]!),
      systemName: text(scanner.functionSystemName[i]!),
      file: text(scanner.functionFile[i]!),
      startLine: scanner.functionStartLine[i]!,
    })),
    locationAddress: new BigUint64Array(scanner.addressHalves.slice(0, 2 * scanner.locations).buffer),
    locationMapping: scanner.locationMapping.slice(0, scanner.locations),
    lineOffset: scanner.lineOffset.slice(0, scanner.locations + 1),
    lineFunction: scanner.lineFunction.slice(0, scanner.lines),
    lineNumber: scanner.lineNumber.slice(0, scanner.lines),
    ...stacksOf(scanner),
    values: new BigInt64Array(
      scanner.valueHalves.slice(0, 2 * scanner.samples * scanner.sampleTypes.length).buffer,
    ),
    labelOffset: scanner.labelOffset.slice(0, scanner.samples + 1),
    labelKey: labels.key.slice(0, labels.count),
    labelString: labels.string.slice(0, labels.count),
    labelNumber: labels.number.slice(0, labels.count),
    labelUnit: labels.unit.slice(0, labels.count),
    labelStrings: labels.texts,
  }
}

function stacksOf(scanner: PprofScanner): Pick<Profile, 'stackOffset' | 'stackLocation'> {
  const { lists, samples, sampleList } = scanner
  const stackOffset = new Uint32Array(samples + 1)
  for (let i = 0; i < samples; i++) {
    const list = sampleList[i]!
    stackOffset[i + 1] = stackOffset[i]! + lists.offset[list + 1]! - lists.offset[list]!
  }
  const stackLocation = new Uint32Array(stackOffset[samples]!)
  for (let i = 0; i < samples; i++) {
    const list = sampleList[i]!
    stackLocation.set(lists.location.subarray(lists.offset[list]!, lists.offset[list + 1]!), stackOffset[i]!)
  }
  return { stackOffset, stackLocation }
}
