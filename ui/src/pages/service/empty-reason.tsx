import type { LabelMatcher } from '@strobe/profile'
import { useQuery } from '@tanstack/react-query'
import { useApi } from '../../api/api-context.ts'
import type { ProfileType } from '../../api/types.ts'
import { ControlButton } from '../../components/controls.tsx'
import { formatAgo, formatTime } from '../../components/format.ts'
import { EmptyNotice } from '../../components/notices.tsx'
import { formatSelector } from '../../state/selector.ts'

/**
 * Says which it is: the type is not collected, no series matches the filter, the agent is silent, or the
 * service sent nothing in this range; each with what to do.
 */
export function EmptyReason({
  service,
  scope,
  query,
  type,
  types,
  range,
  onType,
  onClearFilter,
  onRange,
}: {
  service: string
  scope: LabelMatcher[]
  query: string
  type: string
  /** What the service has in this range, without the filter. */
  types: ProfileType[]
  range: { from: number; to: number }
  onType(id: string): void
  onClearFilter(): void
  onRange(from: string, to: string): void
}) {
  const api = useApi()
  const ever = { from: 'now-90d', to: 'now' }
  const seen = useQuery({
    queryKey: ['services', ever],
    queryFn: ({ signal }) => api.services(ever, signal),
    enabled: types.length === 0,
  })
  const agents = useQuery({
    queryKey: ['agents'],
    queryFn: ({ signal }) => api.agents(signal),
    enabled: types.length === 0,
  })
  const hosts = useQuery({
    queryKey: ['label-values', 'host_name', service, ever],
    queryFn: ({ signal }) => api.labelValues('host_name', formatSelector(scope), ever, signal),
    enabled: types.length === 0,
  })

  if (types.length > 0 && !types.some(one => one.id === type || one.sampleType === type)) {
    return (
      <EmptyNotice
        title="This profile type is not collected here"
        actions={types.map(one => (
          <ControlButton key={one.id} onPress={() => onType(one.id)}>
            Show {one.title}
          </ControlButton>
        ))}
      >
        {service} sent no <code className="font-mono text-dense">{type}</code> between{' '}
        {formatTime(range.from)} and {formatTime(range.to)}, but it did send others.
      </EmptyNotice>
    )
  }
  if (types.length > 0 && query !== '') {
    return (
      <EmptyNotice
        title="No series matches the filter"
        actions={<ControlButton onPress={onClearFilter}>Remove the filter</ControlButton>}
      >
        {service} has profiles in this range, but none with{' '}
        <code className="font-mono text-dense break-all">{query}</code>.
      </EmptyNotice>
    )
  }
  if (types.length > 0) {
    return (
      <EmptyNotice title="Profiles without samples">
        {service} reported in this range and was idle: no sample fell into it.
      </EmptyNotice>
    )
  }
  const found = seen.data?.services.find(one => one.name === service)
  const silent = agents.data?.find(
    agent => agent.state === 'silent' && (hosts.data?.includes(agent.host) ?? false),
  )
  const back = found && (
    <ControlButton onPress={() => onRange(String(found.lastSeen - 36e5), String(found.lastSeen + 1000))}>
      Show the hour before the last profile
    </ControlButton>
  )
  if (silent) {
    return (
      <EmptyNotice title={`The agent on ${silent.host} is silent`} actions={back}>
        It was last heard of {formatTime(silent.lastSeen)} ({formatAgo(silent.lastSeen, Date.now())}).{' '}
        {silent.reason} On that host, <code className="font-mono text-dense">npm run strobe -- check</code>{' '}
        says what is wrong.
      </EmptyNotice>
    )
  }
  return (
    <EmptyNotice title="No profiles in this time range" actions={back}>
      {found
        ? `The last profile of ${service} came ${formatTime(found.lastSeen)}, ${formatAgo(found.lastSeen, Date.now())}.`
        : seen.data
          ? `No profile of a service called ${service} is stored.`
          : 'Looking for the last profile…'}
    </EmptyNotice>
  )
}
