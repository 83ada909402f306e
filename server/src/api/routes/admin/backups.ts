import { z } from 'zod'
import { defineRoute, parameters } from '../../route.ts'

const backupAnswer = z.object({
  name: z.string(),
  folder: z.string().describe('on the machine of the server'),
  state: z.enum(['running', 'done', 'failed']),
  createdAt: z.string(),
  files: z.number(),
  bytes: z.number().describe('copied so far while it runs'),
  reason: z.string().describe('why it failed or cannot be read'),
})

export const backupsRoute = defineRoute({
  method: 'get',
  path: '/admin/backups',
  summary: 'Backups in the folder of this server, and the one that is being made.',
  access: 'operator',
  query: parameters({}),
  answer: z.object({ backups: z.array(backupAnswer) }),
  handle: async ({ context }) => ({ backups: await context.admin.backups.list() }),
})

export const createBackupRoute = defineRoute({
  method: 'post',
  path: '/admin/backups',
  summary: 'Begins a backup of everything; GET tells how far it is.',
  access: 'operator',
  query: parameters({
    name: z.string().max(200).default('').describe('name of its folder; made of the time when left out'),
  }),
  answer: backupAnswer,
  bodyTypes: ['application/json'],
  handle: async ({ context, query }) => context.admin.backups.start(query.name),
})
