/** What OpenTelemetry's variables of a process say about its service; '' where they say nothing. */
export interface OtelResource {
  serviceName: string
  serviceVersion: string
  serviceNamespace: string
  deploymentEnvironment: string
}

const fields: Record<string, keyof OtelResource> = {
  'service.name': 'serviceName',
  'service.version': 'serviceVersion',
  'service.namespace': 'serviceNamespace',
  'deployment.environment': 'deploymentEnvironment',
  'deployment.environment.name': 'deploymentEnvironment',
}

/**
 * environment: `NAME=value` of OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES (`key=value,key=value`, values
 * percent-encoded); the first wins. A value that cannot be decoded is taken as it stands.
 * Source: OpenTelemetry specification, resource/sdk.md and configuration/sdk-environment-variables.md.
 */
export function parseOtelResource(environment: readonly string[]): OtelResource {
  const resource = { serviceName: '', serviceVersion: '', serviceNamespace: '', deploymentEnvironment: '' }
  for (const pair of variableOf(environment, 'OTEL_RESOURCE_ATTRIBUTES').split(',')) {
    const at = pair.indexOf('=')
    const key = pair.slice(0, Math.max(at, 0)).trim()
    const field = Object.hasOwn(fields, key) ? fields[key] : undefined
    if (field) resource[field] = decode(pair.slice(at + 1).trim())
  }
  resource.serviceName = variableOf(environment, 'OTEL_SERVICE_NAME') || resource.serviceName
  return resource
}

function variableOf(environment: readonly string[], name: string): string {
  return environment.find(variable => variable.startsWith(`${name}=`))?.slice(name.length + 1) ?? ''
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    return text
  }
}
