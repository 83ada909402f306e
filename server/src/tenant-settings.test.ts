import { expect, test } from 'vitest'
import { formatQuantity, readQuantity } from './quantity.ts'
import { checkTenantSetting, type TenantSetting, tenantSetting, tenantSettings } from './tenant-settings.ts'

test.each([
  ['bytes_per_second', '4MiB', 4 * 2 ** 20],
  ['past_window', '30d', 30 * 86_400_000],
  ['stack_depth', '500', 500],
] as const)('%s = %s', (name, text, value) => {
  expect(tenantSetting(new Map([[name, checkTenantSetting(name, text)]]), name)).toBe(value)
})

test.each([
  ['nothing_known', '1', /no setting "nothing_known".*bytes_per_second/],
  ['toString', '1', /no setting/],
  ['stack_depth', 'deep', /stack_depth=deep: it takes a whole number from 16 to 100000/],
  ['stack_depth', '3', /from 16 to 100000/],
  ['past_window', '10s', /a duration such as .* from 1m to 365d/],
  ['bytes_per_second', '-1', /a size such as/],
])('%s = %s is refused', (name, text, message) => {
  expect(() => checkTenantSetting(name, text)).toThrow(message)
})

test('what is not set, or of another version, has its default', () => {
  expect(tenantSetting(new Map(), 'stack_depth')).toBe(4096)
  expect(tenantSetting(new Map([['stack_depth', 'many']]), 'stack_depth')).toBe(4096)
  expect(checkTenantSetting('stack_depth', '')).toBe('')
})

test.each(Object.entries<TenantSetting>(tenantSettings))(
  '%s: bounds, default and help agree',
  (_name, setting) => {
    expect(setting.default).toBeGreaterThanOrEqual(setting.min)
    expect(setting.default).toBeLessThanOrEqual(setting.max)
    expect(setting.sentence).toMatch(/\.$/)
    for (const value of [setting.default, setting.min, setting.max])
      expect(readQuantity(formatQuantity(value, setting.type), setting.type)).toBe(value)
  },
)
