import { CodedError } from '../errors.ts'
import { defaultTenant, type Principal } from './access.ts'
import { hashToken, isTokenOf, readTokenId } from './token.ts'

/** A key as it is kept. */
export interface KeyRecord {
  id: string
  tenant: string
  role: Principal['role']
  /** SHA-256 of the token, hex. */
  hash: string
  revokedAtMs: number
}

export interface KeyDirectory {
  /** Whether there ever was a key. */
  readonly hasKeys: boolean
  find(id: string): Promise<KeyRecord | undefined>
}

export interface AuthenticatorOptions {
  keys: KeyDirectory
  /** Whether requests need no key while there is none: on loopback, or --insecure. */
  isOpenWithoutKeys: boolean
  /** Token of whoever can read the server's folder; an admin's of the tenant `default`. */
  localToken: string
}

export type Authenticate = (authorization: string | undefined) => Promise<Principal>

const howTo =
  'send "Authorization: Bearer TOKEN" (STROBE_TOKEN or --token-file of the CLI and the agent); strobe admin keys create makes one'

/**
 * Who sends a request, by its Authorization header (or the metadata of that name). Throws UNAUTHENTICATED with
 * what to do.
 */
export function createAuthenticator(options: AuthenticatorOptions): Authenticate {
  const localHash = hashToken(options.localToken)
  return async authorization => {
    const token = /^Bearer +(\S{1,200}) *$/i.exec(authorization ?? '')?.[1] ?? ''
    if (token !== '' && isTokenOf(token, localHash))
      return { tenant: defaultTenant, role: 'admin', keyId: 'local' }
    if (!options.keys.hasKeys && options.isOpenWithoutKeys)
      return { tenant: defaultTenant, role: 'admin', keyId: '' }
    if (token === '')
      throw new CodedError('UNAUTHENTICATED', `this server asks for a key: ${howTo}`, { reason: 'missing' })
    const id = readTokenId(token)
    const key = id === null ? undefined : await options.keys.find(id)
    if (!key || !isTokenOf(token, key.hash))
      throw new CodedError('UNAUTHENTICATED', `the key is not known here: ${howTo}`, { reason: 'unknown' })
    if (key.revokedAtMs > 0)
      throw new CodedError(
        'UNAUTHENTICATED',
        `the key ${key.id} was revoked at ${new Date(key.revokedAtMs).toISOString()}; use another`,
        { reason: 'revoked', key: key.id },
      )
    return { tenant: key.tenant, role: key.role, keyId: key.id }
  }
}
