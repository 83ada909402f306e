/**
 * Fills a running server with what test/migrations.test.ts asks for after every migration.
 * argv: base address of the server, its gRPC address.
 */
import { readFile } from 'node:fs/promises'
import { create } from '@bufbuild/protobuf'
import { connectIngest } from '@strobe/server'
import { WriteRequestSchema } from '../../../proto/index.ts'
import { makeBatch } from '../../ingest-process.ts'

const [, , url, grpcAddress] = process.argv
const uploads = [
  ['go-cpu-fib.pb.gz', { service: 'fib', 'label.host_name': 'h1', 'label.service_version': '1.0' }],
  ['go-cpu-fib.pb.gz', { service: 'fib', 'label.host_name': 'h2', 'label.service_version': '1.1' }],
  ['go-cpu-labels.pb.gz', { service: 'labels', 'label.host_name': 'h1' }],
  ['go-stripped-normal.pb.gz', { service: 'stripped', 'label.host_name': 'h1' }],
  ['go-heap-small.pb.gz', { service: 'heap', 'label.host_name': 'h1' }],
] as const
for (const [file, parameters] of uploads) {
  const target = new URL('api/v1/profiles', url)
  for (const [name, value] of Object.entries(parameters)) target.searchParams.set(name, value)
  const body = await readFile(new URL(`../conformance/pprof/${file}`, import.meta.url))
  const response = await fetch(target, {
    method: 'POST',
    headers: { 'content-type': 'application/octet-stream' },
    body: new Uint8Array(body),
  })
  if (!response.ok) throw new Error(`${file}: ${await response.text()}`)
}
const connection = connectIngest(grpcAddress!)
for (const n of [1, 2, 3]) await connection.write(create(WriteRequestSchema, makeBatch(n)))
connection.close()
