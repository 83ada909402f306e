import { join, resolve } from 'node:path'
import { CodedError } from './errors.ts'
import { lifeOptions } from './life-options.ts'
import { quantityHelp, readQuantity } from './quantity.ts'

export type OptionType = 'string' | 'integer' | 'duration' | 'bytes' | 'boolean' | 'list'
export type OptionValue = string | number | boolean | string[]

/** One setting: the flag, the variable, the help and the line in docs/configuration.md all come from here. */
export interface ServerOption {
  /** Key in ServerConfig. */
  key: keyof ServerConfig
  /** Long flag without dashes. */
  flag: string
  variable: string
  type: OptionType
  /** Unit of the number, '' where there is none. */
  unit: string
  default: OptionValue
  /** What it changes and what it costs. */
  sentence: string
  min?: number
  max?: number
}

export interface ServerConfig {
  listen: string
  port: number
  grpcPort: number
  dataDir: string
  backups: string
  diskFreeBytes: number
  diskRefuseBytes: number
  storeBytes: number
  lifeIntervalMs: number
  clickhouseUrl: string
  clickhouseCa: string
  clickhouseCert: string
  clickhouseKey: string
  clickhousePasswordFile: string
  engineListen: string
  enginePasswordFile: string
  leaseMs: number
  insecure: boolean
  allowedHosts: string[]
  demo: boolean
  maxUploadBytes: number
  maxUnpackedBytes: number
  decodeWorkers: number
  queryTimeoutMs: number
  queryMemoryBytes: number
  queryRows: number
  queryConcurrency: number
  slowQueryMs: number
  queryNodes: number
  queryFrames: number
  stackCacheBytes: number
  levels: boolean
  levelIntervalMs: number
  levelDelayMs: number
  agentSilentMs: number
  shutdownTimeoutMs: number
  logLevel: string
}

