import type { ServerOption } from './config.ts'

/** How long data lives, and where it is saved. */
export const lifeOptions: ServerOption[] = [
  {
    key: 'backups',
    flag: 'backups',
    variable: 'STROBE_BACKUPS',
    type: 'string',
    unit: '',
    default: '',
    sentence:
      'Folder in which strobe admin backup makes its folders; no request can name another. Without it, backups in the data directory: better another disk.',
  },
  {
    key: 'diskFreeBytes',
    flag: 'disk-free',
    variable: 'STROBE_DISK_FREE',
    type: 'bytes',
    unit: 'bytes',
    default: 4 * 2 ** 30,
    min: 0,
    sentence:
      'Below so much free space on the disk of the store the oldest profiles are removed; of a small disk a tenth is enough.',
  },
  {
    key: 'diskRefuseBytes',
    flag: 'disk-refuse',
    variable: 'STROBE_DISK_REFUSE',
    type: 'bytes',
    unit: 'bytes',
    default: 2 ** 30,
    min: 0,
    sentence:
      'Below so much free space profiles are refused, and queries go on; of a small disk 3 % are enough. Agents keep what is refused in their spool.',
  },
  {
    key: 'storeBytes',
    flag: 'store-bytes',
    variable: 'STROBE_STORE_BYTES',
    type: 'bytes',
    unit: 'bytes',
    default: 0,
    min: 0,
    sentence: 'Above so much in the store the oldest profiles are removed; 0 leaves it to the disk.',
  },
  {
    key: 'lifeIntervalMs',
    flag: 'life-interval',
    variable: 'STROBE_LIFE_INTERVAL',
    type: 'duration',
    unit: 'ms',
    default: 600_000,
    min: 100,
    sentence: 'Pause between two looks for data that nobody keeps any more; see docs/operate.md.',
  },
]
