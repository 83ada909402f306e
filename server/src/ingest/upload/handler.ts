import { createHash, randomBytes } from 'node:crypto'
import type { IncomingMessage } from 'node:http'
import { CodedError } from '../../errors.ts'
import type { DecodedRequest, UploadOptions, UploadSummary } from '../batch.ts'
import type { Ingest } from '../pipeline.ts'
import { nameTenant } from '../tenant-ingest.ts'

export interface UploadAnswer {
  profiles: UploadSummary['profiles']
  /** Hex. */
  batchId: string
  retimed: boolean
  /** RFC 3339; only when retimed. */
  originalTime?: string
}

/**
 * POST /api/v1/profiles: one pprof message, gzip or not. A sender that may retry gives an idempotencyKey, the
 * same each time; '' for none.
 * Throws CodedError; nothing is stored then.
 */
export async function receiveUpload(
  ingest: Ingest,
  request: IncomingMessage,
  search: URLSearchParams,
  context: { tenant: string; receivedAtMs: number; idempotencyKey: string },
): Promise<UploadAnswer> {
  let leave = () => {}
  try {
    const settings = ingest.settingsOf(context.tenant)
    const { limits } = settings
    const declared = readDeclaredBytes(request, limits.maxBodyBytes)
    leave = ingest.enter(context.tenant, declared)
    const release = ingest.reserve(declared)
    const batchId = context.idempotencyKey
      ? createHash('sha256').update(`${context.tenant}\0${context.idempotencyKey}`).digest().subarray(0, 16)
      : randomBytes(16)
    let decoded: DecodedRequest
    try {
      const body = await readBody(request, limits.maxBodyBytes)
      decoded = await ingest.decode({
        protocol: 'upload',
        tenant: context.tenant,
        receivedAtMs: context.receivedAtMs,
        batchId,
        body,
        options: readOptions(search),
      })
    } finally {
      release()
    }
    await ingest.submit(decoded.batch, 'upload')
    const { profiles, originalTimeMs } = decoded.upload!
    return {
      profiles,
      batchId: batchId.toString('hex'),
      retimed: originalTimeMs !== 0,
      ...(originalTimeMs !== 0 ? { originalTime: new Date(originalTimeMs).toISOString() } : {}),
    }
  } catch (error) {
    ingest.countRefusal('upload', context.tenant, error)
    throw nameTenant(error, context.tenant)
  } finally {
    leave()
  }
}

function readOptions(search: URLSearchParams): UploadOptions {
  const labels = [...search]
    .filter(([name]) => name.startsWith('label.'))
    .map(([name, value]) => ({ name: name.slice('label.'.length), value }))
  return {
    service: search.get('service') ?? '',
    profileName: search.get('name') ?? '',
    source: search.get('source') ?? '',
    isTimeKept: ['1', 'true'].includes(search.get('keepTime') ?? ''),
    labels,
  }
}

function bodyTooLarge(observed: number, limitBytes: number): CodedError {
  return new CodedError(
    'BODY_TOO_LARGE',
    `the body has ${observed} bytes or more, the limit is ${limitBytes} (STROBE_MAX_UPLOAD_BYTES); send shorter profiles or raise it`,
    { limitName: 'max-upload-bytes', limit: limitBytes, observed },
  )
}

/** A body of unknown length counts as the largest one. */
function readDeclaredBytes(request: IncomingMessage, limitBytes: number): number {
  const header = request.headers['content-length']
  if (header === undefined) return limitBytes
  if (Number(header) > limitBytes) throw bodyTooLarge(Number(header), limitBytes)
  return Number(header)
}

async function readBody(request: IncomingMessage, limitBytes: number): Promise<Uint8Array> {
  const chunks: Buffer[] = []
  let length = 0
  for await (const chunk of request) {
    length += (chunk as Buffer).length
    if (length > limitBytes) throw bodyTooLarge(length, limitBytes)
    chunks.push(chunk as Buffer)
  }
  return Buffer.concat(chunks)
}
