import { writeFile } from 'node:fs/promises'
import { compareProfiles, type Normalization, type ProfileComparison } from '@strobe/profile'
import { type Command, InvalidArgumentError } from 'commander'
import { addRangeOptions, addServerOptions, createApiClient, type ServerOptions } from '../api-client.ts'
import { CliError, type CommandContext, exitCodes } from '../command.ts'
import { askServer } from '../diff/ask-server.ts'
import { type DiffReport, formatDiffMarkdown, formatDiffText } from '../diff/format-report.ts'
import { formatDiffSvg } from '../diff/format-svg.ts'
import { readSide } from '../diff/read-side.ts'
import { readCount } from './top.ts'

type Format = 'text' | 'json' | 'markdown' | 'svg'

interface Options extends ServerOptions {
  type: string
  from: string
  to: string
  fromA?: string
  toA?: string
  normalize: Normalization
  format?: Format
  output?: string
  n: number
  designEffect?: number
  failOn?: FailRule[]
}

interface FailRule {
  state: 'slower' | 'faster'
  /** Growth of the whole, as a share. */
  least: number
}

const maxTreeNodes = 2_500

export function configure(command: Command, context: CommandContext): void {
  addRangeOptions(addServerOptions(command, context))
    .argument('<a>', 'the baseline: a profile, a folder of profiles of the same thing, or a selector')
    .argument('<b>', 'what is compared with it')
    .option('--from-a <time>', 'start of A, when A and B are selectors (default: as --from, which is of B)')
    .option('--to-a <time>', 'end of A')
    .option('--type <type>', 'profile type, when there are several', '')
    .option(
      '--normalize <how>',
      'share: of each side; total: per profile, for the same work recorded twice; rate: per second',
      readNormalization,
      'share',
    )
    .option('--format <format>', 'text, json, markdown or svg (default: by the name of the file)', readFormat)
    .option('-o, --output <file>', 'write the report here')
    .option('-n <count>', 'functions to list', readCount, 20)
    .option(
      '--design-effect <factor>',
      'variance of the samples over that of independent ones, when a side is one profile (default 2)',
      readFactor,
    )
    .option(
      '--fail-on <rule>',
      'exit with 4 when the whole is slower (or faster) by that much: slower=2%; may be given again',
      addRule,
    )
    .addHelpText(
      'after',
      `
A function is a finding when its own share changed by more than noise (5 % false findings among all that are
tested), by 0.1 points and by 5 % of itself. Folders do better than single files: from one profile to the
next they tell how much a function varies by itself.

Exit codes: 0 compared, 1 failure, 2 wrong usage, 4 a rule of --fail-on holds, 5 the sides cannot be compared.

  strobe record -o before.pb.gz -- ./bench && git switch fix && strobe record -o after.pb.gz -- ./bench
  strobe diff before.pb.gz after.pb.gz --normalize total --fail-on slower=2%
  strobe diff runs/main runs/branch --format markdown -o comment.md
  strobe diff '{service_name="api",service_version="1.4"}' '{service_name="api",service_version="1.5"}'
  strobe diff '{service_name="api"}' '{service_name="api"}' --from-a now-25h --to-a now-24h`,
    )
    .action(async (a: string, b: string, options: Options) => {
      const areSelectors = [a, b].map(side => side.trimStart().startsWith('{'))
      if (areSelectors[0] !== areSelectors[1])
        throw new CliError(
          'give two files or folders, or two selectors such as {service_name="api"}',
          exitCodes.usage,
        )
      const report = areSelectors[0]
        ? await compareSelectors(a, b, options, context)
        : await compareFiles(a, b, options)
      await write(report, options, context)
      context.setExitCode(exitCodeOf(report.comparison, options.failOn ?? [], context))
    })
}

async function compareSelectors(
  a: string,
  b: string,
  options: Options,
  context: CommandContext,
): Promise<DiffReport> {
  if (options.normalize === 'total')
    throw new CliError('selectors are compared by share or rate; total is for files', exitCodes.usage)
  const type = options.type || 'cpu'
  const { fromA = options.from, toA = options.to } = options
  const sides = { queryA: a, fromA, toA, queryB: b, fromB: options.from, toB: options.to }
  const { comparison, ...rest } = await askServer(createApiClient(options, context), {
    ...sides,
    ...{ type, normalize: options.normalize },
  })
  return {
    ...{ nameA: `${a} ${fromA} to ${toA}`, nameB: `${b} ${options.from} to ${options.to}` },
    ...{ type, limit: options.n, comparison, ...rest },
  }
}

