/** The page of a diff in a real browser, over the demo's planted regression (see api-diff.test.ts). */
import { AxeBuilder } from '@axe-core/playwright'
import type { Page } from 'playwright-core'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import {
  type BrowserServer,
  chromiumPath,
  openPage as open,
  skipReason,
  startBrowserServer,
} from './browser/browser-server.ts'
import { sendDemo } from './demo-data.ts'

describe.skipIf(skipReason !== '')(`a diff in ${chromiumPath}${skipReason}`, () => {
  let server: BrowserServer
  const opened: Page[] = []

  beforeAll(async () => {
    server = await startBrowserServer()
    await sendDemo(server.grpcAddress, 1.5, 3)
  })
  afterAll(() => server?.end())
  afterEach(async () => {
    for (const page of opened.splice(0)) await page.context().close()
  })

  async function openPage(path: string, options?: Parameters<typeof open>[2]) {
    const result = await open(server, path, options)
    // The first diff of a server starts its threads; a busy machine takes its time for that.
    result.page.setDefaultTimeout(90_000)
    opened.push(result.page)
    return result
  }

  async function expectAccessible(page: Page): Promise<void> {
    const { violations } = await new AxeBuilder({ page })
      .withTags(['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'])
      .analyze()
    expect(violations.map(({ id, nodes }) => ({ id, nodes: nodes.map(({ html }) => html) }))).toEqual([])
  }

  /** From the page of the service, as a person would. */
  async function compareVersions(page: Page): Promise<void> {
    await page.getByRole('link', { name: 'Compare' }).click()
    await page.getByRole('button', { name: 'Choose sides' }).click()
    await page.getByRole('menuitem', { name: 'Previous version against newest' }).click()
    await page.getByRole('heading', { name: 'Slower' }).waitFor()
  }

  test.each(['light', 'dark'] as const)(
    'from a service to what its deploy changed, axe is clean (%s)',
    async theme => {
      const { page, problems } = await openPage('s/storefront', { theme })
      await compareVersions(page)
      const verdict = page.getByRole('region', { name: 'Verdict' })
      expect(await verdict.textContent()).toMatch(
        /2 of \d+ functions went from [56]\.\d % to 1[78]\.\d % of the time/,
      )
      const worse = page.getByRole('row').filter({ hasText: /^worse/ })
      await worse.nth(1).waitFor()
      expect(await worse.count()).toBeGreaterThanOrEqual(2)
      expect(await worse.first().textContent()).toMatch(/AppendFloat/)
      expect(new URL(page.url()).searchParams.get('qb')).toBe('{service_version="2.8.0"}')
      await page.locator('g.frame').first().waitFor()
      await expectAccessible(page)
      expect(problems).toEqual([])
    },
  )

  test('the URL brings everything back: sides, search, zoom, list', async () => {
    const { page } = await openPage('s/storefront')
    await compareVersions(page)
    await page.getByRole('button', { name: 'price.(*Formatter).Format' }).click()
    await page.getByText(/matches 1 frame/).waitFor()
    await page.getByRole('button', { name: /^Worse \d/ }).click()
    await page.locator('g.frame[name="price.(*Formatter).Format"]').first().click()
    await page.getByRole('button', { name: 'Reset zoom', disabled: false }).waitFor()
    const { page: again } = await openPage(page.url().slice(server.url.length))
    await again.getByText(/matches 1 frame/).waitFor()
    await again.locator('[aria-current=true]', { hasText: 'price.(*Formatter).Format' }).waitFor()
    expect(await again.getByRole('button', { name: /^Worse \d/ }).getAttribute('aria-pressed')).toBe('true')
  })

  test('swapped, the same functions are better; a side opens alone', async () => {
    const { page } = await openPage('s/storefront')
    await compareVersions(page)
    await page.getByRole('button', { name: 'Swap A and B' }).click()
    await page.getByRole('heading', { name: 'Faster' }).waitFor()
    await page
      .getByRole('row')
      .filter({ hasText: /^better/ })
      .nth(1)
      .waitFor()
    await page.getByRole('link', { name: 'Open A alone' }).click()
    await page.getByRole('button', { name: 'Remove filter service_version=2.8.0' }).waitFor()
  })

  test('narrow: the page fits, axe is clean', async () => {
    const { page } = await openPage('s/storefront', { width: 420, height: 800, theme: 'dark' })
    await compareVersions(page)
    expect(await page.evaluate<number>('document.documentElement.scrollWidth')).toBe(420)
    await expectAccessible(page)
    await page.getByRole('tab', { name: 'Flame graph' }).click()
    await page.locator('g.frame').first().waitFor()
    await expectAccessible(page)
  })

  test('nothing to compare says so', async () => {
    const { page } = await openPage('s/storefront/diff?fa=1700000000000&ta=1700003600000&fb=now-1h&tb=now')
    await page.getByRole('heading', { name: 'Cannot compare' }).waitFor()
    expect(await page.getByRole('region', { name: 'Verdict' }).textContent()).toContain(
      'Side A has no samples',
    )
  })
})
