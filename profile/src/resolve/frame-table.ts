import type { IdentityHasher } from '../identity.ts'
import type { FrameKind, FunctionInfo, Mapping, Profile } from '../model.ts'
import type { ModuleFunction, ResolvedProfile } from '../normalize.ts'
import { FileKinds, kindOfModule, moduleOf } from './frame-kind.ts'
import { SlotTable } from './slot-table.ts'

/** The frames of each location, distinct by identity. */
export class FrameTable {
  readonly functions: ModuleFunction[] = []
  /** Function ids as unsigned halves, low first. */
  readonly #functionIds: Uint32Array
  /** Frame ids as unsigned halves, low first. */
  readonly halves: Uint32Array
  /** Halves of the function id of each frame. */
  readonly functionHalves: Uint32Array
  /** locations + 1 offsets into frameOfLocation. */
  readonly offset: Uint32Array
  readonly frameOfLocation: Uint32Array
  readonly #frameFunction: Int32Array
  readonly #frameLine: Uint32Array
  readonly #frameAddress: BigUint64Array
  readonly #frameBuildId: string[] = []
  readonly #frameKind: FrameKind[] = []
  #count = 0

  constructor(profile: Profile, hasher: IdentityHasher) {
    const locations = profile.locationAddress.length
    let capacity = profile.lineFunction.length
    for (let i = 0; i < locations; i++) if (profile.lineOffset[i] === profile.lineOffset[i + 1]) capacity++
    this.halves = new Uint32Array(2 * capacity)
    this.functionHalves = new Uint32Array(2 * capacity)
    this.offset = new Uint32Array(locations + 1)
    this.frameOfLocation = new Uint32Array(capacity)
    this.#frameFunction = new Int32Array(capacity)
    this.#frameLine = new Uint32Array(capacity)
    this.#frameAddress = new BigUint64Array(capacity)
    const modules = profile.mappings.map(mapping => moduleOf(mapping.file))
    // The last entry is for locations without a mapping.
    const buildHalves = new Uint32Array(2 * modules.length + 2)
    const moduleHalves = new Uint32Array(2 * modules.length + 2)
    for (let i = 0; i <= modules.length; i++) {
      hasher.text(profile.mappings[i]?.buildId ?? '').store(buildHalves, i)
      hasher.text(modules[i] ?? '').store(moduleHalves, i)
    }
    const texts = hashFunctionTexts(profile.functions, hasher)
    const addressHalves = new Uint32Array(
      profile.locationAddress.buffer,
      profile.locationAddress.byteOffset,
      2 * locations,
    )
    const ownAddressHalves = new Uint32Array(this.#frameAddress.buffer)
    const slots = new SlotTable(capacity)
    const functionSlots = new SlotTable(capacity)
    // A function of the profile is nearly always in one module: remember the last answer for each.
    const lastModule: string[] = new Array(profile.functions.length)
    const lastFunction = new Int32Array(profile.functions.length)
    const unnamedOfModule = new Map<string, number>()
    const kinds = new FileKinds()
    const moduleKinds = modules.map(kindOfModule)
    const functionIds = new Uint32Array(2 * capacity)
    this.#functionIds = functionIds

    /** The function whose id stands in the hasher. */
    const addFunction = (name: string, info: FunctionInfo, module: string): number => {
      let slot = functionSlots.first(hasher.low)
      let index = functionSlots.slots[slot]!
      while (index >= 0) {
        if (functionIds[2 * index] === hasher.low && functionIds[2 * index + 1] === hasher.high) return index
        slot = (slot + 1) & functionSlots.mask
        index = functionSlots.slots[slot]!
      }
      index = this.functions.length
      functionSlots.slots[slot] = index
      functionIds[2 * index] = hasher.low
      functionIds[2 * index + 1] = hasher.high
      this.functions.push({
        name,
        systemName: info.systemName,
        file: info.file,
        startLine: info.startLine,
        module,
      })
      return index
    }

    let filled = 0
    for (let location = 0; location < locations; location++) {
      const mappingIndex = profile.locationMapping[location]!
      const place = mappingIndex < 0 ? modules.length : mappingIndex
      const mapping = mappingIndex < 0 ? undefined : profile.mappings[mappingIndex]
      const module = mappingIndex < 0 ? '' : modules[mappingIndex]!
      const moduleKind = mappingIndex < 0 ? null : moduleKinds[mappingIndex]!
      const buildId = mapping?.buildId ?? ''
      const firstLine = profile.lineOffset[location]!
      const lastLine = profile.lineOffset[location + 1]!
      for (let line = firstLine; line < Math.max(lastLine, firstLine + 1); line++) {
        const profileFunction = line < lastLine ? profile.lineFunction[line]! : -1
        const info = profileFunction < 0 ? undefined : profile.functions[profileFunction]!
        let functionIndex: number
        let lineNumber = 0
        let addressLow = 0
        let addressHigh = 0
        let kind: FrameKind
        if (info !== undefined && (info.name !== '' || info.systemName !== '')) {
          if (lastModule[profileFunction] === module) functionIndex = lastFunction[profileFunction]!
          else {
            const entry = 3 * profileFunction
            hasher.functionId(
              texts,
              entry,
              info.name === '' ? entry + 1 : entry,
              info.startLine,
              moduleHalves[2 * place]!,
              moduleHalves[2 * place + 1]!,
            )
            functionIndex = addFunction(info.name === '' ? info.systemName : info.name, info, module)
            lastModule[profileFunction] = module
            lastFunction[profileFunction] = functionIndex
          }
          lineNumber = profile.lineNumber[line]!
          kind = moduleKind ?? kinds.of(info.file)
          hasher.namedFrameId(
            functionIds[2 * functionIndex]!,
            functionIds[2 * functionIndex + 1]!,
            lineNumber,
            buildHalves[2 * place]!,
            buildHalves[2 * place + 1]!,
          )
        } else {
          let unnamed = unnamedOfModule.get(module)
          if (unnamed === undefined) {
            hasher.unnamedFunctionId(moduleHalves[2 * place]!, moduleHalves[2 * place + 1]!)
            unnamed = addFunction('', { name: '', systemName: '', file: '', startLine: 0 }, module)
            unnamedOfModule.set(module, unnamed)
          }
          functionIndex = unnamed
          addressLow = addressHalves[2 * location]!
          addressHigh = addressHalves[2 * location + 1]!
          if (mapping !== undefined && module !== '[kernel]') {
            const address = fileAddress(profile.locationAddress[location]!, mapping)
            addressLow = Number(address & 0xffffffffn)
            addressHigh = Number(address >> 32n)
          }
          kind = 'unsymbolized'
          hasher.unnamedFrameId(buildId, module, addressLow, addressHigh)
        }
        let slot = slots.first(hasher.low)
        let frame = slots.slots[slot]!
        while (frame >= 0) {
          if (this.halves[2 * frame] === hasher.low && this.halves[2 * frame + 1] === hasher.high) break
          slot = (slot + 1) & slots.mask
          frame = slots.slots[slot]!
        }
        if (frame < 0) {
          frame = this.#count++
          slots.slots[slot] = frame
          this.halves[2 * frame] = hasher.low
          this.halves[2 * frame + 1] = hasher.high
          this.functionHalves[2 * frame] = functionIds[2 * functionIndex]!
          this.functionHalves[2 * frame + 1] = functionIds[2 * functionIndex + 1]!
          this.#frameFunction[frame] = functionIndex
          this.#frameLine[frame] = lineNumber
          ownAddressHalves[2 * frame] = addressLow
          ownAddressHalves[2 * frame + 1] = addressHigh
          this.#frameBuildId.push(buildId)
          this.#frameKind.push(kind)
        }
        this.frameOfLocation[filled++] = frame
      }
      this.offset[location + 1] = filled
    }
  }

  columns(): Pick<
    ResolvedProfile,
    | 'functions'
    | 'functionId'
    | 'frameId'
    | 'frameFunction'
    | 'frameLine'
    | 'frameAddress'
    | 'frameBuildId'
    | 'frameKind'
  > {
    const count = this.#count
    return {
      functions: this.functions,
      functionId: new BigUint64Array(this.#functionIds.buffer.slice(0, 8 * this.functions.length)),
      frameId: new BigUint64Array(this.halves.buffer.slice(0, 8 * count)),
      frameFunction: this.#frameFunction.slice(0, count),
      frameLine: this.#frameLine.slice(0, count),
      frameAddress: this.#frameAddress.slice(0, count),
      frameBuildId: this.#frameBuildId,
      frameKind: this.#frameKind,
    }
  }
}

function hashFunctionTexts(functions: readonly FunctionInfo[], hasher: IdentityHasher): Uint32Array {
  const halves = new Uint32Array(6 * functions.length)
  for (const [i, { name, systemName, file }] of functions.entries()) {
    hasher.text(name).store(halves, 3 * i)
    hasher.text(systemName).store(halves, 3 * i + 1)
    hasher.text(file).store(halves, 3 * i + 2)
  }
  return halves
}

/**
 * Where in its file an address lies, so that address space randomisation does not make every process
 * its own. The kernel's addresses stay: its mapping has no useful offset.
 */
export function fileAddress(address: bigint, mapping: Mapping): bigint {
  if (address < mapping.start || (mapping.limit !== 0n && address >= mapping.limit)) return address
  return BigInt.asUintN(64, address - mapping.start + mapping.offset)
}
