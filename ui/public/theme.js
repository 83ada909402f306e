// Runs before the first paint, so that a dark page never flashes white. It is a file of its own because
// the content security policy allows no inline script.
;(() => {
  const asked = new URLSearchParams(location.search).get('theme')
  let stored = null
  try {
    stored = localStorage.getItem('strobe-theme')
  } catch {
    // Storage is refused in some private windows: the system's choice stands.
  }
  const choice = [asked, stored].find(value => value === 'light' || value === 'dark')
  const system = matchMedia('(prefers-color-scheme: dark)').matches ? 'dark' : 'light'
  document.documentElement.dataset.theme = choice ?? system
})()
