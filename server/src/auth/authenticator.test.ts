import { expect, test } from 'vitest'
import type { CodedError } from '../errors.ts'
import { type Access, checkAccess, checkTenant, type Principal } from './access.ts'
import { createAuthenticator, type KeyRecord } from './authenticator.ts'
import { createToken } from './token.ts'

const reader = createToken()
const revoked = createToken()
const known: KeyRecord[] = [
  { id: reader.id, tenant: 'acme', role: 'read', hash: reader.hash, revokedAtMs: 0 },
  { id: revoked.id, tenant: 'acme', role: 'read', hash: revoked.hash, revokedAtMs: 1 },
]

async function outcome(authorization: string | undefined, rows: KeyRecord[], isOpenWithoutKeys: boolean) {
  const authenticate = createAuthenticator({
    keys: { hasKeys: rows.length > 0, find: async id => rows.find(row => row.id === id) },
    isOpenWithoutKeys,
    localToken: 'local-secret',
  })
  try {
    const { tenant, role, keyId } = await authenticate(authorization)
    return `${role} of ${tenant} by ${keyId || 'nobody'}`
  } catch (error) {
    const { code, details } = error as CodedError
    return `${code} ${details.reason}`
  }
}

const otherSecret = `${reader.token.slice(0, -43)}${'A'.repeat(43)}`

test.each([
  ['open, no key', undefined, [], true, 'admin of default by nobody'],
  ['open, a header of a proxy', 'Basic dXNlcjpwYXNz', [], true, 'admin of default by nobody'],
  ['closed, no key was made yet', undefined, [], false, 'UNAUTHENTICATED missing'],
  ['closed, no key was made yet, guessed', `Bearer ${reader.token}`, [], false, 'UNAUTHENTICATED unknown'],
  ['no key where keys exist, even on loopback', undefined, known, true, 'UNAUTHENTICATED missing'],
  ['no bearer', 'Basic dXNlcjpwYXNz', known, true, 'UNAUTHENTICATED missing'],
  ['its key', `Bearer ${reader.token}`, known, false, `read of acme by ${reader.id}`],
  ['its key, other spelling', `bearer  ${reader.token} `, known, false, `read of acme by ${reader.id}`],
  ['right id, wrong secret', `Bearer ${otherSecret}`, known, true, 'UNAUTHENTICATED unknown'],
  ['the id alone', `Bearer ${reader.id}`, known, true, 'UNAUTHENTICATED unknown'],
  ['the kept hash', `Bearer ${reader.hash}`, known, true, 'UNAUTHENTICATED unknown'],
  ['revoked', `Bearer ${revoked.token}`, known, true, 'UNAUTHENTICATED revoked'],
  ['only a revoked one is left', undefined, known.slice(1), true, 'UNAUTHENTICATED missing'],
  ['who reads the folder', 'Bearer local-secret', known, false, 'admin of default by local'],
  ['an endless token', `Bearer ${'x'.repeat(10_000)}`, known, true, 'UNAUTHENTICATED missing'],
] as const)('%s', async (_name, header, rows, isOpen, expected) => {
  expect(await outcome(header, [...rows], isOpen)).toBe(expected)
})

test.each([
  ['ingest of acme', 'ingest', true],
  ['ingest of acme', 'read', false],
  ['ingest of acme', 'admin', false],
  ['read of acme', 'read', true],
  ['read of acme', 'ingest', false],
  ['read of default', 'operator', false],
  ['admin of acme', 'ingest', true],
  ['admin of acme', 'read', true],
  ['admin of acme', 'admin', true],
  ['admin of acme', 'operator', false],
  ['admin of default', 'operator', true],
] as const)('%s may %s: %s', (who, access, isAllowed) => {
  const [role, , tenant] = who.split(' ') as [Principal['role'], string, string]
  const run = () => checkAccess({ role, tenant, keyId: 'k' }, access as Access)
  if (isAllowed) expect(run).not.toThrow()
  else expect(run).toThrow(expect.objectContaining({ code: 'FORBIDDEN' }))
})

test('an admin manages its own tenant, an operator all', () => {
  const admin: Principal = { role: 'admin', tenant: 'acme', keyId: 'k' }
  expect(checkTenant(admin, 'acme')).toBe('acme')
  expect(() => checkTenant(admin, 'other')).toThrow(/manages no other/)
  expect(checkTenant({ ...admin, tenant: 'default' }, 'other')).toBe('other')
})
