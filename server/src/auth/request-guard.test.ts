import { expect, test } from 'vitest'
import { checkContentType, checkRequest } from './request-guard.ts'

function check(host: string | undefined, origin?: string): string {
  try {
    checkRequest(
      {
        method: 'GET',
        headers: { ...(host === undefined ? {} : { host }), ...(origin === undefined ? {} : { origin }) },
      },
      { allowedHosts: ['profiles.example.com'] },
    )
    return 'passes'
  } catch (error) {
    return (error as { code: string }).code
  }
}

test.each([
  ['localhost:4040', undefined, 'passes'],
  ['127.0.0.1:1', undefined, 'passes'],
  ['[::1]:4040', undefined, 'passes'],
  ['LOCALHOST', undefined, 'passes'],
  ['profiles.example.com', 'https://profiles.example.com', 'passes'],
  ['localhost:4040', 'http://localhost:4040', 'passes'],
  ['evil.example.com:4040', undefined, 'HOST_NOT_ALLOWED'],
  ['localhost.evil.example', undefined, 'HOST_NOT_ALLOWED'],
  ['127.0.0.1@evil.example', undefined, 'HOST_NOT_ALLOWED'],
  ['', undefined, 'HOST_NOT_ALLOWED'],
  [undefined, undefined, 'HOST_NOT_ALLOWED'],
  ['localhost:4040', 'http://localhost:3000', 'ORIGIN_NOT_ALLOWED'],
  ['localhost:4040', 'http://evil.example', 'ORIGIN_NOT_ALLOWED'],
  ['localhost:4040', 'null', 'ORIGIN_NOT_ALLOWED'],
])('host %s with origin %s: %s', (host, origin, expected) => {
  expect(check(host, origin)).toBe(expected)
})

test.each([
  ['application/octet-stream', 'passes'],
  ['Application/X-Protobuf; charset=x', 'passes'],
  ['text/plain', 'CONTENT_TYPE_NOT_ALLOWED'],
  ['multipart/form-data; boundary=application/octet-stream', 'CONTENT_TYPE_NOT_ALLOWED'],
  [undefined, 'CONTENT_TYPE_NOT_ALLOWED'],
])('content type %s: %s', (type, expected) => {
  const run = () =>
    checkContentType({ headers: type === undefined ? {} : { 'content-type': type } }, [
      'application/octet-stream',
      'application/x-protobuf',
    ])
  if (expected === 'passes') expect(run).not.toThrow()
  else expect(run).toThrow(expect.objectContaining({ code: expected }))
})
