/**
 * The arrows of ARCHITECTURE.md: who may import whom. Own and small, because a tool that understood none of
 * the files once reported "no violations"; this one fails when it read fewer files than git lists.
 */
import { dirname, join, normalize } from 'node:path'
import { listFiles, readText } from './files.ts'

interface Rule {
  /** Files it holds for: a path prefix. */
  from: string
  /** Path prefixes, package names or `node:`; a file may always import within its own `from`. */
  may: string[]
  /** Only through import() or `import type`: what must not be loaded before it is needed. */
  lazily?: string[]
}

/** The longest matching `from` wins. Tests may import anything below their package's arrows. */
const rules: Rule[] = [
  { from: 'proto/', may: ['@bufbuild/protobuf'] },
  { from: 'profile/', may: ['@lezer/common', '@prometheus-io/lezer-promql'] },
  { from: 'agent/src/', may: ['node:', 'npm:', '@strobe/proto', '@strobe/profile'] },
  { from: 'agent/src/bpf/', may: ['node:'] },
  { from: 'server/src/', may: ['node:', 'npm:', '@strobe/proto', '@strobe/profile'] },
  { from: 'server/src/engine/', may: ['node:', 'chdb', 'pino', 'server/src/errors.ts'] },
  {
    from: 'server/src/storage/',
    may: [
      'node:',
      '@clickhouse/client',
      'pino',
      're2js',
      '@strobe/profile',
      'server/src/errors.ts',
      'server/src/metrics.ts',
      'server/src/limits.ts',
    ],
  },
  {
    from: 'server/src/ingest/',
    may: [
      'node:',
      'express',
      '@grpc/grpc-js',
      '@bufbuild/protobuf',
      'pino',
      '@strobe/proto',
      '@strobe/profile',
      'server/src/storage/',
      'server/src/quantity.ts',
      'server/src/tenant-settings.ts',
      'server/src/tenant-groups.ts',
      'server/src/errors.ts',
      'server/src/metrics.ts',
      'server/src/limits.ts',
    ],
  },
  {
    from: 'server/src/query/',
    may: [
      'node:',
      'pino',
      're2js',
      '@strobe/profile',
      'server/src/storage/',
      'server/src/tenant-settings.ts',
      'server/src/errors.ts',
      'server/src/metrics.ts',
      'server/src/limits.ts',
    ],
  },
  {
    from: 'server/src/api/',
    may: [
      'node:',
      'express',
      'zod',
      'pino',
      'prom-client',
      '@strobe/profile',
      'server/src/query/',
      'server/src/storage/',
      'server/src/ingest/',
      'server/src/auth',
      'server/src/config.ts',
      'server/src/quantity.ts',
      'server/src/tenant-settings.ts',
      'server/src/tenant-groups.ts',
      'server/src/errors.ts',
      'server/src/metrics.ts',
      'server/src/limits.ts',
    ],
  },
  { from: 'server/src/main.ts', may: ['node:', 'npm:', '@strobe/proto', '@strobe/profile', 'server/src/'] },
  { from: 'server/src/index.ts', may: ['server/src/'] },
  { from: 'ui/', may: ['node:', 'npm:', '@strobe/profile'] },
  // The registry imports a command when it is called, so a command may import what it starts.
  {
    from: 'cli/src/',
    may: ['node:', 'npm:', '@strobe/proto', '@strobe/profile'],
    lazily: ['@strobe/agent', '@strobe/server'],
  },
  { from: 'cli/src/commands/', may: ['node:', 'npm:', '@strobe/', 'cli/src/'] },
  { from: 'cli/src/seed-demo.ts', may: ['node:', 'npm:', '@strobe/', 'cli/src/'] },
  {
    from: 'scripts/',
    may: ['@strobe/profile', 'node:', '@strobe/agent', '@strobe/server', 'agent/', 'server/', 'cli/', 'npm:'],
  },
  {
    from: 'test/',
    may: ['node:', 'npm:', '@strobe/', 'proto/', 'profile/', 'agent/', 'server/', 'cli/', 'scripts/'],
  },
  { from: 'bench/', may: ['node:', 'npm:', '@strobe/', 'profile/', 'agent/', 'server/', 'cli/', 'test/'] },
  { from: 'vitest.config.ts', may: ['npm:'] },
]

