import { defineConfig } from 'vitest/config'

// unit: beside the code, no root needed. system: whole programs, real kernel, real engine, real browser.
// fresh: the README's commands on a machine that has nothing.
export default defineConfig({
  test: {
    pool: 'forks',
    projects: [
      {
        extends: true,
        test: {
          name: 'unit',
          include: ['{proto,profile,agent,server,cli,ui,scripts}/**/*.test.{ts,tsx}'],
          exclude: ['**/node_modules/**', '**/dist/**', '**/build/**'],
          testTimeout: 30_000,
        },
      },
      {
        extends: true,
        test: {
          name: 'system',
          include: ['test/**/*.test.ts'],
          exclude: ['test/fresh/**'],
          // They share two cores, the ring buffers of one kernel and the processes that they count.
          fileParallelism: false,
          testTimeout: 180_000,
          hookTimeout: 180_000,
        },
      },
      {
        extends: true,
        test: {
          name: 'fresh',
          include: ['test/fresh/**/*.test.ts'],
          fileParallelism: false,
          testTimeout: 600_000,
        },
      },
    ],
  },
})
