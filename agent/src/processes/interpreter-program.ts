/** How an interpreter's command line names the program it runs. */
interface CommandLine {
  executable: RegExp
  /** Flags whose value is the next argument. */
  takesValue: RegExp
  /** Flags after which no file names the program (inline code). */
  inline: RegExp
  /** Flags whose next argument is the program. */
  program: RegExp
}

const never = /^(?!)/
const commandLines: CommandLine[] = [
  {
    executable: /^(python|pypy)[\d.]*$/,
    takesValue: /^(-[WX]|--check-hash-based-pycs)$/,
    inline: /^-[a-zA-Z]*c$/,
    program: /^-[a-zA-Z]*m$/,
  },
  {
    executable: /^(node|nodejs|bun|deno)$/,
    takesValue: /^(-r|-C|--require|--import|--loader|--experimental-loader|--env-file|--conditions|--title)$/,
    inline: /^(-e|-p|-pe|--eval|--print|--test|repl|eval)$/,
    program: never,
  },
  {
    executable: /^java$/,
    takesValue: /^(-cp|-classpath|--class-path|-p|--module-path|--add-(modules|opens|exports|reads))$/,
    inline: never,
    program: /^(-jar|-m|--module)$/,
  },
  { executable: /^ruby[\d.]*$/, takesValue: /^-[ICrEx]$/, inline: /^-\w*e$/, program: never },
  { executable: /^perl[\d.]*$/, takesValue: /^-I$/, inline: /^-\w*[eE]$/, program: never },
  { executable: /^php[\d.]*$/, takesValue: /^-[cdz]$/, inline: /^-[rBRFSa]$/, program: /^-f$/ },
  {
    executable: /^dotnet$/,
    takesValue: /^--(fx-version|roll-forward|depsfile)$/,
    inline: never,
    program: never,
  },
  { executable: /^(ba|da|z|k|fi)?sh$/, takesValue: /^(-o|-O|--rcfile)$/, inline: /^-\w*c$/, program: never },
]

// Names that say nothing alone: the folder tells whose main it is.
const generic = /^(main|index|app|server|cli|run|start|manage|wsgi|asgi|worker|__main__|entrypoint)$/
const genericFolder = /^(src|dist|build|lib|libexec|bin|out|target|cmd|scripts?|)$/

/**
 * The script, jar, module or main class that an interpreter runs; '' when the executable is no
 * interpreter or its code stands on the command line.
 *
 *   python3 -u -m celery.bin worker    celery.bin
 *   java -cp a:b -Xmx1g com.x.Main     com.x.Main
 *   java -jar /srv/shop-1.4.2.jar      shop          (a version would make each release a new service)
 *   node --import x /srv/shop/src/main.js   shop
 *   gunicorn: master [shop]            gunicorn
 */
export function interpreterProgram(executable: string, cmdline: readonly string[], cwd: string): string {
  const line = commandLines.find(candidate => candidate.executable.test(executable))
  if (!line) return ''
  const rewritten = processTitle(line, cmdline)
  return rewritten || programName(findProgram(line, cmdline)?.text ?? '', cwd)
}

export function isInterpreter(executable: string): boolean {
  return commandLines.some(line => line.executable.test(executable))
}

/** text: as it stands on the command line. isModule: named by a flag such as -m, not by a path. */
export interface InterpretedProgram {
  text: string
  isModule: boolean
}

/** What an interpreter was told to run; null when it is no interpreter or its code stands on the line. */
export function interpretedProgram(
  executable: string,
  cmdline: readonly string[],
): InterpretedProgram | null {
  const line = commandLines.find(candidate => candidate.executable.test(executable))
  return line && !processTitle(line, cmdline) ? findProgram(line, cmdline) : null
}

function findProgram(line: CommandLine, cmdline: readonly string[]): InterpretedProgram | null {
  for (let index = 1; index < cmdline.length; index++) {
    const argument = cmdline[index]!
    if (argument === '--') return { text: cmdline[index + 1] ?? '', isModule: false }
    if (line.program.test(argument))
      return { text: cmdline[index + 1] ?? '', isModule: !/^(-jar|-f)$/.test(argument) }
    if (line.inline.test(argument)) return null
    if (line.takesValue.test(argument)) index++
    // deno and bun run FILE, node inspect FILE, dotnet exec FILE
    else if (!argument.startsWith('-') && argument !== '' && !/^(run|inspect|exec)$/.test(argument))
      return { text: argument, isModule: false }
  }
  return null
}

/** Programs that rewrite their command line: `gunicorn: master [shop]`, `puma 6.4 (tcp://...)`. */
function processTitle(line: CommandLine, cmdline: readonly string[]): string {
  const [title = '', ...rest] = cmdline.filter(argument => argument !== '')
  const own = title.replace(/^-/, '')
  if (rest.length > 0 || own === '' || line.executable.test(own.slice(own.lastIndexOf('/') + 1))) return ''
  return own.split(/[\s:]/)[0]!.split('/').pop()!
}

function programName(path: string, cwd: string): string {
  // A script read from a pipe: bash <(...), python /dev/stdin.
  if (/^\/(dev|proc)\//.test(path)) return ''
  if (!/[/.]/.test(path)) return path
  const segments = (path.startsWith('/') ? path : `${cwd}/${path}`)
    .split('/')
    .filter(s => s !== '.' && s !== '')
  const file = segments.pop() ?? ''
  const extension = /\.(py|pyc|pyz|js|mjs|cjs|ts|mts|cts|rb|pl|php|sh|bash|jar|war|dll|exe|phar)$/
  // `python -m celery.bin` and `java com.x.Main` have dots and no file.
  if (!path.includes('/') && !extension.test(file)) return path
  const base = file.replace(extension, '').replace(/[-_]v?\d+(\.\d+)+([-.+][\w.-]*)?$/, '')
  if (!generic.test(base)) return base
  const folder = segments.findLast(segment => !genericFolder.test(segment))
  return folder ?? base
}
