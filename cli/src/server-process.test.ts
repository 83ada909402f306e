import { expect, test } from 'vitest'
import { describeTunnel } from './commands/up.ts'
import { findInvokingUser } from './server-process.ts'

test.each([
  ['sudo by a user', { SUDO_UID: '1000', SUDO_GID: '100' }, 0, { uid: 1000, gid: 100 }],
  ['root itself', {}, 0, null],
  ['root by sudo', { SUDO_UID: '0', SUDO_GID: '0' }, 0, null],
  ['a user with stale variables', { SUDO_UID: '1000', SUDO_GID: '100' }, 1000, null],
  ['nonsense', { SUDO_UID: 'x', SUDO_GID: '1' }, 0, null],
])('%s', (_name, env, uid, expected) => {
  expect(findInvokingUser(env, uid)).toEqual(expected)
})

test('over SSH the tunnel line names user, host and port', () => {
  const env = { SSH_CONNECTION: '10.0.0.9 50123 10.0.0.5 2222', USER: 'ana' }
  expect(describeTunnel('http://localhost:4040/', env)).toContain(
    'ssh -N -L 4040:localhost:4040 -p 2222 ana@10.0.0.5',
  )
  expect(describeTunnel('http://localhost:4040/', {})).toBe('')
})