async function compareFiles(a: string, b: string, options: Options): Promise<DiffReport> {
  const [sideA, sideB] = [await readSide(a, options.type), await readSide(b, options.type)]
  const types = [...new Set([...sideA.types, ...sideB.types])]
  if (sideA.unit !== sideB.unit)
    throw new CliError(
      `A is in ${sideA.unit || 'no unit'}, B in ${sideB.unit || 'no unit'}; choose one type of both with --type (there are ${types.join(', ')})`,
    )
  const comparison = compareProfiles(
    sideA.side,
    sideB.side,
    options.normalize,
    options.designEffect === undefined ? {} : { designEffect: options.designEffect },
  )
  return {
    ...{ nameA: a, nameB: b, type: types.join(', '), unit: sideA.unit, limit: options.n, comparison },
    ...{ warnings: warningsOf(comparison, options, types), omittedFunctions: 0 },
  }
}

function warningsOf({ a, b, normalization }: ProfileComparison, options: Options, types: string[]): string[] {
  const warnings: string[] = []
  if (types.length > 1)
    warnings.push(`the sides have several types (${types.join(', ')}); their shares are compared as they are`)
  if (a.replicates === 1 && b.replicates === 1 && options.designEffect === undefined)
    warnings.push(
      'one profile a side cannot tell how much it varies by itself; noise is taken as twice that of independent samples (--design-effect)',
    )
  if (normalization === 'rate' && (a.seconds === 0 || b.seconds === 0))
    throw new CliError(
      'a profile does not say how long it took, so there is no rate; use --normalize share or total',
      exitCodes.usage,
    )
  return warnings
}

async function write(report: DiffReport, options: Options, context: CommandContext): Promise<void> {
  const format: Format = options.json ? 'json' : (options.format ?? formatOf(options.output))
  const text =
    format === 'json'
      ? `${JSON.stringify(toJson(report), null, 2)}\n`
      : format === 'markdown'
        ? formatDiffMarkdown(report)
        : format === 'svg'
          ? formatDiffSvg(report)
          : `${formatDiffText(report, options.output ? Number.POSITIVE_INFINITY : context.width)}\n`
  if (options.output === undefined || options.output === '-') {
    context.print(text.trimEnd())
    return
  }
  await writeFile(options.output, text)
  context.note(`${options.output}: ${report.comparison.verdict.state}, ${report.comparison.verdict.reason}`)
}

function toJson({ nameA, nameB, type, unit, comparison, warnings }: DiffReport): object {
  const { tree, a, b, ...rest } = comparison
  const { tree: nodes, omitted, ...weights } = tree(maxTreeNodes)
  return {
    ...{ type, unit, a: { name: nameA, ...a }, b: { name: nameB, ...b }, ...rest, warnings },
    tree: {
      names: nodes.frames.map(frame => frame.name),
      modules: nodes.frames.map(frame => frame.module),
      name: [...nodes.frame],
      parent: [...nodes.parent],
      ...Object.fromEntries(
        Object.entries(weights).map(([name, column]) => [name, [...(column as Float64Array)]]),
      ),
      omitted,
    },
  }
}

function exitCodeOf(
  { verdict }: ProfileComparison,
  rules: readonly FailRule[],
  context: CommandContext,
): number {
  if (verdict.state === 'cannot_compare') return exitCodes.incomparable
  for (const { state, least } of rules) {
    if (verdict.state !== state || !verdict.growth) continue
    const size = Math.abs(verdict.growth.value)
    if (size < least) continue
    context.note(
      `strobe: ${state} by ${(size * 100).toFixed(1)} %, --fail-on ${state}=${(least * 100).toPrecision(3)}%`,
    )
    return exitCodes.rule
  }
  return exitCodes.ok
}

function formatOf(output: string | undefined): Format {
  if (output?.endsWith('.svg')) return 'svg'
  if (output?.endsWith('.md')) return 'markdown'
  return output?.endsWith('.json') ? 'json' : 'text'
}

function readNormalization(text: string): Normalization {
  if (text === 'share' || text === 'total' || text === 'rate') return text
  throw new InvalidArgumentError('give share, total or rate.')
}

function readFormat(text: string): Format {
  if (text === 'text' || text === 'json' || text === 'markdown' || text === 'svg') return text
  throw new InvalidArgumentError('give text, json, markdown or svg.')
}

function readFactor(text: string): number {
  const factor = Number(text)
  if (factor >= 1 && factor <= 1000) return factor
  throw new InvalidArgumentError('give a number from 1 to 1000.')
}

function addRule(text: string, rules: FailRule[] = []): FailRule[] {
  const [, state, number] = /^(slower|faster)=(\d+(?:\.\d+)?)%$/.exec(text) ?? []
  if (state === undefined || number === undefined)
    throw new InvalidArgumentError('write it as slower=2% or faster=2%.')
  return [...rules, { state: state as FailRule['state'], least: Number(number) / 100 }]
}
