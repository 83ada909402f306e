import { execFile } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import pino from 'pino'
import { type Browser, chromium, type Page } from 'playwright-core'
import { readConfig } from '../../server/src/index.ts'
import { type RunningServer, runServer } from '../../server/src/main.ts'

export const chromiumPath = process.env.STROBE_CHROMIUM ?? '/usr/bin/chromium'
/** Name of the suite when there is no browser: the skip says why. */
export const skipReason = existsSync(chromiumPath)
  ? ''
  : ` (skipped: no ${chromiumPath}; apt-get install chromium, or set STROBE_CHROMIUM)`

export interface BrowserServer extends RunningServer {
  /** Where the page was built to. */
  uiDir: string
  browser: Browser
  push(file: string, service: string, labels: Record<string, string>): Promise<void>
  end(): Promise<void>
}

/** The page built anew, a server with a store of its own on free ports, and a browser. */
export async function startBrowserServer(): Promise<BrowserServer> {
  const folder = mkdtempSync(join(tmpdir(), 'strobe-browser-'))
  const uiDir = join(folder, 'ui')
  const root = fileURLToPath(new URL('../../ui', import.meta.url))
  // In a process of its own: vitest's NODE_ENV would put React's development build into the page.
  await promisify(execFile)(
    process.execPath,
    [
      fileURLToPath(import.meta.resolve('vite/package.json')).replace('package.json', 'bin/vite.js'),
      'build',
      '--outDir',
      uiDir,
    ],
    { cwd: root, env: { ...process.env, NODE_ENV: 'production' } },
  )
  const server = await runServer(
    readConfig({ port: '0', grpcPort: '0', dataDir: join(folder, 'data') }, {}),
    {
      uiDir,
      log: pino({ level: 'silent' }),
    },
  )
  const browser = await chromium.launch({
    executablePath: chromiumPath,
    args: [
      '--no-sandbox',
      '--disable-gpu',
      '--disable-background-networking',
      '--disable-component-update',
      '--disable-sync',
      '--no-first-run',
    ],
  })
  return {
    ...server,
    uiDir,
    browser,
    async push(file, service, labels) {
      const url = new URL('api/v1/profiles', server.url)
      url.searchParams.set('service', service)
      url.searchParams.set('name', 'process_cpu')
      for (const [name, value] of Object.entries(labels)) url.searchParams.set(`label.${name}`, value)
      const body = readFileSync(new URL(`../data/conformance/pprof/${file}`, import.meta.url))
      const response = await fetch(url, {
        method: 'POST',
        headers: { 'content-type': 'application/octet-stream' },
        body,
      })
      if (!response.ok) throw new Error(`push of ${file}: ${response.status} ${await response.text()}`)
    },
    async end() {
      await browser.close()
      await server.stop()
      rmSync(folder, { recursive: true, force: true })
    },
  }
}

export interface OpenPage {
  page: Page
  /** Console errors and uncaught exceptions so far. */
  problems: string[]
}

export async function openPage(
  server: BrowserServer,
  path: string,
  options: { theme?: 'light' | 'dark'; width?: number; height?: number } = {},
): Promise<OpenPage> {
  const context = await server.browser.newContext({
    viewport: { width: options.width ?? 1440, height: options.height ?? 900 },
    colorScheme: options.theme ?? 'light',
    reducedMotion: 'reduce',
  })
  const page = await context.newPage()
  const problems: string[] = []
  page.on('console', message => {
    if (message.type() === 'error') problems.push(message.text())
  })
  page.on('pageerror', error => problems.push(error.message))
  await page.goto(new URL(path, server.url).href)
  return { page, problems }
}
