import { useQuery } from '@tanstack/react-query'
import { CircleCheck, CircleMinus, CircleX, Copy } from 'lucide-react'
import { useEffect, useState } from 'react'
import { useApi } from '../../api/api-context.ts'
import type { Agent } from '../../api/types.ts'
import { IconButton } from '../../components/controls.tsx'
import { formatAgo } from '../../components/format.ts'
import { ErrorNotice } from '../../components/notices.tsx'

const ways = [
  {
    title: 'Profile this host',
    text: 'Starts the server and the agent of this host; sudo may ask for your password. Every process shows up within half a minute.',
    command: 'npm start',
  },
  {
    title: 'Look around with demo data',
    text: 'Needs no root. Three services, two weeks, one planted regression; deleted with one click.',
    command: 'npm start -- --demo',
  },
  {
    title: 'Send a profile you have',
    text: 'Any pprof file. Old ones are moved to now; the original time is kept.',
    command: 'npm run strobe -- push cpu.pb.gz',
  },
]

/** What to do before the first profile is there, and what the agent of this host says about itself. */
export function FirstSteps({ checkedMs }: { checkedMs: number }) {
  const api = useApi()
  const agents = useQuery({
    queryKey: ['agents'],
    queryFn: ({ signal }) => api.agents(signal),
    refetchInterval: 5000,
  })
  return (
    <div className="mx-4 mb-6 grid max-w-6xl items-start gap-4 wide:grid-cols-[3fr_2fr]">
      <section className="rounded-lg border border-line bg-panel p-5">
        <h2 className="text-[16px] leading-6 font-semibold">Waiting for the first profile</h2>
        <Ticker checkedMs={checkedMs} />
        <ol className="mt-4 flex flex-col gap-4">
          {ways.map(way => (
            <li key={way.command}>
              <h3 className="font-medium">{way.title}</h3>
              <p className="text-muted">{way.text}</p>
              <Command text={way.command} />
            </li>
          ))}
        </ol>
      </section>
      <section className="rounded-lg border border-line bg-panel p-5">
        <h2 className="text-[16px] leading-6 font-semibold">Agents</h2>
        {agents.error && <ErrorNotice error={agents.error} onRetry={() => agents.refetch()} />}
        {agents.data?.length === 0 && (
          <p className="mt-1 text-muted">
            No agent has reported to this server.{' '}
            <code className="font-mono text-dense">npm run strobe -- check</code> says whether a host can be
            profiled, and what is missing.
          </p>
        )}
        {agents.data?.map(agent => (
          <AgentChecks key={agent.host} agent={agent} />
        ))}
      </section>
    </div>
  )
}

/** Says that somebody is looking: it changes each second, and each answer restarts it. */
function Ticker({ checkedMs }: { checkedMs: number }) {
  const [now, setNow] = useState(Date.now())
  useEffect(() => {
    const timer = setInterval(() => setNow(Date.now()), 1000)
    return () => clearInterval(timer)
  }, [])
  return (
    <p className="flex items-center gap-2 text-muted">
      <span className="size-2 animate-pulse rounded-full bg-accent" aria-hidden="true" />
      The page looks every 2 s and opens by itself. Last look:{' '}
      {formatAgo(checkedMs, Math.max(now, checkedMs))}.
    </p>
  )
}

function Command({ text }: { text: string }) {
  return (
    <div className="mt-1.5 flex items-center gap-2 rounded-control border border-line bg-page py-1 pr-1 pl-3">
      <code className="min-w-0 flex-1 overflow-x-auto font-mono text-dense whitespace-nowrap">{text}</code>
      <IconButton
        label={`Copy ${text}`}
        className="border-transparent bg-transparent"
        onPress={() => navigator.clipboard?.writeText(text)}
      >
        <Copy size={14} aria-hidden="true" />
      </IconButton>
    </div>
  )
}

const stateWords: Record<Agent['state'], { text: string; tone: string }> = {
  healthy: { text: 'healthy', tone: 'text-good' },
  degraded: { text: 'degraded', tone: 'text-warn' },
  cannot_profile: { text: 'cannot profile', tone: 'text-bad' },
  silent: { text: 'silent', tone: 'text-bad' },
}

function AgentChecks({ agent }: { agent: Agent }) {
  const state = stateWords[agent.state]
  return (
    <article className="mt-3 border-t border-line pt-3">
      <h3 className="flex flex-wrap items-baseline gap-x-2">
        <span className="font-medium">{agent.host}</span>
        <span className={`text-dense font-medium ${state.tone}`}>{state.text}</span>
        <span className="ml-auto text-dense text-muted">
          Linux {agent.kernel}, {formatAgo(agent.lastSeen, Date.now())}
        </span>
      </h3>
      {agent.reason && <p className="text-muted">{agent.reason}</p>}
      <ul className="mt-2 flex flex-col gap-2">
        {agent.checks.map(check => (
          <li key={check.name} className="flex gap-2">
            {check.ok ? (
              <CircleCheck size={16} className="mt-0.5 shrink-0 text-good" aria-label="ok" />
            ) : agent.state === 'healthy' ? (
              <CircleMinus size={16} className="mt-0.5 shrink-0 text-muted" aria-label="not there" />
            ) : (
              <CircleX size={16} className="mt-0.5 shrink-0 text-bad" aria-label="missing" />
            )}
            <div className="min-w-0">
              <p>
                <span className="font-medium">{check.name}</span>{' '}
                <span className="break-words text-muted">{check.detail}</span>
              </p>
              {!check.ok && check.fix && <p className="break-words">{check.fix}</p>}
            </div>
          </li>
        ))}
      </ul>
    </article>
  )
}
