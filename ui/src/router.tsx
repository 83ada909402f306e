import {
  createRootRoute,
  createRoute,
  createRouter,
  lazyRouteComponent,
  redirect,
} from '@tanstack/react-router'
import { Shell } from './components/shell.tsx'
import { ServicesPage } from './pages/services/services-page.tsx'
import {
  formatSearch,
  parseSearch,
  readDiffSearch,
  readServiceSearch,
  readServicesSearch,
} from './state/search-params.ts'

const root = createRootRoute({ component: Shell, notFoundComponent: NotFound })

const start = createRoute({
  getParentRoute: () => root,
  path: '/',
  beforeLoad: () => {
    throw redirect({ to: '/services', replace: true })
  },
})

const services = createRoute({
  getParentRoute: () => root,
  path: '/services',
  validateSearch: readServicesSearch,
  component: ServicesPage,
})

const service = createRoute({
  getParentRoute: () => root,
  path: '/s/$service',
  validateSearch: readServiceSearch,
  component: lazyRouteComponent(() => import('./pages/service/service-page.tsx'), 'ServicePage'),
})

const diff = createRoute({
  getParentRoute: () => root,
  path: '/s/$service/diff',
  validateSearch: readDiffSearch,
  component: lazyRouteComponent(() => import('./pages/diff/diff-page.tsx'), 'DiffPage'),
})

/** basePath: the page's prefix, such as '/' or '/strobe/'. */
export function createPageRouter(basePath: string) {
  return createRouter({
    routeTree: root.addChildren([start, services, service, diff]),
    basepath: basePath,
    parseSearch,
    stringifySearch: formatSearch,
    defaultPreload: 'intent',
    scrollRestoration: false,
  })
}

declare module '@tanstack/react-router' {
  interface Register {
    router: ReturnType<typeof createPageRouter>
  }
}

function NotFound() {
  return (
    <section className="p-8">
      <h1 className="text-title font-semibold">There is no such page.</h1>
      <p className="text-muted">Services are under Services, at the top.</p>
    </section>
  )
}
