import type { CommandEntry } from './command.ts'

/** Every command; each is loaded only when it runs. A new one is a file and a line here. */
export const commands: CommandEntry[] = [
  {
    name: 'up',
    summary: 'run server and page here, and profile this host',
    load: () => import('./commands/up.ts'),
  },
  { name: 'server', summary: 'run the server', load: () => import('./commands/server.ts') },
  { name: 'agent', summary: 'profile this host for a server', load: () => import('./commands/agent.ts') },
  {
    name: 'check',
    summary: 'say whether this host can be profiled',
    load: () => import('./commands/check.ts'),
  },
  {
    name: 'record',
    summary: 'profile without a server, into a file',
    load: () => import('./commands/record.ts'),
  },
  { name: 'push', summary: 'send profile files to a server', load: () => import('./commands/push.ts') },
  {
    name: 'services',
    summary: 'list services and what they use',
    load: () => import('./commands/services.ts'),
  },
  {
    name: 'labels',
    summary: 'list label names, or the values of one',
    load: () => import('./commands/labels.ts'),
  },
  {
    name: 'query',
    summary: 'show or save the profiles that match',
    load: () => import('./commands/query.ts'),
  },
  {
    name: 'diff',
    summary: 'say what changed between two profiles, and whether to believe it',
    load: () => import('./commands/diff.ts'),
  },
  { name: 'top', summary: 'list the functions that weigh most', load: () => import('./commands/top.ts') },
  {
    name: 'admin',
    summary: 'tenants, limits and keys of a server',
    load: () => import('./commands/admin.ts'),
  },
]
