import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { crc32 } from 'node:zlib'
import { encodePipeMessage, PipeDecoder, pipeMessageType } from '../../agent/src/ship/pipe-protocol.ts'
import { Spool } from '../../agent/src/ship/spool.ts'
import { Journal } from '../../server/src/storage/journal.ts'
import { mutateBytes, mutateJson, mutateText } from './mutate.ts'
import { expectThat, one, type Target } from './target.ts'

/** Files that a crash, a disk or another version left in the journal. */
export function journalTarget(): Target {
  const folder = mkdtempSync(join(tmpdir(), 'strobe-fuzz-journal-'))
  const journal = new Journal(folder)
  const header = {
    id: 'g',
    batchKeys: ['default/00'],
    sections: [
      { table: 'stacks', columns: ['tenant', 'stack_id'], token: '', length: 20 },
      { table: 'ingest', columns: ['tenant'], token: 't', length: 30 },
    ],
  }
  const file = (text: Buffer, body: Uint8Array, lie: number) => {
    const length = Buffer.alloc(4)
    length.writeUInt32LE((text.length + lie) >>> 0)
    const whole = Buffer.concat([Buffer.from('STROBEJ1'), length, text, body])
    const tail = Buffer.alloc(4)
    tail.writeUInt32LE(crc32(whole))
    return Buffer.concat([whole, tail])
  }
  return {
    make(pick) {
      const body = Buffer.alloc(50, pick(256))
      const kind = pick(4)
      if (kind === 0) return mutateBytes(file(Buffer.from(JSON.stringify(header)), body, 0), pick)
      const text = JSON.stringify(kind === 1 ? header : mutateJson(header, pick)) ?? ''
      const lie = pick(3) === 0 ? one(pick, [-1, 1, 40, 2 ** 31, 2 ** 32 - 1]) : 0
      return file(Buffer.from(kind === 1 ? mutateText(text, ['{', '"', '0', '1e9'], pick) : text), body, lie)
    },
    async run(input) {
      writeFileSync(join(folder, 'g.group'), input)
      const group = await journal.read('g')
      if (group === null) return 'damaged'
      expectThat(
        typeof group.id === 'string' && group.batchKeys.every(key => typeof key === 'string'),
        'a group is not what it says',
      )
      let bytes = 0
      for (const section of group.sections) {
        expectThat(
          typeof section.table === 'string' &&
            typeof section.token === 'string' &&
            section.columns.every(column => typeof column === 'string'),
          'a section is not what it says',
        )
        bytes += section.bytes.length
      }
      expectThat(bytes <= input.length, 'sections overlap')
      return 'accepted'
    },
    close: () => rmSync(folder, { recursive: true, force: true }),
  }
}

/** Names and contents that are found in an agent's spool. Input: JSON of [name, length] pairs. */
export function spoolTarget(): Target {
  const root = mkdtempSync(join(tmpdir(), 'strobe-fuzz-spool-'))
  const good = `0000000000000007-${'ab'.repeat(16)}.batch`
  let run = 0
  return {
    make(pick) {
      const files = Array.from({ length: 1 + pick(4) }, (_, at) => [
        pick(3) === 0
          ? good.replace('7', String(at + 1))
          : mutateText(good, ['.tmp', '9', '/', '..', ' '], pick),
        pick(3) * 500,
      ])
      return Buffer.from(JSON.stringify(files))
    },
    async run(input) {
      const folder = join(root, String(run++))
      mkdirSync(folder)
      let placed = 0
      for (const [name, length] of JSON.parse(Buffer.from(input).toString()) as [string, number][]) {
        if (
          name.includes('/') ||
          name.includes('\0') ||
          /^\.{0,2}$/.test(name) ||
          Buffer.byteLength(name) > 250
        )
          continue
        writeFileSync(join(folder, name), Buffer.alloc(length))
        placed += length
      }
      const dropped: string[] = []
      const spool = await Spool.open(folder, 1200, entry => dropped.push(entry.name))
      expectThat(spool.bytes <= 1200 && spool.bytes <= placed, 'the spool holds more than it may')
      for (let first = await spool.first(); first; first = await spool.first()) {
        expectThat(first.batch?.length === first.entry.bytes, 'a batch is not as long as it was')
        await spool.remove(first.entry)
      }
      expectThat(spool.length === 0 && spool.bytes === 0, 'an empty spool has bytes')
      rmSync(folder, { recursive: true })
      return dropped.length > 0 ? 'dropped' : 'accepted'
    },
    close: () => rmSync(root, { recursive: true, force: true }),
  }
}

export function pipeTarget(): Target {
  const seed = Buffer.concat([
    encodePipeMessage(pipeMessageType.ready, Buffer.from('{"isProfiling":true}')),
    encodePipeMessage(pipeMessageType.batch, Buffer.alloc(100, 7)),
    encodePipeMessage(pipeMessageType.end, Buffer.from('{"counters":{}}')),
  ])
  return {
    make: pick => mutateBytes(seed, pick),
    run(input) {
      const whole = new PipeDecoder().push(input)
      const decoder = new PipeDecoder()
      const pieces = Array.from(input, byte => decoder.push(Uint8Array.of(byte))).flat()
      expectThat(
        JSON.stringify(pieces.map(each => [each.type, each.payload.length])) ===
          JSON.stringify(whole.map(each => [each.type, each.payload.length])),
        'chunks decide what a message is',
      )
      expectThat(
        whole.reduce((sum, each) => sum + each.payload.length, 0) <= input.length,
        'payloads are longer than the stream',
      )
      return 'accepted'
    },
  }
}
