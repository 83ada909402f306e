const name = 'strobe-key'

/** The key for a server that asks for one, '' without. It is gone when the tab is closed. */
export function readKey(): string {
  try {
    return sessionStorage.getItem(name) ?? ''
  } catch {
    return ''
  }
}

/** key: '' forgets it. Throws where storage is refused. */
export function keepKey(key: string): void {
  if (key === '') sessionStorage.removeItem(name)
  else sessionStorage.setItem(name, key)
}
