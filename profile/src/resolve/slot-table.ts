/** Open addressing over positions: at most half full, so a probe always ends. */
export class SlotTable {
  readonly slots: Int32Array
  readonly mask: number

  constructor(entries: number) {
    let size = 64
    while (size < 2 * entries + 2) size *= 2
    this.slots = new Int32Array(size).fill(-1)
    this.mask = size - 1
  }

  first(hash: number): number {
    return (hash ^ (hash >>> 15)) & this.mask
  }
}
