// What set-up and the test runner print: one line a step, seconds when it took any.

const colour = process.stdout.isTTY && process.env.NO_COLOR === undefined
const paint = (code, text) => (colour ? `\x1b[${code}m${text}\x1b[0m` : text)

export const bold = text => paint('1', text)
export const dim = text => paint('2', text)
export const red = text => paint('31', text)
export const green = text => paint('32', text)

/** A step that begins. */
export function say(text) {
  console.log(`${bold('strobe')} ${text}`)
}

/** Something the reader should do or know. */
export function note(text) {
  console.log(text.replace(/^/gm, '       '))
}

export function seconds(sinceMs) {
  return `${((performance.now() - sinceMs) / 1000).toFixed(1)} s`
}