export const serverOptions: ServerOption[] = [
  {
    key: 'listen',
    flag: 'listen',
    variable: 'STROBE_LISTEN',
    type: 'string',
    unit: '',
    default: '127.0.0.1',
    sentence:
      'Address to listen on, for HTTP and gRPC. Beyond loopback every request needs a key (`strobe admin keys create`), unless --insecure lets everybody in.',
  },
  {
    key: 'port',
    flag: 'port',
    variable: 'STROBE_PORT',
    type: 'integer',
    unit: '',
    default: 4040,
    min: 0,
    max: 65535,
    sentence: 'Port of the page and the HTTP API; 0 takes a free one.',
  },
  {
    key: 'grpcPort',
    flag: 'grpc-port',
    variable: 'STROBE_GRPC_PORT',
    type: 'integer',
    unit: '',
    default: 4041,
    min: 0,
    max: 65535,
    sentence: 'Port agents send to; 0 takes a free one.',
  },
  {
    key: 'dataDir',
    flag: 'data',
    variable: 'STROBE_DATA',
    type: 'string',
    unit: '',
    default: '.strobe',
    sentence: 'Directory of the embedded store and the journal, made when missing.',
  },
  ...lifeOptions,
  {
    key: 'clickhouseUrl',
    flag: 'clickhouse-url',
    variable: 'STROBE_CLICKHOUSE_URL',
    type: 'string',
    unit: '',
    default: '',
    sentence:
      "A ClickHouse server to keep profiles in: https://user:password@host:8443/database, with a path prefix before the database where a proxy wants one, or unix:///path of another server's embedded engine. Without it an embedded engine runs in a child process.",
  },
  {
    key: 'clickhouseCa',
    flag: 'clickhouse-ca',
    variable: 'STROBE_CLICKHOUSE_CA',
    type: 'string',
    unit: '',
    default: '',
    sentence:
      "File of PEM certificates that sign those of the ClickHouse server, instead of the machine's own.",
  },
  {
    key: 'clickhouseCert',
    flag: 'clickhouse-cert',
    variable: 'STROBE_CLICKHOUSE_CERT',
    type: 'string',
    unit: '',
    default: '',
    sentence: 'File of the PEM certificate that this server shows to ClickHouse.',
  },
  {
    key: 'clickhouseKey',
    flag: 'clickhouse-key',
    variable: 'STROBE_CLICKHOUSE_KEY',
    type: 'string',
    unit: '',
    default: '',
    sentence: 'File of the PEM key of that certificate.',
  },
  {
    key: 'clickhousePasswordFile',
    flag: 'clickhouse-password-file',
    variable: 'STROBE_CLICKHOUSE_PASSWORD_FILE',
    type: 'string',
    unit: '',
    default: '',
    sentence: 'File with the password for ClickHouse, instead of one in the URL.',
  },
  {
    key: 'engineListen',
    flag: 'engine-listen',
    variable: 'STROBE_ENGINE_LISTEN',
    type: 'string',
    unit: '',
    default: '',
    sentence:
      "Address and port, such as 10.0.0.5:8123, where other servers reach this one's embedded engine as http://strobe:PASSWORD@10.0.0.5:8123. No TLS: a network you trust, or a proxy in front. Needs --engine-password-file.",
  },
  {
    key: 'enginePasswordFile',
    flag: 'engine-password-file',
    variable: 'STROBE_ENGINE_PASSWORD_FILE',
    type: 'string',
    unit: '',
    default: '',
    sentence: 'File with the password that other servers need for --engine-listen, 16 characters or more.',
  },
  {
    key: 'leaseMs',
    flag: 'server-lease',
    variable: 'STROBE_SERVER_LEASE',
    type: 'duration',
    unit: 'ms',
    default: 60_000,
    min: 500,
    max: 3_600_000,
    sentence:
      'Of several servers on one store: one that gave no sign of life for so long loses the batches that it had begun to another. Shorter makes agents of a dead server wait less.',
  },
  {
    key: 'insecure',
    flag: 'insecure',
    variable: 'STROBE_INSECURE',
    type: 'boolean',
    unit: '',
    default: false,
    sentence:
      'Serve beyond loopback without keys: whoever reaches the port may read, write and administer. Once a key exists, keys are asked for all the same.',
  },
  {
    key: 'allowedHosts',
    flag: 'allowed-hosts',
    variable: 'STROBE_ALLOWED_HOSTS',
    type: 'list',
    unit: '',
    default: [],
    sentence:
      'Host names, comma-separated, that requests may use besides localhost; other names are refused, which stops DNS rebinding.',
  },
  {
    key: 'demo',
    flag: 'demo',
    variable: 'STROBE_DEMO',
    type: 'boolean',
    unit: '',
    default: false,
    sentence: 'Mark everything in this store as demo data, which may be deleted with one request.',
  },
  {
    key: 'maxUploadBytes',
    flag: 'max-upload-bytes',
    variable: 'STROBE_MAX_UPLOAD_BYTES',
    type: 'bytes',
    unit: 'bytes',
    default: 16 * 2 ** 20,
    min: 1024,
    sentence: 'Largest request body, as sent. A larger one is refused before it is read to its end.',
  },
  {
    key: 'maxUnpackedBytes',
    flag: 'max-unpacked-bytes',
    variable: 'STROBE_MAX_UNPACKED_BYTES',
    type: 'bytes',
    unit: 'bytes',
    default: 128 * 2 ** 20,
    min: 1024,
    sentence: 'Largest profile once unpacked; unpacking stops there. Costs up to three times this in memory.',
  },
  {
    key: 'decodeWorkers',
    flag: 'decode-workers',
    variable: 'STROBE_DECODE_WORKERS',
    type: 'integer',
    unit: 'threads',
    default: 0,
    min: 0,
    max: 256,
    sentence:
      'Threads that unpack and decode profiles, started when there is work; 0 takes half the processors. Each costs about 20 MB.',
  },
  {
    key: 'queryTimeoutMs',
    flag: 'query-timeout',
    variable: 'STROBE_QUERY_TIMEOUT',
    type: 'duration',
    unit: 'ms',
    default: 30_000,
    min: 100,
    sentence: 'Longest a query may run in the store before it is stopped.',
  },
  {
    key: 'queryMemoryBytes',
    flag: 'query-memory',
    variable: 'STROBE_QUERY_MEMORY',
    type: 'bytes',
    unit: 'bytes',
    default: 2 ** 30,
    min: 2 ** 24,
    sentence: 'Memory one query may use in the store.',
  },
  {
    key: 'queryRows',
    flag: 'query-rows',
    variable: 'STROBE_QUERY_ROWS',
    type: 'integer',
    unit: 'rows',
    default: 2_000_000,
    min: 1000,
    sentence: 'Distinct stacks, points or labels one query may return from the store.',
  },
  {
    key: 'queryConcurrency',
    flag: 'query-concurrency',
    variable: 'STROBE_QUERY_CONCURRENCY',
    type: 'integer',
    unit: 'queries',
    default: 4,
    min: 1,
    max: 64,
    sentence:
      'Statements of queries that run in the store at once; others wait. At most half of them are over more than 6 hours, and a tenant has at most its query_statements of them.',
  },
  {
    key: 'slowQueryMs',
    flag: 'slow-query',
    variable: 'STROBE_SLOW_QUERY',
    type: 'duration',
    unit: 'ms',
    default: 1_000,
    min: 0,
    sentence:
      'A statement, or the putting together of its stacks, that takes this long is logged with tenant, rows, bytes and time; 0 logs all.',
  },
  {
    key: 'queryNodes',
    flag: 'query-nodes',
    variable: 'STROBE_QUERY_NODES',
    type: 'integer',
    unit: 'nodes',
    default: 8_000_000,
    min: 1000,
    max: 64_000_000,
    sentence:
      'Nodes that the call tree of one query may have before it is pruned. Each costs about 55 bytes of the server while it is built.',
  },
  {
    key: 'queryFrames',
    flag: 'query-frames',
    variable: 'STROBE_QUERY_FRAMES',
    type: 'integer',
    unit: 'frames',
    default: 100_000_000,
    min: 1000,
    sentence: 'Frames that all stacks of one query may have together; each is looked at once.',
  },
  {
    key: 'stackCacheBytes',
    flag: 'stack-cache',
    variable: 'STROBE_STACK_CACHE',
    type: 'bytes',
    unit: 'bytes',
    default: 128 * 2 ** 20,
    min: 0,
    sentence:
      'Memory for stacks kept between queries, a fifth of it for exports; less means more reads per flame graph.',
  },
  {
    key: 'levels',
    flag: 'levels',
    variable: 'STROBE_LEVELS',
    type: 'boolean',
    unit: '',
    default: true,
    sentence:
      'Sum closed hours and ten minutes in the background, so that long ranges need not read every sample. Off, what was summed before is still read, and all else comes from samples.',
  },
  {
    key: 'levelIntervalMs',
    flag: 'level-interval',
    variable: 'STROBE_LEVEL_INTERVAL',
    type: 'duration',
    unit: 'ms',
    default: 30_000,
    min: 100,
    sentence: 'Pause between two looks for hours and ten minutes to sum.',
  },
  {
    key: 'levelDelayMs',
    flag: 'level-delay',
    variable: 'STROBE_LEVEL_DELAY',
    type: 'duration',
    unit: 'ms',
    default: 120_000,
    min: 0,
    sentence:
      'An hour or ten minutes are summed so long after their end, and once nothing came for them for half of it. Profiles that come later make them be summed again.',
  },
  {
    key: 'agentSilentMs',
    flag: 'agent-silent',
    variable: 'STROBE_AGENT_SILENT',
    type: 'duration',
    unit: 'ms',
    default: 60_000,
    min: 1000,
    sentence: 'An agent that sent no heartbeat for this long is shown as silent.',
  },
  {
    key: 'shutdownTimeoutMs',
    flag: 'shutdown-timeout',
    variable: 'STROBE_SHUTDOWN_TIMEOUT',
    type: 'duration',
    unit: 'ms',
    default: 15_000,
    min: 0,
    sentence: 'Time open requests get to finish when the server stops.',
  },
  {
    key: 'logLevel',
    flag: 'log-level',
    variable: 'STROBE_LOG_LEVEL',
    type: 'string',
    unit: '',
    default: 'info',
    sentence: 'Least severe log line written: trace, debug, info, warn, error or silent.',
  },
]

