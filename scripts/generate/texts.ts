/** Documents whose facts stand in the code: written from it, compared with it by `npm run check`. */
import { readFileSync } from 'node:fs'
import { agentErrors, agentOptions } from '@strobe/agent'
import { PROFILE_ERRORS } from '@strobe/profile'
import { buildOpenapi } from '../../server/src/api/openapi.ts'
import { routes } from '../../server/src/api/routes/index.ts'
import { describeOptions } from '../../server/src/config.ts'
import { serverErrors } from '../../server/src/errors.ts'

const { version } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as {
  version: string
}

interface Row {
  flag: string
  variable: string
  default: string
  sentence: string
}

function agentRows(): Row[] {
  return agentOptions.map(option => ({
    flag: option.type === 'boolean' ? `--${option.flag}` : `--${option.flag} <${option.unit || option.type}>`,
    variable: option.variable,
    default: option.default === false ? 'no' : option.default === true ? 'yes' : String(option.default),
    sentence: option.sentence,
  }))
}

const cell = (text: string) => text.replaceAll('|', '\\|')

function table(rows: Row[]): string {
  const lines = rows.map(
    row =>
      `| \`${row.flag}\`<br>\`${row.variable}\` | ${row.default === '' ? '-' : `\`${cell(row.default)}\``} | ${cell(row.sentence)} |`,
  )
  return ['| flag, variable | default | what it changes |', '| --- | --- | --- |', ...lines].join('\n')
}

function configuration(): string {
  return `# Configuration

Every setting is a flag and an environment variable; the flag wins. A wrong value ends the program at its start, with
all mistakes named together. This page is written from the code (\`npm run generate\`).

## Server: \`strobe server\`

${table(describeOptions())}

## Agent: \`strobe agent\`

${table(agentRows())}

## Set-up: \`npm start\`, \`npm test\`

| variable | what it changes |
| --- | --- |
| \`STROBE_SETUP=no\` | system packages are only named, never installed |
`
}

function errors(): string {
  const serverRows = Object.entries(serverErrors).map(
    ([code, { status, sentence }]) => `| \`${code}\` | ${status} | ${sentence} |`,
  )
  const profileRows = Object.entries(PROFILE_ERRORS)
    .filter(([code]) => !(code in serverErrors))
    .map(([code, sentence]) => `| \`${code}\` | ${sentence} |`)
  const agentRows = Object.entries(agentErrors).map(([code, sentence]) => `| \`${code}\` | ${sentence} |`)
  return `# Errors

An error is a code and a sentence that names the thing, its value, the limit and the way out. Over HTTP it is
\`{code, message, details}\`, where details has the same facts for programs; over gRPC the code leads the status
message. Where coming again helps, \`Retry-After\` or \`strobe-retry-after-ms\` says when. This page is written from the
code (\`npm run generate\`).

## Server

| code | HTTP | what it says |
| --- | --- | --- |
${serverRows.join('\n')}

## Profiles, selectors and files

Refused with 400, limits with 413; from the CLI with exit code 1.

| code | what it says |
| --- | --- |
${profileRows.join('\n')}

## Agent

| code | what it says |
| --- | --- |
${agentRows.join('\n')}

The launcher has its own: \`OPTION_INVALID\`, \`CAPABILITY_MISSING\`, \`UID_PRIVILEGED\`, \`PROGRAM_REFUSED\` (with the
verifier's words), \`EVENT_FAILED\`, \`MAP_MISSING\`, \`HANDLES_FAILED\`, \`DROP_FAILED\`, \`SECCOMP_FAILED\`,
\`PARENT_GONE\`, \`COMMAND_FAILED\`; exit codes 1 refused or failed, 2 usage, 126 and 127 as a shell's exec.
\`strobe check\` tries each of these steps by itself.
`
}

/** Constants of bpf/profiler/types.h that TypeScript reads stacks by. */
function frameLayout(): string {
  const header = readFileSync(new URL('../../bpf/profiler/types.h', import.meta.url), 'utf8')
  const members = (prefix: string) =>
    [...header.matchAll(new RegExp(`^ +${prefix}_([A-Z_]+) = (\\d+),`, 'gm'))].map(
      ([, name = '', value]) =>
        `  ${name.toLowerCase().replaceAll(/_(.)/g, (_, letter: string) => letter.toUpperCase())}: ${value},`,
    )
  const shift = (name: string) => Number(new RegExp(`#define ${name} (\\d+)`).exec(header)?.[1])
  return `// Made from bpf/profiler/types.h by npm run generate.

/** enum frame_kind: the top bits of a frame's header word. */
export const frameKinds = {
${members('FRAME').join('\n')}
} as const

/** Position of the kind and of the file id in a header word, in bits. */
export const frameKindShift = ${shift('FRAME_KIND_SHIFT')}
export const frameFileShift = ${shift('FRAME_FILE_SHIFT')}

/** enum unwind_result. */
export const unwindResults = {
${members('RESULT').join('\n')}
} as const
`
}

function openapi(): string {
  return `${JSON.stringify(buildOpenapi(routes, version), null, 2)}\n`
}

/** Path to text of each generated file that is not a message type. */
export async function generatedTexts(): Promise<Record<string, string>> {
  return {
    'docs/configuration.md': configuration(),
    'docs/errors.md': errors(),
    'docs/openapi.json': openapi(),
    'agent/src/bpf/frame-layout.ts': frameLayout(),
  }
}
