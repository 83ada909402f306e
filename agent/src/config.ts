import { hostname } from 'node:os'
import { AgentError } from './errors.ts'

export interface AgentConfig {
  server: string
  /** '' for none: then STROBE_TOKEN has the key, or there is none. */
  tokenFile: string
  output: 'server' | 'pipe'
  isAttached: boolean
  rateHz: number
  kernelStacks: boolean
  windowMs: number
  heartbeatMs: number
  spoolDir: string
  spoolBytes: number
  symbolCacheBytes: number
  dwarfBytes: number
  /** Separated by blanks, '' for none. */
  debuginfodUrls: string
  debugDir: string
  debugDirBytes: number
  debugFileBytes: number
  debugTimeoutMs: number
  maxSeries: number
  hostName: string
  /** 'all', 'none' (until told otherwise), or a pid whose descendants count too. */
  target: string
  /** Path of a file of relabel rules, '' without. */
  relabelFile: string
  callTimeoutMs: number
  shutdownTimeoutMs: number
  logLevel: string
}

/** One setting: the flag, the variable, the help and the line in docs/configuration.md all come from here. */
export interface AgentOption {
  key: keyof AgentConfig
  /** Long flag without dashes. */
  flag: string
  variable: string
  type: 'string' | 'integer' | 'boolean'
  /** Unit of the number, '' where there is none. */
  unit: string
  default: string | number | boolean
  /** What it changes and what it costs. */
  sentence: string
  min?: number
  max?: number
  /** Values a string may have. */
  choices?: string[]
}

