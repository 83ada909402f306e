import express, { type Express, type NextFunction, type Request, type Response } from 'express'
import { checkAccess, defaultTenant } from '../auth/access.ts'
import type { Authenticate } from '../auth/authenticator.ts'
import { checkContentType, checkRequest, type GuardSettings, securityHeaders } from '../auth/request-guard.ts'
import { CodedError } from '../errors.ts'
import { answerError } from './answer-error.ts'
import { buildOpenapi } from './openapi.ts'
import { type Route, type RouteCall, type RouteContext, readQuery } from './route.ts'
import { routes } from './routes/index.ts'
import { serveUi } from './ui.ts'

export interface AppSettings {
  context: RouteContext
  version: string
  guard: GuardSettings
  authenticate: Authenticate
  uiDir: string
  /** null when ready, else why not. */
  notReady(): string | null
  /** Text of the metrics and its content type. */
  metrics(): Promise<{ contentType: string; text: string }>
  observe(route: string, method: string, status: number, elapsedMs: number): void
  logFailure(error: unknown, request: Request): void
}

/** The HTTP side of the server: API, health, metrics and the page. */
export function createApp(settings: AppSettings): Express {
  const app = express()
  app.disable('x-powered-by')
  app.set('etag', false)
  app.set('query parser', 'simple')

  const fail = (response: Response, request: Request, error: unknown) => {
    const answer = answerError(response, error)
    if (answer.status >= 500) settings.logFailure(error, request)
  }

  app.use((request, response, next) => {
    response.set(securityHeaders)
    try {
      checkRequest(request, settings.guard)
      next()
    } catch (error) {
      fail(response, request, error)
    }
  })

  app.get('/healthz', (_request, response) => {
    response.type('text/plain').send('ok\n')
  })
  app.get('/readyz', (_request, response) => {
    const reason = settings.notReady()
    response
      .status(reason === null ? 200 : 503)
      .type('text/plain')
      .send(reason === null ? 'ready\n' : `${reason}\n`)
  })
  app.get('/metrics', async (request, response) => {
    try {
      // They name tenants, so they are for whoever may read the tenant that manages all.
      const principal = await settings.authenticate(request.get('authorization'))
      checkAccess(principal, principal.tenant === defaultTenant ? 'read' : 'operator')
      const { contentType, text } = await settings.metrics()
      response.set('content-type', contentType).send(text)
    } catch (error) {
      fail(response, request, error)
    }
  })

  const api = express.Router()
  api.use((_request, response, next) => {
    response.set('cache-control', 'no-store')
    next()
  })
  const openapi = buildOpenapi(routes, settings.version)
  api.get('/openapi.json', (_request, response) => {
    response.json(openapi)
  })
  for (const route of routes) {
    api[route.method](route.path, (request, response) => {
      const startedAt = performance.now()
      response.once('close', () =>
        settings.observe(route.path, route.method, response.statusCode, performance.now() - startedAt),
      )
      runRoute(route, request, response, settings).catch(error => fail(response, request, error))
    })
  }
  api.use((request, response) => {
    const path = request.path
    const isKnown = routes.some(route => matchesPath(route.path, path))
    fail(
      response,
      request,
      isKnown
        ? new CodedError(
            'METHOD_NOT_ALLOWED',
            `${request.method} is not allowed on /api/v1${path.slice(0, 200)}`,
          )
        : new CodedError(
            'NOT_FOUND',
            `there is no /api/v1${path.slice(0, 200)}; /api/v1/openapi.json lists what there is`,
          ),
    )
  })
  app.use('/api/v1', api)
  app.use('/api', (request, response) => {
    fail(response, request, new CodedError('NOT_FOUND', 'this server speaks /api/v1'))
  })
  serveUi(app, settings.uiDir)
  app.use((error: unknown, request: Request, response: Response, _next: NextFunction) =>
    fail(response, request, error),
  )
  return app
}

async function runRoute(
  route: Route,
  request: Request,
  response: Response,
  settings: AppSettings,
): Promise<void> {
  const principal = await settings.authenticate(request.get('authorization'))
  checkAccess(principal, route.access)
  if (route.bodyTypes) checkContentType(request, route.bodyTypes)
  const controller = new AbortController()
  response.once('close', () => {
    if (!response.writableFinished) controller.abort()
  })
  const call: RouteCall<unknown> = {
    query: readQuery(route.query, { ...request.query }),
    params: request.params as Record<string, string>,
    request,
    response,
    signal: controller.signal,
    tenant: principal.tenant,
    principal,
    context: settings.context,
  }
  const answer = await route.handle(call)
  if (route.answer && !response.headersSent && !response.destroyed) response.json(answer)
}

function matchesPath(pattern: string, path: string): boolean {
  return new RegExp(`^${pattern.replaceAll(/:[a-zA-Z]+/g, '[^/]+')}/?$`).test(path)
}
