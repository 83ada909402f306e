import { inflateRawSync } from 'node:zlib'
import type { NativeProcess, NativeProcessFiles } from '../bpf/native.ts'
import { interpretedProgram, isInterpreter } from './interpreter-program.ts'
import { executableName, labelValue } from './labels.ts'
import { parseOtelResource } from './otel-resource.ts'

/** Why a process has no version. */
export type NoVersion = 'no_source' | 'package' | 'no_build_id' | 'gone' | 'hung'

/** version is '' when there is none, and reason then says why. */
export interface FoundVersion {
  version: string
  reason: NoVersion | ''
}

const maxFolders = 8
const maxTextBytes = 64 * 1024
const maxPackedRefsBytes = 1024 * 1024
const commitDigits = 12

/**
 * The release a process runs, by the first that answers: service.version of OTEL_RESOURCE_ATTRIBUTES; a
 * jar's manifest or file name; package.json in the folder of the script or above; the dist-info of a Python
 * module; the commit at HEAD of the git clone the script lies in; the build id of an executable that is no
 * interpreter and came with no package of the distribution.
 *
 * A build id of an interpreter or of a package would call an update of the system a deploy.
 */
export async function findServiceVersion(
  process: NativeProcess,
  files: NativeProcessFiles,
): Promise<FoundVersion> {
  const announced = labelValue(parseOtelResource(process.environment).serviceVersion)
  if (announced) return { version: announced, reason: '' }
  const executable = executableName(process)
  const reader = new Reader(process, files)
  const version = isInterpreter(executable)
    ? await programVersion(process, executable, reader)
    : await executableVersion(process, files)
  if (typeof version === 'object') return version
  return version
    ? { version: labelValue(version), reason: '' }
    : { version: '', reason: reader.failure || 'no_source' }
}

async function executableVersion(process: NativeProcess, files: NativeProcessFiles): Promise<FoundVersion> {
  const path = process.exe.replace(/ \(deleted\)$/, '')
  const facts = await files.executable(process.pid, process.startBoottime, path)
  const none = (reason: NoVersion): FoundVersion => ({ version: '', reason })
  if (facts.reason) return none(facts.reason === 'FILE_HUNG' ? 'hung' : 'gone')
  // Databases of rpm, apk and distroless images are not read: their folders stand for them.
  const isInSystemFolder = /^\/(usr\/)?(s?bin|lib(64|exec|x32)?)\//.test(path)
  if (facts.owner === 'package' || (facts.owner === 'unknown' && isInSystemFolder)) return none('package')
  return facts.buildId ? { version: facts.buildId, reason: '' } : none('no_build_id')
}

async function programVersion(process: NativeProcess, executable: string, reader: Reader): Promise<string> {
  const program = interpretedProgram(executable, process.cmdline)
  if (!program?.text) return ''
  const { text, isModule } = program
  if (/^(python|pypy)/.test(executable) && isModule)
    return (await distInfoVersion(text, process, reader)) || (await gitVersion(process.cwd, reader))
  if (isModule || /^\/(dev|proc)\//.test(text)) return ''
  const path = absolutePath(text, process.cwd)
  if (path.endsWith('.jar') || path.endsWith('.war')) {
    const manifest = manifestVersion(await reader.read(path, maxTextBytes))
    return manifest || (/[-_]v?(\d+(?:\.\d+)+(?:[-.+][\w.-]*)?)\.[jw]ar$/.exec(path)?.[1] ?? '')
  }
  // A main class has no file and no folder of its own.
  if (executable === 'java') return ''
  const folder = path.slice(0, path.lastIndexOf('/'))
  if (/^(node|nodejs|bun|deno)$/.test(executable)) {
    const found = await packageVersion(folder, reader)
    if (found) return found
  }
  return gitVersion(folder, reader)
}

/** Files as the process sees them, and the gravest failure to read one. */
class Reader {
  failure: NoVersion | '' = ''
  readonly #process: NativeProcess
  readonly #files: NativeProcessFiles

  constructor(process: NativeProcess, files: NativeProcessFiles) {
    this.#process = process
    this.#files = files
  }

  /** null when there is none that may be read. */
  async read(path: string, maxBytes: number): Promise<Buffer | null> {
    // What hung once would hang at each of the folders.
    if (this.failure) return null
    const { pid, startBoottime } = this.#process
    return this.#take(await this.#files.read(pid, startBoottime, path, maxBytes))
  }

  async list(path: string): Promise<string[]> {
    if (this.failure) return []
    const { pid, startBoottime } = this.#process
    const names = this.#take(await this.#files.list(pid, startBoottime, path))
    return names ? names.toString().split('\n') : []
  }

  #take(file: { reason: string; bytes: Uint8Array }): Buffer | null {
    if (file.reason === 'PROCESS_GONE') this.failure = 'gone'
    if (file.reason === 'FILE_HUNG') this.failure = 'hung'
    return file.reason ? null : Buffer.from(file.bytes)
  }
}

