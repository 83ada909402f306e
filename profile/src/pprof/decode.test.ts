import { Profile as PeerProfile } from 'pprof-format'
import { describe, expect, test } from 'vitest'
import { StrobeError } from '../errors.ts'
import type { Profile } from '../model.ts'
import { resolveStacks } from '../normalize.ts'
import { profileFromColumns } from '../testing.ts'
import { decodePprof } from './decode.ts'
import { encodePprof } from './encode.ts'
import { DEFAULT_PPROF_LIMITS, type PprofLimits } from './limits.ts'

/** Wire format by hand: [field, value]; a number or bigint is a varint, a list a message, bytes as they are. */
type Field = [field: number, value: number | bigint | string | Uint8Array | Field[]]

function varint(value: number | bigint): number[] {
  const bytes: number[] = []
  let rest = BigInt.asUintN(64, BigInt(value))
  for (; rest > 127n; rest >>= 7n) bytes.push(Number(rest & 127n) | 128)
  bytes.push(Number(rest))
  return bytes
}

function message(fields: Field[]): Uint8Array {
  return Uint8Array.from(
    fields.flatMap(([field, value]) => {
      if (typeof value === 'number' || typeof value === 'bigint')
        return [...varint(field * 8), ...varint(value)]
      const bytes =
        typeof value === 'string'
          ? new TextEncoder().encode(value)
          : Array.isArray(value)
            ? message(value)
            : value
      return [...varint(field * 8 + 2), ...varint(bytes.length), ...bytes]
    }),
  )
}

const strings: Field[] = ['', 'cpu', 'nanoseconds', 'main', 'k', 'v', 'bytes'].map(text => [6, text])
const cpuType: Field = [
  1,
  [
    [1, 1],
    [2, 2],
  ],
]
const oneFunction: Field = [
  5,
  [
    [1, 1],
    [2, 3],
  ],
]
const oneLocation: Field = [
  4,
  [
    [1, 1],
    [3, 4096],
    [
      4,
      [
        [1, 1],
        [2, 7],
      ],
    ],
  ],
]
const frame: Field[] = [cpuType, oneLocation, oneFunction, ...strings]

function decode(fields: Field[], limits: Partial<PprofLimits> = {}): Profile {
  return decodePprof(message(fields), { ...DEFAULT_PPROF_LIMITS, ...limits })
}

function refusal(fields: Field[] | Uint8Array, limits: Partial<PprofLimits> = {}): string {
  try {
    decodePprof(fields instanceof Uint8Array ? fields : message(fields), {
      ...DEFAULT_PPROF_LIMITS,
      ...limits,
    })
  } catch (error) {
    if (error instanceof StrobeError) return String(error)
    throw error
  }
  return 'accepted'
}

test('packed and unpacked lists read the same, also mixed', () => {
  const packed = decode([
    ...frame,
    [
      2,
      [
        [1, Uint8Array.of(1, 1)],
        [2, Uint8Array.of(5)],
      ],
    ],
  ])
  const unpacked = decode([
    ...frame,
    [
      2,
      [
        [1, 1],
        [1, 1],
        [2, 5],
      ],
    ],
  ])
  const mixed = decode([
    ...frame,
    [
      2,
      [
        [1, 1],
        [2, 5],
        [1, Uint8Array.of(1)],
      ],
    ],
  ])
  expect(unpacked).toEqual(packed)
  expect(mixed).toEqual(packed)
  expect([...packed.stackLocation]).toEqual([0, 0])
})

test.each([
  0n,
  1n,
  127n,
  128n,
  2n ** 28n,
  2n ** 31n,
  2n ** 32n,
  2n ** 53n + 1n,
  2n ** 63n - 1n,
  -1n,
  -(2n ** 63n),
])('the value and the label number %d are exact', value => {
  const profile = decode([
    ...frame,
    [
      2,
      [
        [1, 1],
        [2, value],
        [
          3,
          [
            [1, 4],
            [3, value],
            [4, 6],
          ],
        ],
      ],
    ],
  ])
  expect(profile.values[0]).toBe(value)
  expect(profile.labelNumber[0]).toBe(value)
  expect(decodePprof(encodePprof(profile))).toEqual(profile)
})

test('addresses are unsigned, line numbers below zero become 0', () => {
  const profile = decode([
    cpuType,
    [
      4,
      [
        [1, 1],
        [3, -1n],
        [
          4,
          [
            [1, 1],
            [2, -5n],
          ],
        ],
      ],
    ],
    oneFunction,
    ...strings,
  ])
  expect(profile.locationAddress[0]).toBe(2n ** 64n - 1n)
  expect(profile.lineNumber[0]).toBe(0)
})

