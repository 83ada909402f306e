import type { CommandContext } from './command.ts'

export interface Progress {
  /** done of total; text says what. */
  update(done: number, total: number, text: string): void
  /** Clears the line. */
  end(): void
}

/**
 * A line on stderr once something takes over a second: redrawn on a terminal; elsewhere one line at the
 * start and one every ten seconds.
 */
export function createProgress(
  context: CommandContext,
  now: () => number = () => performance.now(),
): Progress {
  const startedAt = now()
  let shownAt = Number.NEGATIVE_INFINITY
  let isShown = false
  return {
    update(done, total, text) {
      const at = now()
      const pauseMs = context.isTerminal ? 100 : 10_000
      if (at - startedAt < 1000 || at - shownAt < pauseMs) return
      shownAt = at
      const share = total > 0 ? ` ${Math.floor((100 * done) / total)}%` : ''
      const left =
        done > 0 && total > done
          ? `, ${Math.ceil((((at - startedAt) / done) * (total - done)) / 1000)} s left`
          : ''
      const line = `${text}${share} (${done} of ${total}${left})`
      if (context.isTerminal) process.stderr.write(`\r\u001b[K${line}`)
      else context.note(line)
      isShown = true
    },
    end() {
      if (isShown && context.isTerminal) process.stderr.write('\r\u001b[K')
    },
  }
}

/** Runs work, with a line that says how long it takes already once that is over a second. */
export async function withElapsed<T>(context: CommandContext, text: string, work: Promise<T>): Promise<T> {
  const startedAt = performance.now()
  const timer = setInterval(
    () => {
      const seconds = Math.round((performance.now() - startedAt) / 1000)
      if (context.isTerminal) process.stderr.write(`\r\u001b[K${text}, ${seconds} s`)
      else context.note(`${text}, ${seconds} s`)
    },
    context.isTerminal ? 1000 : 10_000,
  )
  try {
    return await work
  } finally {
    clearInterval(timer)
    if (context.isTerminal && performance.now() - startedAt > 1000) process.stderr.write('\r\u001b[K')
  }
}
