import { readFileSync } from 'node:fs'
import { CodedError } from '../errors.ts'

/** Where the store answers ClickHouse's HTTP protocol. */
export type StoreAddress =
  | { kind: 'socket'; socketPath: string }
  | {
      kind: 'url'
      /** Scheme, host and port. */
      origin: string
      /** What stands before every path, '' or '/prefix'. */
      prefix: string
      database: string
      user: string
      password: string
      ca?: Buffer
      cert?: Buffer
      key?: Buffer
    }

export interface StoreAccess {
  /** unix:///path, or http(s)://[user[:password]@]host[:port][/prefix...]/[database] */
  url: string
  /** Files of PEM; '' for none. */
  caFile: string
  certFile: string
  keyFile: string
  /** File with the password; '' when the URL has it or there is none. */
  passwordFile: string
}

/** Throws CONFIG_INVALID; no message holds the password. */
export function readStoreAddress(access: StoreAccess): StoreAddress {
  if (access.url.startsWith('unix:')) {
    const socketPath = access.url.replace(/^unix:(\/\/)?/, '')
    if (socketPath.startsWith('/')) return { kind: 'socket', socketPath }
    throw wrong('a unix address is written unix:///path/to/engine.sock')
  }
  const url = parse(access.url)
  const parts = url.pathname.split('/').filter(part => part !== '')
  const database = decodeURIComponent(parts.at(-1) ?? 'default')
  const [ca, cert, key] = (
    [
      ['--clickhouse-ca', access.caFile],
      ['--clickhouse-cert', access.certFile],
      ['--clickhouse-key', access.keyFile],
    ] as const
  ).map(([flag, file]) => readPem(flag, file))
  if (url.protocol === 'http:' && (ca || cert || key))
    throw wrong('certificates are for https:// only, the address begins with http://')
  if ((cert === undefined) !== (key === undefined))
    throw wrong('a client certificate needs both --clickhouse-cert and --clickhouse-key')
  return {
    kind: 'url',
    origin: url.origin,
    prefix: parts.length > 1 ? `/${parts.slice(0, -1).join('/')}` : '',
    database,
    user: decodeURIComponent(url.username) || 'default',
    password: access.passwordFile ? readPassword(access.passwordFile) : decodeURIComponent(url.password),
    ...(ca ? { ca } : {}),
    ...(cert && key ? { cert, key } : {}),
  }
}

/** For people: without the password. */
export function describeAddress(address: StoreAddress): string {
  if (address.kind === 'socket') return `unix://${address.socketPath}`
  return `${address.origin}${address.prefix}/${address.database}`
}

function parse(text: string): URL {
  let url: URL
  try {
    url = new URL(text)
  } catch {
    throw wrong('it is no address; write it as https://user@host:8443/database')
  }
  if (url.protocol !== 'http:' && url.protocol !== 'https:')
    throw wrong(`the scheme ${url.protocol} is not known; use http, https or unix`)
  if (url.search !== '' || url.hash !== '')
    throw wrong('parameters are not taken; settings of the store belong to its user')
  return url
}

function readPem(flag: string, file: string): Buffer | undefined {
  if (file === '') return undefined
  const bytes = readFile(flag, file)
  if (bytes.includes('-----BEGIN ')) return bytes
  throw wrong(`${flag} ${file} is no PEM file`)
}

function readPassword(file: string): string {
  return readFile('--clickhouse-password-file', file)
    .toString()
    .replace(/\r?\n$/, '')
}

function readFile(flag: string, file: string): Buffer {
  try {
    return readFileSync(file)
  } catch (error) {
    throw wrong(`${flag} ${file} cannot be read: ${(error as Error).message}`)
  }
}

function wrong(reason: string): CodedError {
  return new CodedError('CONFIG_INVALID', `STROBE_CLICKHOUSE_URL: ${reason}`)
}
