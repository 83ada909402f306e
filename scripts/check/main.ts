/** npm run check: everything that needs no root and no engine. Ends with `N passed, N failed`. */
import { checkAdditive } from './additive.ts'
import { checkBudgets } from './budgets.ts'
import { checkDocs } from './docs.ts'
import { checkGenerated } from './generated.ts'
import { checkImports } from './imports.ts'
import { checkRatchets } from './ratchets.ts'
import { checkDeadCode, checkFormatAndLint, checkNativeFormat, checkTypes } from './tools.ts'

/** Gives problems as lines; none means passed. */
export type Check = () => Promise<string[]> | string[]

const checks: Record<string, Check> = {
  'format and lint': checkFormatAndLint,
  types: checkTypes,
  imports: checkImports,
  'dead code': checkDeadCode,
  'native format': checkNativeFormat,
  'generated is committed': checkGenerated,
  'wire and API only grow': checkAdditive,
  ratchets: checkRatchets,
  budgets: checkBudgets,
  docs: checkDocs,
}

const wanted = process.argv.slice(2)
let passed = 0
let failed = 0
for (const [name, check] of Object.entries(checks)) {
  if (wanted.length > 0 && !wanted.some(word => name.includes(word))) continue
  const since = performance.now()
  const problems = await check()
  const took = `${((performance.now() - since) / 1000).toFixed(1)} s`
  if (problems.length === 0) passed++
  else failed++
  console.log(`${problems.length === 0 ? 'ok  ' : 'FAIL'} ${name} ${took}`)
  for (const problem of problems.slice(0, 60)) console.log(`     ${problem}`)
  if (problems.length > 60) console.log(`     and ${problems.length - 60} more`)
}
console.log(`${passed} passed, ${failed} failed`)
process.exitCode = failed === 0 ? 0 : 1
