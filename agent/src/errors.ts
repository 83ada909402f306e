/** Every code the agent fails with and its line in docs/errors.md. */
export const agentErrors = {
  TOKEN_UNREADABLE:
    'The file with the key for the server cannot be read or holds none; the message names it.',
  OPTION_INVALID: 'A setting cannot be read; the message names the flag and what it takes.',
  HANDLES_INVALID: 'The agent was started without its launcher, or by one of another version.',
  LAUNCHER_MISSING: 'The launcher is not built; `npm run setup` says what it needs.',
  LAUNCH_FAILED: 'The launcher could not start the agent; the message has its words.',
  ADDON_MISSING: 'The native addon is not built; `npm run setup` says what it needs.',
  FRAME_WORD_INVALID:
    'A stack from the addon holds a word of no known kind: addon and agent are of different versions.',
  PIPE_MESSAGE_INVALID: 'What came down the pipe of the agent cannot be read.',
  RELABEL_FILE_INVALID: 'The file of relabel rules cannot be read; the message names every mistake in it.',
  SPOOL_UNUSABLE: 'The spool folder cannot be written.',
} as const

export type AgentErrorCode = keyof typeof agentErrors

/** An expected failure of the agent; the message without its code. */
export class AgentError extends Error {
  override readonly name = 'AgentError'
  readonly code: AgentErrorCode

  constructor(code: AgentErrorCode, sentence: string, cause?: unknown) {
    super(sentence, cause === undefined ? undefined : { cause })
    this.code = code
  }
}