/**
 * Reads settings: flags win over variables, variables over defaults.
 *
 * flags: by key, as typed by the user (text, or true for a switch); undefined is absent.
 * Throws CONFIG_INVALID naming every mistake at once.
 */
export function readConfig(
  flags: Partial<Record<keyof ServerConfig, unknown>>,
  env: Record<string, string | undefined>,
): ServerConfig {
  const mistakes: string[] = []
  const values: Record<string, OptionValue> = {}
  for (const option of serverOptions) {
    const flag = flags[option.key]
    const given = flag ?? env[option.variable]
    const source = flag !== undefined ? `--${option.flag}` : option.variable
    if (given === undefined || given === '') {
      values[option.key] = option.default
      continue
    }
    const value = readValue(option, given)
    if (typeof value === 'object' && !Array.isArray(value))
      mistakes.push(`${source}=${given}: ${value.wrong}`)
    else values[option.key] = value
  }
  const config = values as unknown as ServerConfig
  if (mistakes.length === 0) {
    const levels = ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent']
    if (!levels.includes(config.logLevel))
      mistakes.push(`--log-level=${config.logLevel}: choose one of ${levels.join(', ')}`)
    if (config.engineListen !== '') {
      if (!/^(\[[0-9a-fA-F:.]+\]|[^:\s]+):\d{1,5}$/.test(config.engineListen))
        mistakes.push(`--engine-listen=${config.engineListen}: not an address and port such as 10.0.0.5:8123`)
      if (config.clickhouseUrl !== '')
        mistakes.push('--engine-listen: there is no embedded engine with --clickhouse-url')
      if (config.enginePasswordFile === '')
        mistakes.push('--engine-listen: others need a password; name its file with --engine-password-file')
    }
    config.dataDir = resolve(config.dataDir)
    config.backups = resolve(config.backups || join(config.dataDir, 'backups'))
  }
  if (mistakes.length > 0)
    throw new CodedError('CONFIG_INVALID', `settings refused: ${mistakes.join('; ')}`, { mistakes })
  return config
}

