import { AgentError } from '../errors.ts'

/**
 * What an agent writes to the process that started it: messages of
 * `length:u32 little endian | type:u8 | payload`, the length counting type and payload.
 */
export const pipeMessageType = {
  /** JSON ReadyMessage: events are on (or never will be) from here. */
  ready: 1,
  /** Bytes of a strobe.v1.WriteRequest, one window. */
  batch: 2,
  /** JSON EndMessage; nothing follows. */
  end: 3,
} as const

export interface ReadyMessage {
  /** Whether samples will come; false in status-only mode. */
  isProfiling: boolean
  reason: string
  pid: number
}

export interface EndMessage {
  counters: Record<string, number>
}

export interface PipeMessage {
  type: number
  payload: Uint8Array
}

const headerBytes = 4
const maxMessageBytes = 256 * 1024 * 1024

export function encodePipeMessage(type: number, payload: Uint8Array): Uint8Array {
  const message = new Uint8Array(headerBytes + 1 + payload.length)
  new DataView(message.buffer).setUint32(0, payload.length + 1, true)
  message[headerBytes] = type
  message.set(payload, headerBytes + 1)
  return message
}

/** Cuts a byte stream into messages, whatever its chunks. */
export class PipeDecoder {
  #chunks: Uint8Array[] = []
  #bytes = 0

  /** Throws PIPE_MESSAGE_INVALID when a length is impossible: the stream is of no use from there on. */
  push(chunk: Uint8Array): PipeMessage[] {
    this.#chunks.push(chunk)
    this.#bytes += chunk.length
    const messages: PipeMessage[] = []
    while (this.#bytes >= headerBytes) {
      const header = this.#peek(headerBytes)
      const length = new DataView(header.buffer, header.byteOffset).getUint32(0, true)
      if (length < 1 || length > maxMessageBytes)
        throw new AgentError(
          'PIPE_MESSAGE_INVALID',
          `a message of the agent says it has ${length} bytes, the limit is ${maxMessageBytes}; something else writes to the agent's output`,
        )
      if (this.#bytes < headerBytes + length) break
      const message = this.#peek(headerBytes + length)
      const rest = this.#chunks[0]!.subarray(headerBytes + length)
      if (rest.length > 0) this.#chunks[0] = rest
      else this.#chunks.shift()
      this.#bytes -= headerBytes + length
      messages.push({ type: message[headerBytes]!, payload: message.subarray(headerBytes + 1) })
    }
    return messages
  }

  /** The first bytes, made contiguous; the first chunk then holds at least these. */
  #peek(bytes: number): Uint8Array {
    if (this.#chunks[0]!.length < bytes) this.#chunks = [Buffer.concat(this.#chunks)]
    return this.#chunks[0]!.subarray(0, bytes)
  }
}
