// Burns CPU in native code of Node, called from JavaScript, until it is ended: hot.mjs SECONDS.
import { pbkdf2Sync } from 'node:crypto'

const endMs = performance.now() + 1000 * Number(process.argv[2] ?? 5)
let sum = 0

function derive() {
  return pbkdf2Sync('cart', 'salt', 20_000, 64, 'sha512')
}

while (performance.now() < endMs) sum += derive()[0]
console.error(sum)
