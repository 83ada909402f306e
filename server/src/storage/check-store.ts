import { CodedError } from '../errors.ts'
import type { StoreClient } from './client.ts'
import { describeAddress, type StoreAddress } from './store-address.ts'

const tlsCodes = /^(UNABLE_TO_|SELF_SIGNED_|DEPTH_ZERO_|CERT_|ERR_TLS_|ERR_SSL_|EPROTO)/

/**
 * Asks the store for nothing, to tell what is wrong with the way to it. Throws STORE_UNREACHABLE,
 * STORE_TLS_FAILED, STORE_LOGIN_REFUSED, STORE_DATABASE_MISSING, STORE_FAILED: each names the address without
 * the password, and the way out.
 */
export async function checkStore(client: StoreClient, address: StoreAddress): Promise<void> {
  try {
    const result = await client.query({ query: 'SELECT 1 AS one', format: 'JSONEachRow' })
    const [row] = await result.json<{ one: number }>()
    if (row?.one !== 1) throw new Error('it answers, but not as ClickHouse does')
  } catch (error) {
    throw describeStoreFailure(error, address)
  }
}

export function describeStoreFailure(error: unknown, address: StoreAddress): CodedError {
  const where = describeAddress(address)
  const { code = '', message = '' } = error as { code?: string; message?: string }
  const options = { cause: error }
  const details = { address: where, reason: code || message.slice(0, 200) }
  const user = address.kind === 'url' ? address.user : ''
  const database = address.kind === 'url' ? address.database : ''
  switch (code) {
    case '192':
    case '193':
    case '194':
    case '516':
      return new CodedError(
        'STORE_LOGIN_REFUSED',
        `ClickHouse at ${where} refuses user ${user}: the password is wrong or there is no such user; see STROBE_CLICKHOUSE_URL and --clickhouse-password-file`,
        details,
        options,
      )
    case '81':
      return new CodedError(
        'STORE_DATABASE_MISSING',
        `ClickHouse at ${where} has no database ${database}; make it with CREATE DATABASE ${database}, or name another at the end of STROBE_CLICKHOUSE_URL`,
        details,
        options,
      )
    case '497':
      return new CodedError(
        'STORE_LOGIN_REFUSED',
        `ClickHouse at ${where} lets user ${user} do too little: ${message}; grant it SELECT, INSERT, CREATE, ALTER, DROP and TRUNCATE on ${database}.*`,
        details,
        options,
      )
  }
  if (/SELF_SIGNED_|UNABLE_TO_|DEPTH_ZERO_/.test(code))
    return tlsFailed(
      'its certificate is signed by nobody this machine knows; name its CA with --clickhouse-ca',
    )
  if (code === 'ERR_TLS_CERT_ALTNAME_INVALID')
    return tlsFailed(`its certificate is for another name; use the name that it has: ${message}`)
  if (code === 'CERT_HAS_EXPIRED') return tlsFailed('its certificate has expired; renew it')
  if (/wrong version number|packet length too long/i.test(message))
    return tlsFailed('it does not speak TLS on that port; use http:// or another port')
  if (/certificate required|handshake failure|bad certificate/i.test(message))
    return tlsFailed(
      'it asks for a client certificate, or refuses the one given; see --clickhouse-cert and --clickhouse-key',
    )
  if (tlsCodes.test(code)) return tlsFailed(message)
  if (/^E[A-Z]+$/.test(code) || /timeout|socket hang up/i.test(message))
    return new CodedError(
      'STORE_UNREACHABLE',
      `no ClickHouse answers at ${where} (${code || message}); check the host and port of STROBE_CLICKHOUSE_URL, and that it runs and may be reached from here`,
      details,
      options,
    )
  return new CodedError(
    'STORE_FAILED',
    `what answers at ${where} is no ClickHouse, or refuses: ${message.trim().slice(0, 300)}; check the host, port and path of STROBE_CLICKHOUSE_URL`,
    details,
    options,
  )

  function tlsFailed(reason: string): CodedError {
    return new CodedError('STORE_TLS_FAILED', `no TLS with ${where}: ${reason}`, details, options)
  }
}
