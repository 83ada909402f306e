import { createInterface } from 'node:readline'
import type { Readable } from 'node:stream'

/** What the process that started the agent may ask, one JSON object a line on the agent's stdin. */
export interface ControlMessage {
  /** Profile this process and its descendants from now on. */
  target?: number
  /** The key to send to the server from now on; '' for none. Not in the environment or in a flag, where others read it. */
  token?: string
}

/** Reads control messages; the end of the input, also by the death of the parent, means stop. */
export function readControl(
  input: Readable,
  onMessage: (message: ControlMessage) => void,
  onEnd: () => void,
): void {
  const lines = createInterface({ input })
  lines.on('line', line => {
    const message = parseControl(line)
    if (message) onMessage(message)
  })
  lines.on('close', onEnd)
  input.on('error', onEnd)
}

function parseControl(line: string): ControlMessage | null {
  try {
    const { target, token } = JSON.parse(line) as ControlMessage
    return {
      ...(Number.isSafeInteger(target) && target! > 0 ? { target: target! } : {}),
      ...(typeof token === 'string' && /^\S*$/.test(token) ? { token } : {}),
    }
  } catch {
    return null
  }
}
