export {
  describeOptions,
  isLoopback,
  readConfig,
  type ServerConfig,
  type ServerOption,
  serverOptions,
} from './config.ts'
export { CodedError, type ErrorCode, serverErrors } from './errors.ts'
export { connectIngest, type IngestConnection } from './ingest-client.ts'
export { findPortHolder } from './port-holder.ts'
