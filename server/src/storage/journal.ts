import { closeSync, fsyncSync, mkdirSync, openSync } from 'node:fs'
import { open, readdir, readFile, rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { crc32 } from 'node:zlib'

/** Rows for one table, as they will be sent. */
export interface Section {
  table: string
  columns: string[]
  /** '' when the table's engine makes a second insert harmless. */
  token: string
  bytes: Uint8Array
}

/** A group of batches on its way into the store; sections are inserted in order. */
export interface Group {
  /** Unique; sorts by time. */
  id: string
  /** `tenant/hex id` of the batches, for the ledger. */
  batchKeys: string[]
  /** Where the rows of each batch go (places.ts); only where other servers may store the same batch. */
  places?: string[]
  sections: Section[]
}

interface Header {
  id: string
  batchKeys: string[]
  places?: string[]
  sections: { table: string; columns: string[]; token: string; length: number }[]
}

/** null when the text is no header: another program's, or another version's. */
function parseHeader(text: string): Header | null {
  let header: Partial<Header> | null
  try {
    header = JSON.parse(text) as Partial<Header> | null
  } catch {
    return null
  }
  const isTextList = (list: unknown) => Array.isArray(list) && list.every(each => typeof each === 'string')
  const isSection = (section: Partial<Header['sections'][number]> | null) =>
    typeof section?.table === 'string' &&
    isTextList(section.columns) &&
    typeof section.token === 'string' &&
    Number.isSafeInteger(section.length) &&
    section.length! >= 0
  const isWhole =
    typeof header?.id === 'string' &&
    isTextList(header.batchKeys) &&
    (header.places === undefined || isTextList(header.places)) &&
    Array.isArray(header.sections) &&
    header.sections.every(isSection)
  return isWhole ? (header as Header) : null
}

const magic = Buffer.from('STROBEJ1')
const suffix = '.group'

/**
 * Groups that were acknowledged to nobody yet but may be partly in the store. A group is replayed with the
 * same bytes under the same token, or the store would take it for another.
 *
 * File: magic 8, header length u32, header JSON, section bytes, crc32 of all before it u32; little-endian.
 */
export class Journal {
  readonly #folder: string

  constructor(folder: string) {
    this.#folder = folder
    mkdirSync(folder, { recursive: true, mode: 0o700 })
  }

  /** Returns after the bytes and their name are on the disk. */
  async write(group: Group): Promise<void> {
    const header: Header = {
      id: group.id,
      batchKeys: group.batchKeys,
      ...(group.places ? { places: group.places } : {}),
      sections: group.sections.map(({ table, columns, token, bytes }) => ({
        table,
        columns,
        token,
        length: bytes.length,
      })),
    }
    const text = Buffer.from(JSON.stringify(header))
    const length = Buffer.alloc(4)
    length.writeUInt32LE(text.length)
    const parts: Uint8Array[] = [magic, length, text, ...group.sections.map(section => section.bytes)]
    let checksum = 0
    for (const part of parts) checksum = crc32(part, checksum)
    const tail = Buffer.alloc(4)
    tail.writeUInt32LE(checksum)
    const temporary = join(this.#folder, `${group.id}.tmp`)
    try {
      const file = await open(temporary, 'w', 0o600)
      try {
        for (const part of [...parts, tail]) await file.writeFile(part)
        await file.sync()
      } finally {
        await file.close()
      }
    } catch (error) {
      // A disk that is full stays full as long as this lies there.
      await rm(temporary, { force: true })
      throw error
    }
    await rename(temporary, this.#path(group.id))
    this.#syncFolder()
  }

  async remove(id: string): Promise<void> {
    await rm(this.#path(id), { force: true })
  }

  /** Keeps a group that the store will never take out of the way, for a person to look at. */
  async setAside(id: string): Promise<string> {
    const folder = join(this.#folder, 'refused')
    mkdirSync(folder, { recursive: true, mode: 0o700 })
    const target = join(folder, `${id}${suffix}`)
    await rename(this.#path(id), target)
    return target
  }

  /** Oldest first. */
  async list(): Promise<string[]> {
    const names = await readdir(this.#folder)
    for (const name of names) if (name.endsWith('.tmp')) await rm(join(this.#folder, name), { force: true })
    return names
      .filter(name => name.endsWith(suffix))
      .map(name => name.slice(0, -suffix.length))
      .sort()
  }

  /** null when the file is damaged: its group was never begun, or the disk lies. */
  async read(id: string): Promise<Group | null> {
    const bytes = await readFile(this.#path(id))
    if (bytes.length < 16 || !bytes.subarray(0, 8).equals(magic)) return null
    if (crc32(bytes.subarray(0, -4)) !== bytes.readUInt32LE(bytes.length - 4)) return null
    const bodyEnd = bytes.length - 4
    const headerEnd = 12 + bytes.readUInt32LE(8)
    const header = headerEnd > bodyEnd ? null : parseHeader(bytes.subarray(12, headerEnd).toString())
    if (header === null) return null
    let at = headerEnd
    const sections = header.sections.map(({ table, columns, token, length }) => {
      const section = { table, columns, token, bytes: bytes.subarray(at, at + length) }
      at += length
      return section
    })
    if (at !== bodyEnd) return null
    const { id: group, batchKeys, places } = header
    return { id: group, batchKeys, ...(places ? { places } : {}), sections }
  }

  #path(id: string): string {
    return join(this.#folder, `${id}${suffix}`)
  }

  #syncFolder(): void {
    const descriptor = openSync(this.#folder, 'r')
    try {
      fsyncSync(descriptor)
    } finally {
      closeSync(descriptor)
    }
  }
}
