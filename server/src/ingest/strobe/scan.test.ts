import { create, fromBinary, toBinary } from '@bufbuild/protobuf'
import { WriteRequestSchema } from '@strobe/proto'
import { expect, test } from 'vitest'
import { scanWrite } from './scan.ts'

const series = { labels: [{ name: 'service_name', value: 'api' }], profileName: 'memory' }
const request = toBinary(
  WriteRequestSchema,
  create(WriteRequestSchema, {
    batchId: Buffer.from('0123456789abcdef'),
    bodies: [
      { pprof: new Uint8Array(300), series: [series, {}, series] },
      {},
      { pprof: new Uint8Array(5), series: [series] },
    ],
  }),
)
const scan = (...parts: (Uint8Array | number[])[]) => {
  const { batchId, ...rest } = scanWrite(Buffer.concat(parts.map(part => Uint8Array.from(part))))
  return { batchId: Buffer.from(batchId).toString(), ...rest }
}

test('counts what a request holds', () => {
  expect(scan(request)).toEqual({ batchId: '0123456789abcdef', profiles: 4, bodyBytes: 305 })
  expect(scan()).toEqual({ batchId: '', profiles: 0, bodyBytes: 0 })
})

test('of a field that comes twice the last one counts, as for decoders, and fields of later versions are let be', () => {
  // 1: "x"; 9: varint 300, 10: fixed64, 11: fixed32, 12: a group with 1: varint 7 in it.
  const later = [0x48, 0xac, 2, 0x51, 1, 2, 3, 4, 5, 6, 7, 8, 0x5d, 1, 2, 3, 4, 0x63, 0x08, 7, 0x64]
  // 2: a body whose 1 is "abc", then "z", with a 3: "k".
  const body = [0x12, 11, 0x0a, 3, 97, 98, 99, 0x0a, 1, 122, 0x1a, 1, 107]
  const sent = [request, [0x0a, 1, 120], later, body]
  expect(scan(...sent)).toEqual({ batchId: 'x', profiles: 4, bodyBytes: 306 })
  const decoded = fromBinary(WriteRequestSchema, Buffer.concat(sent.map(part => Uint8Array.from(part))))
  expect(Buffer.from(decoded.batchId).toString()).toBe('x')
  expect(decoded.bodies.reduce((sum, each) => sum + each.pprof.length, 0)).toBe(306)
})

test('bytes that are no request are refused', () => {
  expect(() => scan(request.subarray(0, -1))).toThrow('premature EOF')
  // Lengths of 2 GB, and inside of a body one that passes the body's end.
  expect(() => scan([0x0a, 0xff, 0xff, 0xff, 0xff, 7])).toThrow('premature EOF')
  expect(() => scan([0x12, 3, 0x0a, 9, 1], new Uint8Array(20))).toThrow('premature EOF')
  expect(() => scan([0x08, 1])).toThrow('field 1 has wire type 0, it must have 2')
  expect(() => scan([0x12, 2, 0x10, 1])).toThrow('field 2 has wire type 0, it must have 2')
  // Groups without an end.
  expect(() => scan(Buffer.alloc(100_000, 0x63))).toThrow()
})
