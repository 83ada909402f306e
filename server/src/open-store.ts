import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Logger } from 'pino'
import type { ServerConfig } from './config.ts'
import { defaultEngineSettings } from './engine/settings.ts'
import { startEngine } from './engine/supervisor.ts'
import { CodedError } from './errors.ts'
import { checkStore } from './storage/check-store.ts'
import { createStoreClient } from './storage/client.ts'
import { describeAddress, readStoreAddress, type StoreAddress } from './storage/store-address.ts'

export interface OpenStore {
  address: StoreAddress
  /** Whether other servers may write to it. */
  isShared: boolean
  state(): { isReady: boolean; reason: string }
  stop(): Promise<void>
}

const checkTimeoutMs = 10_000

/**
 * The store that the settings name, answering: an embedded engine of our own, or one elsewhere.
 * Throws ENGINE_*, STORE_*, CONFIG_INVALID.
 */
export async function openStore(
  config: ServerConfig,
  log: Logger,
  onRestart: () => void,
): Promise<OpenStore> {
  if (config.clickhouseUrl === '') {
    const engine = await startEngine(
      {
        ...defaultEngineSettings(join(config.dataDir, 'engine')),
        listen: config.engineListen,
        password: config.engineListen === '' ? '' : readPassword(config.enginePasswordFile),
      },
      log,
      { onRestart },
    )
    if (config.engineListen !== '')
      log.info({ port: engine.listenPort() }, 'other servers reach the engine as user strobe')
    return {
      address: engine.address,
      isShared: config.engineListen !== '',
      state: () => engine.state(),
      stop: () => engine.stop(),
    }
  }
  const address = readStoreAddress({
    url: config.clickhouseUrl,
    caFile: config.clickhouseCa,
    certFile: config.clickhouseCert,
    keyFile: config.clickhouseKey,
    passwordFile: config.clickhousePasswordFile,
  })
  const client = createStoreClient(address, { requestTimeoutMs: checkTimeoutMs })
  try {
    await checkStore(client, address)
  } finally {
    await client.close()
  }
  log.info({ store: describeAddress(address) }, 'the store answers')
  return {
    address,
    isShared: true,
    state: () => ({ isReady: true, reason: '' }),
    stop: async () => {},
  }
}

function readPassword(file: string): string {
  let password: string
  try {
    password = readFileSync(file, 'utf8').trim()
  } catch (error) {
    throw new CodedError(
      'CONFIG_INVALID',
      `--engine-password-file ${file} cannot be read: ${(error as Error).message}`,
    )
  }
  if (password.length >= 16) return password
  throw new CodedError(
    'CONFIG_INVALID',
    `--engine-password-file ${file}: the password has ${password.length} characters, it needs 16 or more`,
  )
}