test.each([1n, 77n, 1_000_000n, 2n ** 40n, 2n ** 53n + 1n, 2n ** 64n - 1n])(
  'ids may be any number: %d',
  id => {
    const profile = decode([
      cpuType,
      [
        3,
        [
          [1, id],
          [5, 3],
        ],
      ],
      [
        4,
        [
          [1, id],
          [2, id],
          [
            4,
            [
              [1, id],
              [2, 7],
            ],
          ],
        ],
      ],
      [4, [[1, id - 1n === 0n ? 9n : id - 1n]]],
      [
        5,
        [
          [1, id],
          [2, 3],
        ],
      ],
      [
        2,
        [
          [1, id],
          [2, 5],
        ],
      ],
      ...strings,
    ])
    expect([...profile.stackLocation]).toEqual([0])
    expect([...profile.lineFunction]).toEqual([0])
    expect([...profile.locationMapping]).toEqual([0, -1])
  },
)

test('unknown fields of every wire type are skipped, at every level', () => {
  const unknown = [...varint(100 * 8 + 1), 1, 2, 3, 4, 5, 6, 7, 8, ...varint(101 * 8 + 5), 1, 2, 3, 4]
  const more: Field[] = [
    [102, 9n],
    [103, 'text'],
  ]
  const body = message([...frame, [2, [[1, 1], [2, 5], ...more, [3, [[1, 4], [2, 5], ...more]]]], ...more])
  const profile = decodePprof(Uint8Array.from([...unknown, ...body, ...unknown]))
  expect([...profile.values]).toEqual([5n])
})

test('an unknown function id is no function, a location may have no line', () => {
  const profile = decode([
    cpuType,
    [
      4,
      [
        [1, 1],
        [4, [[1, 9]]],
      ],
    ],
    [4, [[1, 2]]],
    [
      2,
      [
        [1, 1],
        [1, 2],
        [2, 5],
      ],
    ],
    ...strings,
  ])
  expect([...profile.lineFunction]).toEqual([-1])
  const resolved = resolveStacks(profile)
  expect(resolved.frameKind).toEqual(['unsymbolized'])
})

test('a label is text or a number', () => {
  const profile = decode([
    ...frame,
    [
      2,
      [
        [1, 1],
        [2, 5],
        [
          3,
          [
            [1, 4],
            [2, 5],
          ],
        ],
        [
          3,
          [
            [1, 4],
            [3, 8],
            [4, 6],
          ],
        ],
        [3, [[1, 4]]],
      ],
    ],
  ])
  const shown = Array.from(profile.labelKey, (key, at) => [
    profile.labelStrings[key],
    profile.labelStrings[profile.labelString[at]!] ?? null,
    profile.labelNumber[at],
    profile.labelStrings[profile.labelUnit[at]!] ?? null,
  ])
  expect(shown).toEqual([
    ['k', 'v', 0n, null],
    ['k', null, 8n, 'bytes'],
    ['k', '', 0n, null],
  ])
})

test('a profile without strings and samples is accepted', () => {
  const profile = decodePprof(Uint8Array.of(10, 0))
  expect(profile.sampleTypes).toEqual([{ type: '', unit: '' }])
  expect(profile.values).toHaveLength(0)
})

const sample: Field = [
  2,
  [
    [1, 1],
    [2, 5],
  ],
]