/** What only one folder may name, wherever else it would be legal to import. */
const soleUsers: [pattern: RegExp, folder: string, what: string][] = [
  [/strobe_agent\.node/, 'agent/src/bpf/', 'loads the native addon'],
  [/from 'chdb|import\('chdb/, 'server/src/engine/', 'knows chdb'],
  [
    /[`'"]\s*(SELECT\s[^'"`]*\sFROM|INSERT INTO|ALTER TABLE|CREATE TABLE|TRUNCATE TABLE)\b/,
    'server/src/storage/',
    'contains SQL',
  ],
  [/\bfetch\(/, 'ui/src/api/', 'calls the network'],
]
const soleUserScope: Record<string, string> = {
  'server/src/storage/': 'server/src/',
  'ui/src/api/': 'ui/src/',
  'server/src/engine/': 'server/src/',
  'agent/src/bpf/': 'agent/src/',
}

const importPattern =
  /^\s*(?:import|export)\s+(type\s+)?(?:[\w*${}\s,]+?\s+from\s+)?'([^']+)'|\bimport\(\s*'([^']+)'\s*\)/gm

function isTest(path: string): boolean {
  return /\.(test|bench)\.tsx?$|\/(?:testing|test-store)\.ts$|vite\.config\.ts$/.test(path)
}

function allowed(target: string, prefixes: string[]): boolean {
  return prefixes.some(prefix => {
    if (prefix === 'npm:')
      return (
        !target.startsWith('node:') &&
        !target.startsWith('@strobe/') &&
        !/^(proto|profile|agent|server|ui|cli|scripts|test|bench)\//.test(target)
      )
    if (prefix.endsWith('/') || prefix.endsWith(':') || prefix.endsWith('.ts'))
      return target.startsWith(prefix)
    return target === prefix || target.startsWith(`${prefix}/`)
  })
}

export function checkImports(): string[] {
  const problems: string[] = []
  const files = listFiles('*.ts', '*.tsx').filter(path => !path.startsWith('proto/gen/'))
  let read = 0
  for (const path of files) {
    const text = readText(path)
    read++
    const rule = rules
      .filter(each => path.startsWith(each.from))
      .sort((a, b) => b.from.length - a.from.length)[0]
    if (!rule) {
      problems.push(`${path}: no rule names its folder (scripts/check/imports.ts)`)
      continue
    }
    for (const [, typeOnly, fromStatement, dynamic] of text.matchAll(importPattern)) {
      const specifier = fromStatement ?? dynamic ?? ''
      const target = specifier.startsWith('.') ? normalize(join(dirname(path), specifier)) : specifier
      if (
        target.startsWith(rule.from) ||
        (rule.from.startsWith(`${dirname(path)}/`) && target.startsWith(`${dirname(path)}/`))
      )
        continue
      const isLazy = dynamic !== undefined || typeOnly !== undefined
      if (allowed(target, rule.may) || (isLazy && allowed(target, rule.lazily ?? []))) continue
      if (isTest(path) && !target.startsWith('@strobe/') && !target.startsWith('../')) continue
      problems.push(
        `${path}: may not import ${specifier} (allowed: ${[...rule.may, ...(rule.lazily ?? []).map(each => `${each} lazily`)].join(', ')})`,
      )
    }
    for (const [pattern, folder, what] of soleUsers) {
      const scope = soleUserScope[folder] ?? ''
      const isEngine = folder === 'server/src/storage/' && path.startsWith('server/src/engine/')
      if (
        path.startsWith(scope) &&
        !path.startsWith(folder) &&
        !isEngine &&
        !isTest(path) &&
        pattern.test(text)
      )
        problems.push(`${path}: only ${folder} ${what}`)
    }
  }
  if (read < files.length || files.length === 0)
    problems.push(`read ${read} of ${files.length} files that git lists`)
  return problems
}