export const agentOptions: AgentOption[] = [
  {
    ...{ key: 'server', flag: 'server', variable: 'STROBE_SERVER', type: 'string', unit: '' },
    default: '127.0.0.1:4041',
    sentence: 'Host and gRPC port of the server that profiles are sent to.',
  },
  {
    ...{ key: 'tokenFile', flag: 'token-file', variable: 'STROBE_TOKEN_FILE', type: 'string', unit: '' },
    default: '',
    sentence:
      'File with the key for a server that asks for one, role ingest; read again every 30 seconds. STROBE_TOKEN may hold the key itself.',
  },
  {
    ...{ key: 'output', flag: 'output', variable: 'STROBE_AGENT_OUTPUT', type: 'string', unit: '' },
    default: 'server',
    choices: ['server', 'pipe'],
    sentence: 'Where windows go: to the server, or down the pipe of the process that started the agent.',
  },
  {
    ...{ key: 'isAttached', flag: 'attached', variable: 'STROBE_AGENT_ATTACHED', type: 'boolean', unit: '' },
    default: false,
    sentence:
      'Set by the process that starts the agent: it talks to it on stdin and stdout, and the agent ends with it.',
  },
  {
    ...{ key: 'rateHz', flag: 'rate', variable: 'STROBE_RATE_HZ', type: 'integer', unit: 'Hz' },
    default: 19,
    min: 1,
    max: 4999,
    sentence:
      'Samples a second on each CPU that is not idle. More finds rarer functions and costs CPU in proportion.',
  },
  {
    ...{
      key: 'kernelStacks',
      flag: 'kernel-stacks',
      variable: 'STROBE_KERNEL_STACKS',
      type: 'boolean',
      unit: '',
    },
    default: true,
    sentence: 'Record kernel frames too. Off, time in the kernel counts for the function that called it.',
  },
  {
    ...{ key: 'windowMs', flag: 'window', variable: 'STROBE_WINDOW_MS', type: 'integer', unit: 'ms' },
    default: 10_000,
    min: 100,
    max: 600_000,
    sentence: 'Time that one profile covers. Shorter shows changes sooner and sends more.',
  },
  {
    ...{
      key: 'heartbeatMs',
      flag: 'heartbeat',
      variable: 'STROBE_HEARTBEAT_MS',
      type: 'integer',
      unit: 'ms',
    },
    default: 15_000,
    min: 100,
    max: 600_000,
    sentence: 'Time between reports of the agent to the server until the server names another.',
  },
  {
    ...{ key: 'spoolDir', flag: 'spool-dir', variable: 'STROBE_SPOOL_DIR', type: 'string', unit: '' },
    default: '/var/lib/strobe/spool',
    sentence: 'Folder where profiles wait for the server; they survive a restart of the agent there.',
  },
  {
    ...{
      key: 'spoolBytes',
      flag: 'spool-bytes',
      variable: 'STROBE_SPOOL_BYTES',
      type: 'integer',
      unit: 'bytes',
    },
    default: 256 * 1024 * 1024,
    min: 1024 * 1024,
    sentence: 'Disk the waiting profiles may use. When it is full the oldest are dropped and counted.',
  },
  {
    ...{ key: 'symbolCacheBytes', flag: 'symbol-cache-bytes', variable: 'STROBE_SYMBOL_CACHE_BYTES' },
    ...{ type: 'integer', unit: 'bytes', default: 64 * 1024 * 1024, min: 1024 * 1024 },
    sentence:
      'Memory for symbol tables and names of frames. Too little makes the agent read the same files again.',
  },
  {
    ...{ key: 'dwarfBytes', flag: 'dwarf-bytes', variable: 'STROBE_DWARF_BYTES', type: 'integer' },
    ...{ unit: 'bytes', default: 512 * 1024 * 1024, min: 0 },
    sentence:
      'Memory of the process that reads debug information, for inlined calls and lines. It runs only while some is read. 0 leaves symbol tables.',
  },
  {
    ...{ key: 'debuginfodUrls', flag: 'debuginfod-urls', variable: 'STROBE_DEBUGINFOD_URLS' },
    ...{ type: 'string', unit: '', default: '' },
    sentence:
      'Servers of debug files, separated by blanks, as in DEBUGINFOD_URLS. They learn the build ids of what runs here. None are asked when empty.',
  },
  {
    ...{ key: 'debugDir', flag: 'debug-dir', variable: 'STROBE_DEBUG_DIR', type: 'string', unit: '' },
    default: '/var/lib/strobe/debug',
    sentence:
      'Folder of debug files by build id: BUILDID/debuginfo. Those of debuginfod servers are kept there.',
  },
  {
    ...{ key: 'debugDirBytes', flag: 'debug-dir-bytes', variable: 'STROBE_DEBUG_DIR_BYTES' },
    ...{ type: 'integer', unit: 'bytes', default: 2 * 1024 * 1024 * 1024, min: 1024 * 1024 },
    sentence: 'Disk that debug files of debuginfod servers may use; those fetched longest ago go first.',
  },
  {
    ...{ key: 'debugFileBytes', flag: 'debug-file-bytes', variable: 'STROBE_DEBUG_FILE_BYTES' },
    ...{ type: 'integer', unit: 'bytes', default: 512 * 1024 * 1024, min: 1024 },
    sentence:
      'The largest debug file that is fetched. A larger one leaves its functions the names of the symbol table.',
  },
  {
    ...{ key: 'debugTimeoutMs', flag: 'debug-timeout', variable: 'STROBE_DEBUG_TIMEOUT_MS' },
    ...{ type: 'integer', unit: 'ms', default: 60_000, min: 100 },
    sentence: 'Time that one debug file may take to arrive.',
  },
  {
    ...{ key: 'maxSeries', flag: 'max-series', variable: 'STROBE_MAX_SERIES', type: 'integer', unit: '' },
    default: 2000,
    min: 1,
    sentence: 'Label sets a window may have. The rest are added up in the service `other`.',
  },
  {
    ...{ key: 'hostName', flag: 'host-name', variable: 'STROBE_HOST_NAME', type: 'string', unit: '' },
    default: '',
    sentence: 'Value of the label host_name; the name of this machine when empty.',
  },
  {
    ...{ key: 'target', flag: 'target', variable: 'STROBE_TARGET', type: 'string', unit: '' },
    default: 'all',
    sentence: 'What is profiled: `all`, or a process id, which stands for it and its descendants.',
  },
  {
    ...{
      key: 'relabelFile',
      flag: 'relabel-file',
      variable: 'STROBE_RELABEL_FILE',
      type: 'string',
      unit: '',
    },
    default: '',
    sentence:
      'File of rules that name services and choose processes, in Prometheus syntax; see docs/labels.md.',
  },
  {
    ...{ key: 'callTimeoutMs', flag: 'call-timeout', variable: 'STROBE_CALL_TIMEOUT_MS' },
    ...{ type: 'integer', unit: 'ms', default: 10_000, min: 100 },
    sentence: 'Time the server has to answer before a call counts as failed and is tried again.',
  },
  {
    ...{ key: 'shutdownTimeoutMs', flag: 'shutdown-timeout', variable: 'STROBE_SHUTDOWN_TIMEOUT_MS' },
    ...{ type: 'integer', unit: 'ms', default: 5000, min: 0 },
    sentence: 'Time an agent that stops may take to send what is left. The rest waits in the spool.',
  },
  {
    ...{ key: 'logLevel', flag: 'log-level', variable: 'STROBE_LOG_LEVEL', type: 'string', unit: '' },
    default: 'info',
    choices: ['trace', 'debug', 'info', 'warn', 'error', 'silent'],
    sentence: 'How much the agent writes to its log, on stderr.',
  },
]