describe('refused', () => {
  test.each<[string, Field[] | Uint8Array]>([
    ['PPROF_EMPTY: the body is empty', Uint8Array.of()],
    ['PPROF_EMPTY: the 2 bytes hold neither sample types nor samples', Uint8Array.of(72, 1)],
    ['PPROF_TRUNCATED: the field at byte 2 is 5 bytes long and 1 are left', Uint8Array.of(10, 5, 8)],
    ['PPROF_TRUNCATED: a number at byte 1 passes the end at byte 1', Uint8Array.of(72)],
    ['PPROF_TRUNCATED: a fixed field at byte 2 passes the end at byte 5', Uint8Array.of(161, 6, 1, 2, 3)],
    [
      'PPROF_VARINT: the number at byte 1 takes more than 10 bytes',
      Uint8Array.of(72, ...new Array(11).fill(255)),
    ],
    ["PPROF_WIRE_TYPE: wire type 3 at byte 1 is not one of pprof's", Uint8Array.of(123)],
    ['PPROF_WIRE_TYPE: field 2 at byte 1 has wire type 0', Uint8Array.of(16, 1)],
    ['PPROF_STRING_INDEX: string index 99 is outside the table of 7 strings', [[1, [[1, 99]]], ...strings]],
    ['PPROF_STRING_ZERO: string_table[0] is "cpu", it must be empty', [cpuType, [6, 'cpu']]],
    ['PPROF_NO_SAMPLE_TYPES: 1 samples and no sample_type', [...frame.slice(1), sample]],
    ['PPROF_VALUE_COUNT: sample 1 has 0 values for 1 sample types', [...frame, sample, [2, [[1, 1]]]]],
    [
      'PPROF_VALUE_COUNT: sample 0 has 2 values for 1 sample types',
      [
        ...frame,
        [
          2,
          [
            [1, 1],
            [2, 5],
            [2, 5],
          ],
        ],
      ],
    ],
    [
      'PPROF_LOCATION_ZERO: sample 0 names location 0',
      [
        ...frame,
        [
          2,
          [
            [1, 0],
            [2, 5],
          ],
        ],
      ],
    ],
    [
      'PPROF_LOCATION_UNKNOWN: sample 0 names a location that the profile does not hold',
      [
        ...frame,
        [
          2,
          [
            [1, 2],
            [2, 5],
          ],
        ],
      ],
    ],
    ['PPROF_DUPLICATE_ID: two messages are location 1', [...frame, oneLocation]],
    ['PPROF_DUPLICATE_ID: two messages are function 1', [...frame, oneFunction]],
    ['PPROF_ZERO_ID: location number 1 has id 0', [cpuType, [4, [[3, 1]]], ...strings]],
    [
      'PPROF_CONCATENATED: field 9 appears a second time at byte 11',
      [cpuType, [9, 5], [10, 1], [9, 6], ...strings],
    ],
  ])('%s', (wanted, body) => {
    expect(refusal(body)).toBe(wanted)
  })

  test('two whole profiles in one body', () => {
    const whole = message([
      ...frame,
      sample,
      [
        11,
        [
          [1, 1],
          [2, 2],
        ],
      ],
    ])
    expect(refusal(Uint8Array.from([...whole, ...whole]))).toMatch(/^PPROF_CONCATENATED/)
  })

  test.each<[string, Partial<PprofLimits>]>([
    ['PPROF_LIMIT: sample: 2, the limit is 1 (maxSamples)', { maxSamples: 1 }],
    ['PPROF_LIMIT: location_id of sample 1: 3, the limit is 2 (maxStackDepth)', { maxStackDepth: 2 }],
    ['PPROF_LIMIT: string_table: 7, the limit is 6 (maxStrings)', { maxStrings: 6 }],
    ['PPROF_LIMIT: string_table entry: 11, the limit is 10 (maxStringBytes)', { maxStringBytes: 10 }],
    ['PPROF_LIMIT: label of sample 0: 2, the limit is 1 (maxLabelsPerSample)', { maxLabelsPerSample: 1 }],
    ['PPROF_LIMIT: label: 2, the limit is 1 (maxLabels)', { maxLabels: 1 }],
    ['PPROF_LIMIT: line: 1, the limit is 0 (maxLines)', { maxLines: 0 }],
    ['PPROF_LIMIT: location_id: 3, the limit is 2 (maxSampleLocations)', { maxSampleLocations: 2 }],
    ['PPROF_LIMIT: sample_type: 1, the limit is 0 (maxSampleTypes)', { maxSampleTypes: 0 }],
    ['PPROF_LIMIT: location: 1, the limit is 0 (maxLocations)', { maxLocations: 0 }],
    ['PPROF_LIMIT: function: 1, the limit is 0 (maxFunctions)', { maxFunctions: 0 }],
  ])('%s', (wanted, limits) => {
    const label: Field = [
      3,
      [
        [1, 4],
        [2, 5],
      ],
    ]
    const samples: Field[] = [
      [2, [[1, 1], [2, 5], label, label]],
      [
        2,
        [
          [1, 1],
          [1, 1],
          [1, 1],
          [2, 5],
        ],
      ],
    ]
    expect(refusal([...frame, ...samples])).toBe('accepted')
    expect(refusal([...frame, ...samples], limits)).toBe(wanted)
  })

  test('inlined lines that would take a thousand times the body', () => {
    const lines: Field[] = Array.from({ length: 4000 }, () => [4, [[1, 1]]])
    const stack = new Uint8Array(3).fill(1)
    const body = message([
      cpuType,
      [4, [[1, 1], ...lines]],
      oneFunction,
      ...strings,
      [
        2,
        [
          [1, stack],
          [2, 5],
        ],
      ],
    ])
    expect(() => resolveStacks(decodePprof(body))).toThrow(
      'frames of sample 0: 12000 or more, the limit is 8192',
    )
    expect(() => resolveStacks(decodePprof(body), { maxStackFrames: 20_000, maxFrames: 10_000 })).toThrow(
      'frames of all stacks',
    )
  })
})

test('a mapping says that it has names only where every location of it has one', () => {
  const profile = profileFromColumns(`
    main@app     main@app
    puts@libc    raw@libc`)
  // "raw" loses its line: an address alone.
  const raw = {
    ...profile,
    lineOffset: Uint32Array.of(0, 1, 2, 2),
    lineFunction: Int32Array.of(0, 1),
    lineNumber: Uint32Array.of(0, 7),
  }
  const peer = PeerProfile.decode(encodePprof(raw))
  const flags = peer.mapping.map(each => [
    each.hasFunctions,
    each.hasFilenames,
    each.hasLineNumbers,
    each.hasInlineFrames,
  ])
  const named = peer.mapping.map(each => peer.stringTable.strings[Number(each.filename)])
  expect(Object.fromEntries(named.map((name, i) => [name, flags[i]]))).toEqual({
    app: [true, false, true, false],
    libc: [false, false, false, false],
  })
})
