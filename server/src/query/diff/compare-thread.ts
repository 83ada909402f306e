import { parentPort } from 'node:worker_threads'
import { type CompareInput, compareSides } from './compare-sides.ts'

const port = parentPort!
port.on('message', (input: CompareInput) => port.postMessage(compareSides(input)))
