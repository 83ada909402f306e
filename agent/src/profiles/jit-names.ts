import type { NativePerfMaps, NativeWindow } from '../bpf/native.ts'
import { jitAddresses } from './frame-words.ts'

/** Names by pc, by index of the process in the window; a pc without a name is left out. */
export type JitNames = ReadonlyMap<number, ReadonlyMap<bigint, string>>

/** Names what a window saw of JIT code, by the perf-maps of its processes. */
export async function readJitNames(window: NativeWindow, perfMaps: NativePerfMaps): Promise<JitNames> {
  const pcsOfStack = new Map<number, bigint[]>()
  for (let stack = 0; stack + 1 < window.stackOffset.length; stack++) {
    const pcs = jitAddresses(window.stackWords, window.stackOffset[stack]!, window.stackOffset[stack + 1]!)
    if (pcs.length > 0) pcsOfStack.set(stack, pcs)
  }
  const pcsOfProcess = new Map<number, Set<bigint>>()
  for (let row = 0; row < window.sampleStack.length && pcsOfStack.size > 0; row++) {
    const pcs = pcsOfStack.get(window.sampleStack[row]!)
    if (!pcs) continue
    const known = pcsOfProcess.get(window.sampleProcess[row]!) ?? new Set()
    for (const pc of pcs) known.add(pc)
    pcsOfProcess.set(window.sampleProcess[row]!, known)
  }
  const names = new Map<number, ReadonlyMap<bigint, string>>()
  for (const [index, pcs] of pcsOfProcess) {
    const { pid, startBoottime, nsPid } = window.processes[index]!
    const list = [...pcs]
    const found = await perfMaps.name(pid, startBoottime, nsPid, BigUint64Array.from(list))
    const named = list.flatMap((pc, at) => (found[at] ? [[pc, found[at]] as const] : []))
    if (named.length > 0) names.set(index, new Map(named))
  }
  return names
}
