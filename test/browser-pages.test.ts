/**
 * Both pages in a real browser, over the real server and store. What is right comes from
 * test/data/conformance/SOURCES.md: go-cpu-labels has 27.22 s, 66.6% of them in fmt.Fprintf;
 * go-inlined has 1.76 s, 1.28 s of them in runtime.mapiternext itself.
 */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import { AxeBuilder } from '@axe-core/playwright'
import type { Locator, Page } from 'playwright-core'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import {
  type BrowserServer,
  chromiumPath,
  type OpenPage,
  openPage as open,
  skipReason,
  startBrowserServer,
} from './browser/browser-server.ts'

describe.skipIf(skipReason !== '')(`pages in ${chromiumPath}${skipReason}`, () => {
  let server: BrowserServer
  const opened: Page[] = []

  beforeAll(async () => {
    server = await startBrowserServer()
  })
  afterAll(() => server?.end())
  afterEach(async () => {
    for (const page of opened.splice(0)) await page.context().close()
  })

  async function openPage(path: string, options?: Parameters<typeof open>[2]): Promise<OpenPage> {
    const result = await open(server, path, options)
    opened.push(result.page)
    return result
  }

  const frame = (page: Page, label: string): Locator => page.locator(`g.frame[name="${label}"]`).first()
  const poll = <T>(read: () => T) => expect.poll(read, { timeout: 15_000 })
  const hasText = (locator: Locator, text: string | RegExp) =>
    poll(async () => (await locator.allInnerTexts()).join('\n')).toMatch(text)
  const parameters = (page: Page) => new URL(page.url()).searchParams

  async function expectAccessible(page: Page): Promise<void> {
    const { violations } = await new AxeBuilder({ page })
      .withTags(['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'])
      .analyze()
    expect(
      violations.map(({ id, nodes }) => ({
        id,
        nodes: nodes.map(node => `${node.html} ${node.failureSummary}`),
      })),
    ).toEqual([])
  }

  test('before the first profile, the page says what to do and opens by itself', async () => {
    for (const theme of ['light', 'dark'] as const) {
      const { page } = await openPage('', { theme })
      await page.getByText('Waiting for the first profile').waitFor()
      await page.getByText('No agent has reported to this server').waitFor()
      await expectAccessible(page)
    }
    const { page, problems } = await openPage('services')
    await page.getByText('Waiting for the first profile').waitFor()
    await server.push('go-cpu-labels.pb.gz', 'checkout', { service_version: '1.0', host_name: 'a' })
    await server.push('go-inlined.cpu.pb.gz', 'checkout', { service_version: '2.0', host_name: 'b' })
    await server.push('raw-native-kernel.pb.gz', 'nginx.service', { host_name: 'b' })
    await page.getByRole('row', { name: /checkout/ }).waitFor()
    expect(problems).toEqual([])
  })

  test.each(['light', 'dark'] as const)(
    'services: rows lead to their service, axe is clean (%s)',
    async theme => {
      const { page, problems } = await openPage('services', { theme })
      const row = page.getByRole('row', { name: /checkout/ })
      await hasText(row, /checkout[\s\S]*cpu[\s\S]*2[\s\S]*1\.0, 2\.0/)
      await expectAccessible(page)
      await row.click()
      await frame(page, 'main.cpuHog').waitFor()
      expect(new URL(page.url()).pathname).toBe('/s/checkout')
      expect(problems).toEqual([])
    },
  )

  test('a service with a dot in its name has a page of its own address', async () => {
    const { page } = await openPage('s/nginx.service')
    await page.getByRole('heading', { name: 'nginx.service' }).waitFor()
    await page.locator('g.frame').first().waitFor()
  })

  test.each(['light', 'dark'] as const)(
    'a service: table, graph and chart, axe is clean (%s)',
    async theme => {
      const { page, problems } = await openPage('s/checkout', { theme })
      await frame(page, 'fmt.Fprintf').waitFor()
      await page.locator('.time-series canvas').waitFor()
      // 4.36 of 27.22 + 1.76 s.
      await hasText(page.getByRole('row', { name: /fmtInteger/ }).first(), /4\.36 s\s+15\.0%/)
      await hasText(page.getByRole('region', { name: 'Selected frame' }), /Total\s+29\.0 s · 100%/)
      await expectAccessible(page)
      expect(problems).toEqual([])
    },
  )

  test('narrow: graph and table take turns, axe is clean', async () => {
    const { page } = await openPage('s/checkout', { width: 420, height: 800, theme: 'dark' })
    await frame(page, 'main.cpuHog').waitFor()
    await expectAccessible(page)
    await page.getByRole('tab', { name: 'Functions' }).click()
    await page
      .getByRole('row', { name: /fmtInteger/ })
      .first()
      .waitFor()
    expect(parameters(page).get('view')).toBe('table')
    await expectAccessible(page)
    expect(await page.evaluate<number>('document.documentElement.scrollWidth')).toBe(420)
  })

  test('zoom: the frame fills the width, the path leads back, the address restores it', async () => {
    const { page } = await openPage('s/checkout')
    await frame(page, 'fmt.Fprintf').click()
    const width = async (at: Page, label: string) =>
      Math.round(Number(await frame(at, label).locator('rect').getAttribute('width')))
    await poll(() => width(page, 'fmt.Fprintf')).toBe(await width(page, 'all'))
    await hasText(
      page.getByRole('navigation', { name: 'Zoom path' }),
      /All frames[\s\S]*main\.cpuHog[\s\S]*fmt\.Fprintf/,
    )
    await hasText(page.getByRole('region', { name: 'Selected frame' }), /Total\s+18\.1 s · 62\.6%/)
    const { page: second } = await openPage(page.url())
    await frame(second, 'fmt.Fprintf').waitFor()
    await poll(() => width(second, 'fmt.Fprintf')).toBe(await width(second, 'all'))
    await second.getByRole('button', { name: 'Reset zoom' }).click()
    await poll(async () => (await width(second, 'fmt.Fprintf')) < (await width(second, 'all'))).toBe(true)
    expect(parameters(second).get('at')).toBe(null)
  })

  test('search: frames are marked, the share counts no stack twice, a row marks its function', async () => {
    const { page } = await openPage('s/checkout')
    await frame(page, 'fmt.Fprintf').waitFor()
    await page.keyboard.press('/')
    await page.keyboard.type('fmt.')
    // Everything through package fmt is below fmt.Fprintf: 18.14 of 28.98 s.
    await hasText(page.locator('output'), /matches \d+ frames, 62\.6% of total/)
    expect(parameters(page).get('find')).toBe('fmt.')
    expect(await frame(page, 'fmt.Fprintf').getAttribute('class')).toContain('found')
    expect(await frame(page, 'main.cpuHog').getAttribute('class')).not.toContain('found')
    await page.getByRole('button', { name: 'Clear the search' }).click()
    await page.getByRole('row', { name: /mapiternext/ }).click()
    // 1.37 s in and below runtime.mapiternext: 1,280 + 30 + 10 + 30 + 20 ms.
    await hasText(page.locator('output'), /4\.73% of total/)
    expect(parameters(page).get('find')).toBe('"runtime.mapiternext"')
  })

  test('filter by label: chips narrow all three views, no match says so', async () => {
    const { page } = await openPage('s/checkout')
    const field = page.getByRole('combobox', { name: 'Filter by label' })
    await field.click()
    await page.getByRole('option', { name: 'service_version' }).click()
    await page.getByRole('option', { name: 'service_version=2.0' }).click()
    await hasText(page.getByRole('region', { name: 'Selected frame' }), /Total\s+1\.76 s · 100%/)
    await hasText(page.getByRole('row', { name: /mapiternext/ }), /1\.28 s\s+72\.7%/)
    expect(parameters(page).get('q')).toBe('{service_version="2.0"}')
    await page.getByRole('button', { name: 'Remove filter service_version=2.0' }).click()
    await hasText(page.getByRole('region', { name: 'Selected frame' }), /Total\s+29\.0 s/)
    await field.fill('host_name=nowhere')
    await field.press('Enter')
    await page.getByRole('heading', { name: 'No series matches the filter' }).waitFor()
    await expectAccessible(page)
    await page.getByRole('button', { name: 'Remove the filter' }).click()
    await frame(page, 'main.cpuHog').waitFor()
  })

  test('brush: dragging over the chart sets the range', async () => {
    const { page } = await openPage('s/checkout')
    const plot = page.locator('.time-series .u-over')
    await plot.waitFor()
    const box = await plot.boundingBox()
    if (!box) throw new Error('the plot has no box')
    await page.mouse.move(box.x + box.width * 0.25, box.y + 40)
    await page.mouse.down()
    await page.mouse.move(box.x + box.width * 0.5, box.y + 40, { steps: 4 })
    await page.mouse.up()
    await poll(
      () => Number(parameters(page).get('to')) - Number(parameters(page).get('from')),
    ).toBeGreaterThan(14 * 60_000)
    expect(Number(parameters(page).get('to')) - Number(parameters(page).get('from'))).toBeLessThan(
      16 * 60_000,
    )
    await page.getByRole('heading', { name: 'No profiles in this time range' }).waitFor()
    await expectAccessible(page)
    await page.getByRole('button', { name: 'Show the hour before the last profile' }).click()
    await frame(page, 'main.cpuHog').waitFor()
  })

  test('keyboard alone: arrows walk, Enter zooms, Escape resets, the live region speaks', async () => {
    const { page } = await openPage('s/checkout')
    await frame(page, 'fmt.Fprintf').waitFor()
    const graph = page.getByRole('group', { name: /Flame graph/ })
    await graph.focus()
    for (const key of ['ArrowDown', 'ArrowDown']) await page.keyboard.press(key)
    await hasText(page.locator('[aria-live=polite]'), /fmt\.Fprintf, total 62\.6%, 18\.1 s/)
    await page.keyboard.press('Enter')
    await poll(() => parameters(page).get('at')).not.toBe(null)
    await page.keyboard.press('ArrowUp')
    await hasText(page.locator('[aria-live=polite]'), /main\.cpuHog, total/)
    await page.keyboard.press('Escape')
    await poll(() => parameters(page).get('at')).toBe(null)
  })

  test('an answer that fails keeps the last good one and can be tried again', async () => {
    const { page } = await openPage('s/checkout')
    await frame(page, 'main.cpuHog').waitFor()
    const refusal = { code: 'STORE_UNAVAILABLE', message: 'The store does not answer.', details: {} }
    await page.route('**/api/v1/flamegraph?*', route => route.fulfill({ status: 503, json: refusal }))
    await page.getByRole('button', { name: 'Refresh' }).click()
    await hasText(
      page.getByRole('alert'),
      /The store does not answer[\s\S]*STORE_UNAVAILABLE[\s\S]*last good answer/,
    )
    expect(await frame(page, 'main.cpuHog').count()).toBe(1)
    await expectAccessible(page)
    await page.unroute('**/api/v1/flamegraph?*')
    await page.getByRole('button', { name: 'Retry' }).click()
    await poll(() => page.getByRole('alert').count()).toBe(0)
  })

  test('script stays in its budget: 230 kB for services, 120 kB more for a service', async () => {
    interface Chunk {
      file: string
      imports?: string[]
      isEntry?: boolean
    }
    const read = (file: string) => readFileSync(join(server.uiDir, file))
    const chunks: Record<string, Chunk> = JSON.parse(read('.vite/manifest.json').toString())
    const sizeOf = (names: string[]) => {
      const files = new Set<string>()
      const add = (name: string) => {
        const chunk = chunks[name]
        if (!chunk) throw new Error(`the build has no ${name}`)
        files.add(chunk.file)
        chunk.imports?.forEach(add)
      }
      names.forEach(add)
      return [...files].reduce((sum, file) => sum + gzipSync(read(file)).length, 0) / 1000
    }
    const services = sizeOf(['index.html'])
    const service = sizeOf([
      'index.html',
      'src/pages/service/service-page.tsx',
      'src/flamegraph/flame-graph.tsx',
      'src/components/time-series.tsx',
    ])
    expect(services).toBeLessThanOrEqual(230)
    expect(service - services).toBeLessThanOrEqual(120)
  })

  test('the theme follows the system until it is chosen, and the choice outlives a reload', async () => {
    const { page } = await openPage('services', { theme: 'dark' })
    const theme = () => page.evaluate<string>('document.documentElement.dataset.theme')
    expect(await theme()).toBe('dark')
    await page.getByRole('button', { name: 'Light theme' }).click()
    expect(await theme()).toBe('light')
    await page.reload()
    await page.getByRole('button', { name: 'Dark theme' }).waitFor()
    expect(await theme()).toBe('light')
  })

  // Last: from here on the server asks every test for a key.
  test('a server with keys asks for one, in words, and opens with it', async () => {
    const makeKey = async (role: string, by = ''): Promise<string> => {
      const response = await fetch(new URL(`api/v1/admin/keys?role=${role}`, server.url), {
        method: 'POST',
        headers: {
          'content-type': 'application/json',
          ...(by === '' ? {} : { authorization: `Bearer ${by}` }),
        },
      })
      return ((await response.json()) as { token: string }).token
    }
    const admin = await makeKey('admin')
    const [reader, sender] = [await makeKey('read', admin), await makeKey('ingest', admin)]
    for (const theme of ['light', 'dark'] as const) {
      const { page } = await openPage('services', { theme })
      await page.getByRole('heading', { name: 'This server asks for a key' }).waitFor()
      await expectAccessible(page)
    }
    const { page } = await openPage('services')
    const field = page.getByLabel('Key', { exact: true })
    for (const [key, answer] of [
      ['strobe_no_such_key', /does not know that key/],
      [sender, /This needs a key of role read or admin/],
    ] as const) {
      await field.fill(key)
      await page.getByRole('button', { name: 'Open' }).click()
      await hasText(page.getByRole('alert'), answer)
    }
    await field.fill(reader)
    await field.press('Enter')
    await page.getByRole('row', { name: /checkout/ }).waitFor()
    // The key stays in the tab, and a file comes with it.
    await page.getByRole('row', { name: /checkout/ }).click()
    await page.getByRole('button', { name: 'Download' }).click()
    const [download] = await Promise.all([
      page.waitForEvent('download'),
      page.getByRole('menuitem', { name: 'pprof' }).click(),
    ])
    expect(download.suggestedFilename()).toBe('profile.pb.gz')
    await page.reload()
    await page.getByRole('button', { name: 'Forget the key' }).click()
    await page.getByRole('heading', { name: 'This server asks for a key' }).waitFor()
  })
})
