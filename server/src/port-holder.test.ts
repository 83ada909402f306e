import { createServer } from 'node:net'
import { expect, test } from 'vitest'
import { findPortHolder, listeningInodes } from './port-holder.ts'

// Lines of /proc/net/tcp: 0FC8 is 4040; state 0A listens, 01 is a connection to it.
const table = `  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:0FC8 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 51234 1 0000000000000000 100 0 0 10 0
   1: 0100007F:0FC8 0100007F:C350 01 00000000:00000000 00:00000000 00000000  1000        0 51299 1 0000000000000000 20 4 30 10 -1
   2: 00000000:10FC8 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 60000 1 0000000000000000 100 0 0 10 0
   3: 0100007F:0FC9 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 51300 1 0000000000000000 100 0 0 10 0
`

test('only the socket that listens on the port counts', () => {
  expect(listeningInodes(table, 4040)).toEqual(['51234'])
  expect(listeningInodes(table, 4042)).toEqual([])
})

test('this process is found as the holder of its own port', async () => {
  const server = createServer()
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as { port: number }
  const holder = await findPortHolder(port)
  expect(holder?.pid).toBe(process.pid)
  expect(holder?.command).toContain('node')
  await new Promise(resolve => server.close(resolve))
  expect(await findPortHolder(port)).toBeNull()
})
