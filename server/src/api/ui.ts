import { existsSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import express, { type Express } from 'express'

/**
 * Serves the built page. Every path without a file is a page of the app, so a deep link gets index.html
 * with a base that leads back to where the app starts: the build's own paths are relative.
 */
export function serveUi(app: Express, uiDir: string): void {
  app.use(
    express.static(uiDir, {
      index: false,
      redirect: false,
      setHeaders(response, path) {
        // Only names with a hash in them may live forever.
        const isHashed = /[\\/]assets[\\/][^\\/]+-[\w-]{8,}\.\w+$/.test(path)
        response.setHeader('cache-control', isHashed ? 'public, max-age=31536000, immutable' : 'no-cache')
      },
    }),
  )
  app.get(/.*/, async (request, response, next) => {
    const index = join(uiDir, 'index.html')
    // A service may be called nginx.service or app.js: only paths outside the pages can name a file.
    const isPage = /^\/($|services\/?$|s\/)/.test(request.path) || !/\.\w{1,8}$/.test(request.path)
    if (!isPage) {
      response.status(404).type('text/plain').send('not found\n')
      return
    }
    if (!existsSync(index)) {
      response.status(503).type('text/plain').send(missingPage)
      return
    }
    try {
      const html = await readFile(index, 'utf8')
      response.set('cache-control', 'no-cache').type('html').send(withBase(html, request.path))
    } catch (error) {
      next(error)
    }
  })
}

/** `/s/api` is one level down, so its base is `../`. */
export function withBase(html: string, path: string): string {
  const depth = path.split('/').length - 2
  const base = depth <= 0 ? './' : '../'.repeat(depth)
  const tag = /<base\b[^>]*>/i
  if (tag.test(html)) return html.replace(tag, `<base href="${base}">`)
  return html.replace(/<head[^>]*>/i, head => `${head}<base href="${base}">`)
}

const missingPage = `Strobe's server runs, but its page is not built.

  npm run build --workspace ui     builds it; then load this again
  npm start                        builds it and starts everything

The API answers meanwhile: /api/v1/services, /api/v1/openapi.json, /healthz, /readyz, /metrics
`
