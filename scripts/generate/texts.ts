/** Documents whose facts stand in the code: written from it, compared with it by `npm run check`. */
import { agentOptions } from '@strobe/agent'
import { describeOptions } from '../../server/src/config.ts'

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

/** Path to text of each generated file that is not a message type. */
export async function generatedTexts(): Promise<Record<string, string>> {
  return { 'docs/configuration.md': configuration() }
}
