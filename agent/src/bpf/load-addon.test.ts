import { existsSync, mkdtempSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { describe, expect, test } from 'vitest'

import { loadAddon } from './load-addon.ts'
import type { LaunchHandles, NativeAddon, SessionOptions } from './native.ts'

const addonPath = fileURLToPath(new URL('../../native/build/strobe_agent.node', import.meta.url))

function codeOf(action: () => unknown): string {
  try {
    action()
  } catch (error) {
    return (error as Error & { code?: string }).code ?? String(error)
  }
  return 'nothing thrown'
}

test('a missing addon says how to build it', () => {
  expect(() => loadAddon('/nowhere/strobe_agent.node')).toThrow('make -C agent/native')
  expect(codeOf(() => loadAddon('/nowhere/strobe_agent.node'))).toBe('ADDON_MISSING')
})

test('a file that is no addon is refused with the cause', () => {
  const path = join(mkdtempSync(join(tmpdir(), 'strobe-addon-')), 'strobe_agent.node')
  writeFileSync(path, 'not an ELF file')
  expect(codeOf(() => loadAddon(path))).toBe('ADDON_UNLOADABLE')
})

if (!existsSync(addonPath)) {
  test.skip('the addon checks its arguments (not run: agent/native/build/strobe_agent.node is not built)', () => {})
} else {
  describe('the addon', () => {
    const addon: NativeAddon = loadAddon()
    const handles: LaunchHandles = {
      version: 1,
      maps: {},
      sampleEvents: [],
      sideBandEvents: [],
      kallsymsFd: -1,
      periodNs: 10_000_000,
      programs: [],
    }
    const openCode = (options: unknown) => codeOf(() => addon.openSession(options as SessionOptions))

    test('checks what openSession is given', () => {
      expect(openCode(undefined)).toBe('ARGUMENT_INVALID')
      expect(openCode({})).toBe('ARGUMENT_INVALID')
      const names = { dwarfBytes: 0, debugFolder: '' }
      expect(openCode({ handles: { ...handles, version: 2 }, symbolCacheBytes: 1, ...names })).toBe(
        'HANDLES_INVALID',
      )
      expect(openCode({ handles, symbolCacheBytes: -1, ...names })).toBe('ARGUMENT_INVALID')
      expect(openCode({ handles, symbolCacheBytes: Number.NaN, ...names })).toBe('ARGUMENT_INVALID')
      expect(openCode({ handles, symbolCacheBytes: 1, ...names, dwarfBytes: -1 })).toBe('ARGUMENT_INVALID')
      expect(openCode({ handles, symbolCacheBytes: 1, ...names })).toBe('HANDLES_INVALID')
      /* Descriptors that are open but no BPF maps. */
      expect(
        openCode({ handles: { ...handles, maps: { segments: 0 } }, symbolCacheBytes: 1, ...names }),
      ).toBe('HANDLES_INVALID')
      expect(
        openCode({ handles: { ...handles, maps: { segments: 1.5 } }, symbolCacheBytes: 1, ...names }),
      ).toBe('HANDLES_INVALID')
      expect(openCode({ handles: { ...handles, sampleEvents: [1] }, symbolCacheBytes: 1, ...names })).toBe(
        'HANDLES_INVALID',
      )
    })

    test('demangles C++ and Rust and leaves other names', () => {
      expect(addon.demangle('_ZN3foo3barEv')).toBe('foo::bar')
      expect(addon.demangle('main')).toBe('main')
      expect(codeOf(() => addon.demangle(undefined as unknown as string))).toBe('ARGUMENT_INVALID')
    })

    test('names every unwind result once, whole stacks alike', () => {
      expect(addon.resultNames.slice(0, 4)).toEqual(['complete', 'complete', 'kernel_thread', 'truncated'])
      expect(new Set(addon.resultNames.slice(1)).size).toBe(addon.resultNames.length - 1)
    })
  })
}
