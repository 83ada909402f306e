import type { Request, Response } from 'express'
import { z } from 'zod'
import type { Access, Principal } from '../auth/access.ts'
import { CodedError } from '../errors.ts'
import type { QueryContext } from '../query/context.ts'
import type { Backups } from '../storage/backup/backups.ts'
import type { KeyStore } from '../storage/keys.ts'
import type { TenantDeleter } from '../storage/life/delete-tenant.ts'
import type { TenantStore } from '../storage/tenants.ts'

/** What a handler gets: the checked query, and a signal that fires when the client goes away. */
export interface RouteCall<Query> {
  query: Query
  params: Record<string, string>
  request: Request
  response: Response
  signal: AbortSignal
  /** Of the key; every read and write is for it alone. */
  tenant: string
  principal: Principal
  context: RouteContext
}

/** One route of the API: its schemas check what comes in and are its documentation. */
export interface Route {
  method: 'get' | 'post' | 'put' | 'delete'
  /** Below /api/v1, as express writes it. */
  path: string
  summary: string
  /** What the key must allow. */
  access: Access
  query: z.ZodType
  /** Undefined when the handler sends a file by itself and returns undefined. */
  answer: z.ZodType | undefined
  /** Content types a request must have; a GET has none. */
  bodyTypes?: string[]
  handle(call: RouteCall<unknown>): Promise<unknown>
}

export interface PushAnswer {
  profiles: { type: string; samples: number; total: string }[]
  batchId: string
  retimed: boolean
  /** RFC 3339; only when retimed. */
  originalTime?: string
}

export interface ServerStatus {
  version: string
  demo: boolean
  startedAt: number
  store: { ready: boolean; reason?: string }
  disk: {
    state: 'ok' | 'freeing' | 'refusing'
    reason: string
    freeBytes: number
    totalBytes: number
    storeBytes: number
  }
  address: string
  dataDir: string
}

/** What routes need of the server. */
export interface RouteContext {
  queries: QueryContext
  /** Stores the body of the request; throws what is wrong with it. */
  push(request: Request, search: URLSearchParams, tenant: string): Promise<PushAnswer>
  status(): ServerStatus
  /** Deletes every profile; resolves once that is done. */
  deleteData(): Promise<void>
  admin: AdminContext
}

/** What routes of /admin manage. */
export interface AdminContext {
  tenants: TenantStore
  keys: KeyStore
  backups: Backups
  deletions: TenantDeleter
}

export function defineRoute<Query extends z.ZodType>(route: {
  method: Route['method']
  path: string
  summary: string
  access: Access
  query: Query
  answer: z.ZodType | undefined
  bodyTypes?: string[]
  handle(call: RouteCall<z.output<Query>>): Promise<unknown>
}): Route {
  // The query was checked by the schema beside the handler, so its type is the schema's.
  return route as unknown as Route
}

/** Reads a query string; throws BAD_REQUEST that names every wrong parameter. */
export function readQuery(schema: z.ZodType, given: unknown): unknown {
  const result = schema.safeParse(given)
  if (result.success) return result.data
  const parameters = result.error.issues.map(issue => `${issue.path.join('.') || 'query'}: ${issue.message}`)
  throw new CodedError('BAD_REQUEST', `parameters refused: ${parameters.join('; ')}`, { parameters })
}

/** An object schema that knows no other parameters: a misspelt one is refused, not ignored. */
export function parameters<Shape extends z.core.$ZodLooseShape>(shape: Shape) {
  return z.strictObject(shape)
}
