import { expect, test } from 'vitest'
import { lostKeys } from './additive.ts'

const document = {
  '/services': {
    get: {
      parameters: [{ name: 'from', in: 'query' }],
      responses: { 200: { properties: { name: {}, types: {} }, required: ['name'] } },
    },
  },
}
const changed = (edit: (copy: typeof document) => void) => {
  const copy = structuredClone(document)
  edit(copy)
  return lostKeys(document, copy)
}

test.each<[string, (copy: typeof document) => void, string[]]>([
  ['nothing changed', () => {}, []],
  ['a new path', copy => Object.assign(copy, { '/agents': {} }), []],
  ['a new field', copy => Object.assign(copy['/services'].get.responses[200].properties, { cores: {} }), []],
  ['a path gone', copy => Reflect.deleteProperty(copy, '/services'), ['./services']],
  [
    'a parameter renamed',
    copy => Object.assign(copy['/services'].get.parameters[0] ?? {}, { name: 'start' }),
    ['./services.get.parameters.from'],
  ],
  [
    'a field gone',
    copy => Reflect.deleteProperty(copy['/services'].get.responses[200].properties, 'types'),
    ['./services.get.responses.200.properties.types'],
  ],
  [
    'a field no longer promised',
    copy => copy['/services'].get.responses[200].required.pop(),
    ['./services.get.responses.200.required.name'],
  ],
])('%s', (_, edit, lost) => {
  expect(changed(edit)).toEqual(lost)
})