function absolutePath(path: string, cwd: string): string {
  const segments: string[] = []
  for (const segment of (path.startsWith('/') ? path : `${cwd}/${path}`).split('/')) {
    if (segment === '..') segments.pop()
    else if (segment !== '' && segment !== '.') segments.push(segment)
  }
  return `/${segments.join('/')}`
}

/** The folder and those above it, the root left out: what lies there belongs to no service. */
function foldersFrom(folder: string): string[] {
  const folders: string[] = []
  for (let at = folder; at.length > 1 && folders.length < maxFolders; at = at.slice(0, at.lastIndexOf('/')))
    folders.push(at)
  return folders
}

async function packageVersion(folder: string, reader: Reader): Promise<string> {
  for (const at of foldersFrom(folder)) {
    const text = await reader.read(`${at}/package.json`, maxTextBytes)
    const version = text ? versionOfJson(text.toString()) : ''
    // 0.0.0 is what tools write where nobody counts releases.
    if (version) return version === '0.0.0' ? '' : version
  }
  return ''
}

function versionOfJson(text: string): string {
  try {
    const value = JSON.parse(text) as { version?: unknown } | null
    return typeof value?.version === 'string' && /^[\w.+-]{1,100}$/.test(value.version) ? value.version : ''
  } catch {
    return ''
  }
}

/** Folders of the distribution (dist-packages below /usr/lib) are its packages, not releases of a service. */
async function distInfoVersion(module: string, process: NativeProcess, reader: Reader): Promise<string> {
  const wanted = normalizeProject(module.split('.')[0]!)
  const python = /python(3\.\d+)/.exec(process.exe)?.[1]
  if (!python || !wanted) return ''
  const called = process.cmdline[0] ?? ''
  const places = [
    `/usr/local/lib/python${python}/site-packages`,
    `/usr/local/lib/python${python}/dist-packages`,
  ]
  // The interpreter of a virtual environment is a link in its bin folder.
  const environment = /^(\/.*)\/bin\/[^/]+$/.exec(called)?.[1]
  if (environment && environment !== '/usr')
    places.unshift(`${environment}/lib/python${python}/site-packages`)
  for (const place of places) {
    for (const name of await reader.list(place)) {
      const [, project, version] = /^(.+)-([^-]+)\.(?:dist|egg)-info$/.exec(name) ?? []
      if (project && version && normalizeProject(project) === wanted) return version
    }
  }
  return ''
}

function normalizeProject(name: string): string {
  return name.toLowerCase().replace(/[-_.]+/g, '_')
}

/** Reads HEAD of the clone that holds the folder; '' outside clones. */
async function gitVersion(folder: string, reader: Reader): Promise<string> {
  for (const at of foldersFrom(folder)) {
    const head = (await reader.read(`${at}/.git/HEAD`, 1024))?.toString().trim()
    if (head === undefined) continue
    const commit = /^[0-9a-f]{40}([0-9a-f]{24})?$/
    if (commit.test(head)) return head.slice(0, commitDigits)
    const ref = /^ref: (refs\/[\w./-]{1,200})$/.exec(head)?.[1]
    if (!ref || ref.includes('..')) return ''
    const loose = (await reader.read(`${at}/.git/${ref}`, 1024))?.toString().trim()
    if (loose && commit.test(loose)) return loose.slice(0, commitDigits)
    const packed = (await reader.read(`${at}/.git/packed-refs`, maxPackedRefsBytes))?.toString() ?? ''
    const line = packed.split('\n').find(entry => entry.slice(entry.indexOf(' ') + 1) === ref)
    return line && commit.test(line.split(' ')[0]!) ? line.slice(0, commitDigits) : ''
  }
  return ''
}

/** jar writes the manifest first, so it lies in the first bytes of the archive. */
export function manifestVersion(jarStart: Buffer | null): string {
  const name = jarStart?.indexOf('META-INF/MANIFEST.MF') ?? -1
  const header = name - 30
  if (!jarStart || header < 0 || jarStart.readUInt32LE(header) !== 0x04034b50) return ''
  const method = jarStart.readUInt16LE(header + 8)
  const stored = jarStart.readUInt32LE(header + 18)
  const content = name + jarStart.readUInt16LE(header + 26) + jarStart.readUInt16LE(header + 28)
  let text: string
  try {
    const bytes = jarStart.subarray(content)
    text =
      method === 0
        ? bytes.subarray(0, stored).toString()
        : inflateRawSync(bytes, { maxOutputLength: maxTextBytes }).toString()
  } catch {
    return ''
  }
  return /^Implementation-Version: *([\w.+-]{1,100})\r?$/m.exec(text)?.[1] ?? ''
}