/**
 * args: `--flag value`, `--flag=value`, and for booleans `--flag` and `--no-flag`. A flag wins over its variable.
 * Throws OPTION_INVALID that names every mistake.
 */
export function parseAgentConfig(
  args: readonly string[],
  env: Record<string, string | undefined>,
): AgentConfig {
  const mistakes: string[] = []
  const given = new Map<string, string>()
  for (let index = 0; index < args.length; index++) {
    const [, no, flag, value] = /^--(no-)?([^=]+)(?:=(.*))?$/s.exec(args[index]!) ?? []
    const option = agentOptions.find(candidate => candidate.flag === flag)
    if (!option) mistakes.push(`"${args[index]}" is no option of the agent`)
    else if (option.type === 'boolean') given.set(option.key, no ? 'false' : (value ?? 'true'))
    else given.set(option.key, value ?? args[++index] ?? '')
  }
  const config: Record<string, unknown> = {}
  for (const option of agentOptions) {
    const text = given.get(option.key) ?? env[option.variable]
    const parsed = text === undefined ? option.default : parseOption(option, text)
    if (parsed === null)
      mistakes.push(`--${option.flag} (${option.variable}) is "${text}"; it takes ${describeRange(option)}`)
    config[option.key] = parsed
  }
  const result = config as unknown as AgentConfig
  if (!/^(all|none|[1-9]\d{0,9})$/.test(result.target))
    mistakes.push(`--target (STROBE_TARGET) is "${result.target}"; it takes all, none or a process id`)
  for (const url of result.debuginfodUrls.split(/\s+/).filter(Boolean))
    if (!/^https?:\/\/[^/]/.test(url))
      mistakes.push(`--debuginfod-urls (STROBE_DEBUGINFOD_URLS) has "${url}"; it takes http and https URLs`)
  if (mistakes.length > 0)
    throw new AgentError('OPTION_INVALID', `${mistakes.join('; ')}. See strobe agent --help`)
  result.hostName ||= hostname()
  return result
}

function parseOption(option: AgentOption, text: string): string | number | boolean | null {
  if (option.type === 'boolean')
    return /^(1|true|yes|on)$/.test(text) ? true : /^(0|false|no|off)$/.test(text) ? false : null
  if (option.type === 'string') return !option.choices || option.choices.includes(text) ? text : null
  const value = /^\d+$/.test(text) ? Number(text) : Number.NaN
  const isInside = value >= (option.min ?? 0) && value <= (option.max ?? Number.MAX_SAFE_INTEGER)
  return isInside ? value : null
}

function describeRange(option: AgentOption): string {
  if (option.type === 'boolean') return 'true or false'
  if (option.choices) return option.choices.join(', ')
  const upTo = option.max === undefined ? '' : ` and at most ${option.max}`
  return `a whole number of ${option.unit || 'items'}, at least ${option.min ?? 0}${upTo}`
}
