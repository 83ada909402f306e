import type { IncomingMessage } from 'node:http'
import { isIP } from 'node:net'
import { CodedError } from '../errors.ts'

export interface GuardSettings {
  /** Besides localhost, 127.0.0.1 and [::1]; any port. */
  allowedHosts: string[]
  /** Addresses as hosts: a rebound name never reads as one, so they are safe where other machines may call. */
  isAnyAddressAllowed?: boolean
}

/**
 * Refuses what a foreign page in the user's browser could send: a name that was rebound to loopback
 * (HOST_NOT_ALLOWED), a request from another origin (ORIGIN_NOT_ALLOWED), and a body in a type that forms
 * may send without asking first (CONTENT_TYPE_NOT_ALLOWED; empty list of types: no body is expected, and
 * a request that changes something must not be a form's either).
 */
export function checkRequest(
  request: Pick<IncomingMessage, 'headers' | 'method'>,
  settings: GuardSettings,
): void {
  const host = request.headers.host ?? ''
  if (!isHostAllowed(host, settings))
    throw new CodedError(
      'HOST_NOT_ALLOWED',
      `requests for host "${host.slice(0, 200)}" are refused; use localhost, or add the name to STROBE_ALLOWED_HOSTS`,
      { host: host.slice(0, 200) },
    )
  const { origin } = request.headers
  if (origin !== undefined && !isSameOrigin(origin, host))
    throw new CodedError(
      'ORIGIN_NOT_ALLOWED',
      `requests from origin "${origin.slice(0, 200)}" are refused; only pages of this server may call it`,
      { origin: origin.slice(0, 200) },
    )
}

export function checkContentType(request: Pick<IncomingMessage, 'headers'>, allowed: string[]): void {
  const type = (request.headers['content-type'] ?? '').split(';')[0]!.trim().toLowerCase()
  if (allowed.includes(type)) return
  throw new CodedError(
    'CONTENT_TYPE_NOT_ALLOWED',
    `content type "${type.slice(0, 100)}" is refused; send ${allowed.join(' or ')}`,
    { contentType: type.slice(0, 100), allowed },
  )
}

function isHostAllowed(host: string, settings: GuardSettings): boolean {
  const name = hostName(host)
  if (name === null) return false
  if (isLoopbackName(name) || settings.allowedHosts.some(allowed => allowed.toLowerCase() === name))
    return true
  return settings.isAnyAddressAllowed === true && isIP(name.replace(/^\[|\]$/g, '')) !== 0
}

function isLoopbackName(name: string): boolean {
  return name === 'localhost' || name === '127.0.0.1' || name === '[::1]'
}

/** Lower case, without port; null when it is no host at all. */
function hostName(host: string): string | null {
  const match = /^(\[[0-9a-f:.]+\]|[a-z0-9._-]+)(?::\d{1,5})?$/i.exec(host)
  return match ? match[1]!.toLowerCase() : null
}

function isSameOrigin(origin: string, host: string): boolean {
  const match = /^https?:\/\/([^/]+)$/i.exec(origin)
  return match !== null && match[1]!.toLowerCase() === host.toLowerCase()
}

/** For the page and the API. The page has no inline scripts; uplot and react-aria set style attributes. */
export const securityHeaders: Record<string, string> = {
  'content-security-policy':
    "default-src 'self'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; font-src 'self' data:; connect-src 'self'; worker-src 'self'; object-src 'none'; base-uri 'self'; form-action 'self'; frame-ancestors 'none'",
  'x-content-type-options': 'nosniff',
  'x-frame-options': 'DENY',
  'referrer-policy': 'no-referrer',
  'cross-origin-opener-policy': 'same-origin',
  'cross-origin-resource-policy': 'same-origin',
}
