import { execFileSync } from 'node:child_process'
import { cpSync, existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

export interface GoParser {
  /** Replaces the files that are parsed: gzipped pprof. */
  load(bodies: Uint8Array[]): void
  /** CPU milliseconds of Go's gunzip + google/pprof parse per file, over so many rounds. */
  run(rounds: number): number
  close(): void
}

/** Built from Debian's golang-src, which carries google/pprof; null where Go or its sources are missing. */
export function buildGoParser(): GoParser | null {
  let goRoot = ''
  try {
    goRoot = execFileSync('go', ['env', 'GOROOT'], { encoding: 'utf8' }).trim()
  } catch {
    return null
  }
  const source = join(goRoot, 'src/cmd/vendor/github.com/google/pprof/profile')
  if (!existsSync(source)) return null
  const folder = mkdtempSync(join(tmpdir(), 'strobe-bench-go-'))
  // A module of its own: nobody may import what cmd vendors.
  cpSync(source, join(folder, 'profile'), { recursive: true, dereference: true })
  cpSync(fileURLToPath(new URL('./drivers/pprof-go/main.go', import.meta.url)), join(folder, 'main.go'))
  writeFileSync(join(folder, 'go.mod'), 'module bench\n\ngo 1.19\n')
  const env = { ...process.env, GOFLAGS: '-mod=mod', GOCACHE: join(folder, 'cache'), GO111MODULE: 'on' }
  execFileSync('go', ['build', '-o', 'parse', '.'], { cwd: folder, env, stdio: 'pipe' })
  rmSync(join(folder, 'cache'), { recursive: true, force: true })
  const files = join(folder, 'files')
  return {
    load(bodies) {
      rmSync(files, { recursive: true, force: true })
      mkdirSync(files)
      for (const [index, body] of bodies.entries()) writeFileSync(join(files, `${index}.pb.gz`), body)
    },
    run: rounds =>
      Number(execFileSync(join(folder, 'parse'), [String(rounds), files], { encoding: 'utf8' })) / 1e6,
    close: () => rmSync(folder, { recursive: true, force: true }),
  }
}
