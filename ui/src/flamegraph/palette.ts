import type { Frame } from './tree.ts'

/** Twelve hues of much the same lightness: #111 text has a contrast over 9:1 on each. */
const hues = [20, 50, 80, 105, 130, 155, 180, 205, 235, 265, 300, 340]

/** Ids of the SVG patterns that FlameGraph draws once per page. */
export const patterns = {
  kernel: 'flame-kernel',
  unsymbolized: 'flame-unsymbolized',
  omitted: 'flame-omitted',
}

const runtimeModules = /^(libc[.-]|libpthread|ld-|libm[.-]|libstdc\+\+|libgcc_s|\[vdso\])/

/** The language's own machinery: Go's runtime and the C library. */
export function isRuntime(frame: Frame): boolean {
  return /^(runtime|internal\/runtime)[./]/.test(frame.name) || runtimeModules.test(frame.module)
}

/**
 * What frames share a colour: the Go package, the C++ or Rust namespace, the Java package, else the module.
 * net/http.(*conn).serve: net/http; std::vector<int>::push_back: std; com.acme.Cart.total: com.acme.
 */
export function packageOf(frame: Frame): string {
  // Template and method arguments may hold dots, slashes and colons of their own.
  const head = frame.name.replace(/^[<&* ]+/, '').split(/[<([{ ]/)[0] ?? ''
  const scope = head.indexOf('::')
  if (scope > 0) return head.slice(0, scope)
  const slash = head.lastIndexOf('/')
  const tail = head.slice(slash + 1)
  if (slash >= 0) {
    const dot = tail.indexOf('.')
    return dot > 0 ? head.slice(0, slash + 1 + dot) : head.slice(0, slash)
  }
  // fmt.(*pp).printArg is cut to 'fmt.' above.
  if (tail.endsWith('.')) return tail.slice(0, -1)
  const parts = tail.split('.').filter(part => part !== '')
  if (parts.length > 2) return parts.slice(0, -2).join('.')
  if (parts.length === 2) return parts[0] ?? ''
  return frame.module || head
}

function hash32(text: string): number {
  let hash = 0x811c9dc5
  for (let index = 0; index < text.length; index++) {
    hash = Math.imul(hash ^ text.charCodeAt(index), 0x01000193)
  }
  // The low bits of FNV alone tell short names apart badly.
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b)
  return (hash ^ (hash >>> 13)) >>> 0
}

/** Fill of a frame: the same in both themes, made for #111 text. */
export function fillOf(frame: Frame): string {
  if (frame.kind === 'omitted') return `url(#${patterns.omitted})`
  if (frame.kind === 'unsymbolized') return `url(#${patterns.unsymbolized})`
  if (frame.kind === 'kernel') return `url(#${patterns.kernel})`
  if (frame.kind === 'none') return 'oklch(0.86 0.01 260)'
  if (isRuntime(frame)) return 'oklch(0.83 0.03 300)'
  // Neighbours of one package differ a little, so that their edges are seen.
  const lightness = [0.8, 0.825, 0.85][hash32(frame.name) % 3]
  return `oklch(${lightness} 0.09 ${hues[hash32(packageOf(frame)) % hues.length]})`
}

/** Fills while a search runs: found frames stand out from the theme's grey by lightness too. */
export const foundFill = 'oklch(0.79 0.17 330)'
export const notFoundFill = 'var(--frame-quiet)'
