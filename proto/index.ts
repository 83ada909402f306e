export * from './gen/strobe/v1/ingest_pb.ts'
