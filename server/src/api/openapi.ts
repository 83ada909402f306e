import { z } from 'zod'
import type { Route } from './route.ts'

/** The OpenAPI 3.1 document of the routes, made from the schemas that check requests. */
export function buildOpenapi(routes: Route[], version: string): object {
  const paths: Record<string, Record<string, object>> = {}
  for (const route of routes) {
    const path = route.path.replaceAll(/:([a-zA-Z]+)/g, '{$1}')
    paths[path] ??= {}
    paths[path][route.method] = {
      summary: route.summary,
      description: `Needs access: ${route.access}.`,
      operationId: `${route.method}${path.replaceAll(/[^a-zA-Z]+(.)?/g, (_, letter: string | undefined) => (letter ?? '').toUpperCase())}`,
      parameters: [
        ...[...route.path.matchAll(/:([a-zA-Z]+)/g)].map(([, name]) => ({
          name,
          in: 'path',
          required: true,
          schema: { type: 'string' },
        })),
        ...queryParameters(route.query),
      ],
      // A type of JSON without a schema is there so that no form of another site can send it: no body is read.
      ...(route.method === 'post' && route.bodyTypes && !route.bodyTypes.includes('application/json')
        ? {
            requestBody: {
              required: true,
              content: Object.fromEntries(
                route.bodyTypes.map(type => [type, { schema: { type: 'string', format: 'binary' } }]),
              ),
            },
          }
        : {}),
      responses: {
        200: {
          description: 'The answer.',
          content: route.answer
            ? { 'application/json': { schema: withoutDialect(z.toJSONSchema(route.answer)) } }
            : { 'application/octet-stream': { schema: { type: 'string', format: 'binary' } } },
        },
        default: {
          description:
            'A refusal: a code, a sentence that names value and limit, and the same facts for programs.',
          content: { 'application/json': { schema: withoutDialect(z.toJSONSchema(errorAnswer)) } },
        },
      },
    }
  }
  return {
    openapi: '3.1.0',
    info: { title: 'Strobe', version, license: { name: 'Apache-2.0', identifier: 'Apache-2.0' } },
    servers: [{ url: '.' }],
    paths,
  }
}

const errorAnswer = z.object({
  code: z.string(),
  message: z.string(),
  details: z.record(z.string(), z.unknown()),
})

interface ObjectSchema {
  properties?: Record<string, { description?: string }>
  required?: string[]
}

function queryParameters(schema: z.ZodType): object[] {
  const { properties = {}, required = [] } = z.toJSONSchema(schema, { io: 'input' }) as ObjectSchema
  return Object.entries(properties).map(([name, { description, ...rest }]) => ({
    name,
    in: 'query',
    required: required.includes(name),
    ...(description === undefined ? {} : { description }),
    schema: rest,
  }))
}

function withoutDialect({ $schema: _, ...schema }: Record<string, unknown>): object {
  return schema
}
