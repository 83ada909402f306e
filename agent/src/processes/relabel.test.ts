import { expect, test } from 'vitest'
import { applyRelabelRules, parseRelabelRules } from './relabel.ts'

const labels = [
  ['host_name', 'h1'],
  ['service_name', 'Shop-Cart'],
] as const
const sources = [
  ['__process_uid', '33'],
  ['__systemd_unit', 'shop@blue'],
] as const

/** The labels after the rules, 'dropped', or the mistakes. */
function relabel(text: string): string {
  const mistakes: string[] = []
  const rules = parseRelabelRules(text, mistakes)
  if (mistakes.length > 0) return mistakes.join('; ')
  const result = applyRelabelRules(rules, labels, sources)
  return result ? result.map(([name, value]) => `${name}=${value}`).join(' ') : 'dropped'
}

test.each([
  ['no rules', '[]', 'host_name=h1 service_name=Shop-Cart'],
  [
    'replace by groups',
    '[{source_labels: [__systemd_unit], regex: "(.+)@(?P<color>.+)", target_label: service_name, replacement: "$1-${color}$$"}]',
    'host_name=h1 service_name=shop-blue$',
  ],
  [
    'replace joins with the separator',
    '[{source_labels: [host_name, __process_uid], separator: "/", target_label: at}]',
    'at=h1/33 host_name=h1 service_name=Shop-Cart',
  ],
  [
    'a regex is anchored',
    '[{source_labels: [host_name], regex: h, target_label: x}]',
    'host_name=h1 service_name=Shop-Cart',
  ],
  ['an empty value removes', '[{target_label: host_name, replacement: ""}]', 'service_name=Shop-Cart'],
  [
    'a sent label never starts with __',
    '[{target_label: __x, replacement: y}]',
    'host_name=h1 service_name=Shop-Cart',
  ],
  [
    'keep',
    '[{source_labels: [__process_uid], regex: "0|33", action: keep}]',
    'host_name=h1 service_name=Shop-Cart',
  ],
  ['keep of others', '[{source_labels: [__process_uid], regex: "3", action: keep}]', 'dropped'],
  ['drop', '[{source_labels: [service_name], regex: "Shop.*", action: drop}]', 'dropped'],
  [
    'lowercase',
    '[{source_labels: [service_name], target_label: service_name, action: lowercase}]',
    'host_name=h1 service_name=shop-cart',
  ],
  [
    'uppercase',
    '[{source_labels: [host_name], target_label: H, action: uppercase}]',
    'H=H1 host_name=h1 service_name=Shop-Cart',
  ],
  ['labelmap', '[{regex: "__process_(.+)", action: labelmap}]', 'host_name=h1 service_name=Shop-Cart uid=33'],
  ['labeldrop', '[{regex: "host.*", action: labeldrop}]', 'service_name=Shop-Cart'],
  ['labelkeep', '[{regex: "host.*", action: labelkeep}]', 'host_name=h1'],
  [
    'a mapping with the list',
    'relabel_configs: [{target_label: a, replacement: b}]',
    'a=b host_name=h1 service_name=Shop-Cart',
  ],
  [
    'an unknown key',
    '[{regx: x, target_label: a}]',
    'rule 1: "regx" is not known; it takes source_labels, separator, regex, target_label, replacement, action',
  ],
  [
    'no target',
    '[{replacement: b}]',
    'rule 1: action replace needs target_label; rule 1: "" is no label name',
  ],
  [
    'a broken regex',
    '[{regex: "(", target_label: a}]',
    'rule 1: regex: error parsing regexp: missing closing ): `^(?s:()$`',
  ],
  ['no list', 'a: b', 'it takes a list of at most 1000 rules'],
])('%s', (_, rules, expected) => {
  expect(relabel(rules)).toBe(expected)
})

test('a regex that explodes elsewhere takes linear time', () => {
  const rules = parseRelabelRules('[{source_labels: [long], regex: "(a+)+b", action: keep}]', [])
  expect(applyRelabelRules(rules, [['long', 'a'.repeat(4096)]], [])).toBe(null)
})
