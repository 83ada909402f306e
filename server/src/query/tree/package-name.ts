/**
 * The package that a function belongs to, '' when its name and file do not tell. By what the names of a
 * language look like:
 *
 *   golang.org/x/sync/errgroup.(*Group).Go.func1   golang.org/x/sync/errgroup   up to the first . after the last /
 *   java.util.HashMap.getNode in HashMap.java      java.util                    what comes before the class
 *   std::vector<int>::push_back                    std                          the outermost namespace or crate
 *   anything in .../node_modules/@scope/name/...   @scope/name                  the folder of npm
 *   anything in .../site-packages/numpy/...        numpy                        the folder of pip
 */
export function packageOf(name: string, file: string): string {
  const npm = folderBelow(file, 'node_modules/')
  if (npm !== '') return npm
  const pip = folderBelow(file, 'site-packages/') || folderBelow(file, 'dist-packages/')
  if (pip !== '') return pip.replace(/\.py$/, '')
  if (/\.(?:java|kt|scala|groovy|clj)$/.test(file)) {
    const parts = name.slice(0, endOfWords(name)).split('.')
    const className = parts.findIndex(part => /^[A-Z]/.test(part))
    return (className > 0 ? parts.slice(0, className) : parts.slice(0, -2)).join('.')
  }
  const slash = name.lastIndexOf('/', endOfWords(name))
  const rest = /^(\w+)(?:\.|::)/.exec(name.slice(slash + 1))
  return rest ? name.slice(0, slash + 1) + rest[1]! : ''
}

/** The first part of the path below the innermost folder of that name, two parts when it is a scope. */
function folderBelow(file: string, folder: string): string {
  const at = file.lastIndexOf(folder)
  if (at < 0 || (at > 0 && file[at - 1] !== '/')) return ''
  const [first = '', second = ''] = file.slice(at + folder.length, at + folder.length + 300).split('/')
  return first.startsWith('@') ? `${first}/${second}` : first
}

/** Where type arguments or parameters begin: a / in them parts no package. */
function endOfWords(name: string): number {
  const end = name.search(/[[(<]/)
  return end <= 0 ? name.length : end
}
