import type { Writable } from 'node:stream'
import { toBinary } from '@bufbuild/protobuf'
import { type WriteRequest, WriteRequestSchema } from '@strobe/proto'
import { encodePipeMessage, pipeMessageType } from './pipe-protocol.ts'
import type { Sink } from './sink.ts'

/** Sends windows to the process that started the agent, which has a server's place for them. */
export class PipeSink implements Sink {
  readonly #output: Writable

  constructor(output: Writable) {
    this.#output = output
  }

  async put(batch: WriteRequest): Promise<void> {
    await writeMessage(this.#output, pipeMessageType.batch, toBinary(WriteRequestSchema, batch))
  }

  async close(): Promise<void> {}
}

/** Resolves when the bytes are handed to the kernel, so a slow reader slows the writer. */
export function writeMessage(output: Writable, type: number, payload: Uint8Array): Promise<void> {
  return new Promise((resolve, reject) => {
    output.write(encodePipeMessage(type, payload), error => (error ? reject(error) : resolve()))
  })
}

export function writeJson(output: Writable, type: number, value: unknown): Promise<void> {
  return writeMessage(output, type, Buffer.from(JSON.stringify(value)))
}