function readValue(option: ServerOption, given: unknown): OptionValue | { wrong: string } {
  const text = String(given).trim()
  switch (option.type) {
    case 'string':
      return text
    case 'list':
      return text
        .split(',')
        .map(part => part.trim())
        .filter(part => part !== '')
    case 'boolean':
      if (given === true || /^(1|true|yes|on)$/i.test(text)) return true
      if (given === false || /^(0|false|no|off)$/i.test(text)) return false
      return { wrong: 'not yes or no' }
    default: {
      const number = readQuantity(text, option.type)
      if (number === null) return { wrong: `not ${quantityHelp[option.type]}` }
      if (option.min !== undefined && number < option.min)
        return { wrong: `less than ${option.min} ${option.unit}`.trim() }
      if (option.max !== undefined && number > option.max)
        return { wrong: `more than ${option.max} ${option.unit}`.trim() }
      return number
    }
  }
}

/** True for addresses that only this machine reaches. */
export function isLoopback(address: string): boolean {
  return /^(localhost|127(\.\d{1,3}){3}|::1|\[::1\])$/.test(address)
}

/** One line per option, for help texts and docs: flag with its value's kind, variable, default and sentence. */
export function describeOptions(options: ServerOption[] = serverOptions): {
  flag: string
  variable: string
  default: string
  sentence: string
}[] {
  return options.map(option => ({
    flag: option.type === 'boolean' ? `--${option.flag}` : `--${option.flag} <${option.type}>`,
    variable: option.variable,
    default: formatDefault(option),
    sentence: option.sentence,
  }))
}

function formatDefault(option: ServerOption): string {
  if (Array.isArray(option.default)) return option.default.join(',')
  if (option.type === 'bytes') {
    const bytes = Number(option.default)
    return bytes >= 2 ** 30 ? `${bytes / 2 ** 30}GiB` : `${bytes / 2 ** 20}MiB`
  }
  if (option.type === 'duration') return `${Number(option.default) / 1000}s`
  return option.default === false ? 'no' : option.default === true ? 'yes' : String(option.default)
}
