import { existsSync } from 'node:fs'
import { createRequire } from 'node:module'
import { fileURLToPath } from 'node:url'

import type { NativeAddon } from './native.ts'

/**
 * Loads the native addon.
 *
 * path: the .node file; by default where `make -C agent/native` puts it.
 * Throws an Error with code ADDON_MISSING or ADDON_UNLOADABLE, the latter with the loader's cause.
 */
export function loadAddon(
  path = fileURLToPath(new URL('../../native/build/strobe_agent.node', import.meta.url)),
): NativeAddon {
  if (!existsSync(path)) {
    throw Object.assign(
      new Error(`ADDON_MISSING: ${path} does not exist; build it with: make -C agent/native addon`),
      { code: 'ADDON_MISSING' },
    )
  }
  try {
    return createRequire(import.meta.url)(path) as NativeAddon
  } catch (cause) {
    throw Object.assign(
      new Error(`ADDON_UNLOADABLE: ${path} was built for another machine or Node; build it again`, { cause }),
      { code: 'ADDON_UNLOADABLE' },
    )
  }
}
