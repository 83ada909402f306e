import { StrobeError } from '@strobe/profile'
import type { Response } from 'express'
import { CodedError, type ErrorDetails, toCodedError } from '../errors.ts'

export interface ErrorAnswer {
  status: number
  code: string
  message: string
  details: ErrorDetails
}

/** The one place that turns a failure into an HTTP answer. Bugs keep their text out of it. */
export function describeFailure(error: unknown): ErrorAnswer {
  // Codes of the domain package say what is wrong with what the client sent.
  if (error instanceof StrobeError) {
    const status = /_LIMIT$/.test(error.code) ? 413 : error.code === 'TYPE_UNKNOWN' ? 404 : 400
    return { status, code: error.code, message: error.message, details: error.details }
  }
  if (isHttpError(error) && error.status < 500)
    return { status: error.status, code: 'BAD_REQUEST', message: error.message, details: {} }
  const coded = toCodedError(error)
  const message =
    coded.code === 'INTERNAL' ? 'the server failed on this request; its log has the reason' : coded.message
  return { status: coded.status, code: coded.code, message, details: coded.details }
}

/** express refuses some requests by itself, such as one with a broken escape in its path. */
function isHttpError(error: unknown): error is Error & { status: number } {
  return (
    error instanceof Error &&
    !(error instanceof CodedError) &&
    typeof (error as { status?: unknown }).status === 'number'
  )
}

export function answerError(response: Response, error: unknown): ErrorAnswer {
  const { status, code, message, details } = describeFailure(error)
  const answer = { status, code, message, details }
  if (response.headersSent) {
    response.destroy()
    return answer
  }
  const { retryAfterMs } = details
  if (typeof retryAfterMs === 'number')
    response.setHeader('retry-after', String(Math.max(1, Math.ceil(retryAfterMs / 1000))))
  if (status === 401) response.setHeader('www-authenticate', 'Bearer realm="strobe"')
  response.status(status).json({ code, message, details })
  return answer
}
