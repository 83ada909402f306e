import { fromBinary, toBinary } from '@bufbuild/protobuf'
import { Client, credentials, Metadata, type ServiceError } from '@grpc/grpc-js'
import { ProfileIngest, type WriteRequest, type WriteResponse } from '@strobe/proto'

export interface IngestConnection {
  /** Rejects with what the server answered; its message holds the error code. */
  write(request: WriteRequest): Promise<WriteResponse>
  close(): void
}

/**
 * A client of strobe.v1.ProfileIngest for tools; agents have their own, which spools. address: host:port. token: the
 * key to send, '' for none.
 */
export function connectIngest(address: string, token = ''): IngestConnection {
  const metadata = new Metadata()
  if (token !== '') metadata.set('authorization', `Bearer ${token}`)
  const client = new Client(address, credentials.createInsecure(), {
    'grpc.max_receive_message_length': 4 * 2 ** 20,
  })
  const { input, output, name } = ProfileIngest.method.write
  return {
    write: request =>
      new Promise((resolve, reject) => {
        client.makeUnaryRequest(
          `/${ProfileIngest.typeName}/${name}`,
          (message: WriteRequest) => Buffer.from(toBinary(input, message)),
          (bytes: Buffer) => fromBinary(output, bytes),
          request,
          metadata,
          (error: ServiceError | null, response?: WriteResponse) => {
            if (error) reject(error)
            else resolve(response!)
          },
        )
      }),
    close: () => client.close(),
  }
}
