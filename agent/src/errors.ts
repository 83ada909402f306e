/** Every code the agent fails with; messages name the thing, the value, the limit and the way out. */
export const agentErrorCodes = [
  'OPTION_INVALID',
  'HANDLES_INVALID',
  'LAUNCHER_MISSING',
  'LAUNCH_FAILED',
  'AGENT_ENDED',
  'ADDON_MISSING',
  'FRAME_WORD_INVALID',
  'PIPE_MESSAGE_INVALID',
  'SPOOL_UNUSABLE',
] as const

export type AgentErrorCode = (typeof agentErrorCodes)[number]

/** An expected failure of the agent; the message without its code. */
export class AgentError extends Error {
  override readonly name = 'AgentError'
  readonly code: AgentErrorCode

  constructor(code: AgentErrorCode, sentence: string, cause?: unknown) {
    super(sentence, cause === undefined ? undefined : { cause })
    this.code = code
  }
}
