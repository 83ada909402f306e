export type FunctionsOf = 'stack' | 'leaf'

/**
 * A subquery of stack_id and the functions of each stack as the function table shows them: frames of one
 * name, file, module and kind are one function, and stand for it by the smallest frame id met here.
 *
 * of 'stack': functions (each once), leaf; of 'leaf': leaf, is_stored = 1. A stack without frames is function 0, a
 * frame that is not stored function 1; a stack that is not stored has no row. fromSource: FROM of the rows whose
 * stacks are asked for. Follows query/stack-store.ts and functionTotals of the profile package.
 */
export function functionsOfStacks(of: FunctionsOf, services: string, fromSource: string): string {
  // A scalar is worked out once, however often its text stands here.
  const stacks = `FROM stacks WHERE tenant = {tenant:String} AND service IN (${services})
        AND stack_id IN (SELECT arrayJoin((SELECT groupUniqArray(stack_id) ${fromSource})))`
  const frameIds = of === 'stack' ? 'arrayJoin(frames)' : 'frames[1]'
  const frames = `FROM frames WHERE tenant = {tenant:String} AND frame_id IN (SELECT ${frameIds} ${stacks})`
  const functions = `(SELECT frame_id, min(frame_id) OVER (PARTITION BY identity) AS function FROM
      (SELECT frame_id, if(shown = '', cityHash64('unnamed', module, address),
          cityHash64('named', shown, file, if(function_module = '', module, function_module), kind)) AS identity
        FROM (SELECT DISTINCT frame_id, function_id, toString(module) AS module, address, toString(kind) AS kind ${frames} LIMIT 1 BY frame_id) AS fr
        ANY LEFT JOIN (SELECT function_id, if(name = '', system_name, name) AS shown, file, toString(module) AS function_module
          FROM functions WHERE tenant = {tenant:String} AND function_id IN (SELECT function_id ${frames})) AS fn USING (function_id)))`
  const known = 'multiIf(position = 0, 0, function = 0, 1, function)'
  return of === 'stack'
    ? `(SELECT stack_id, groupUniqArray(${known}) AS functions, argMin(${known}, position) AS leaf
        FROM (SELECT stack_id, frame_id, position ${stacks.replace('FROM stacks', 'FROM stacks LEFT ARRAY JOIN frames AS frame_id, arrayEnumerate(frames) AS position')}) AS st
        ANY LEFT JOIN ${functions} AS fs USING (frame_id) GROUP BY stack_id)`
    : `(SELECT stack_id, ${known} AS leaf, toUInt8(1) AS is_stored
        FROM (SELECT stack_id, frames[1] AS frame_id, notEmpty(frames) AS position ${stacks} LIMIT 1 BY stack_id) AS st
        ANY LEFT JOIN ${functions} AS fs USING (frame_id))`
}
