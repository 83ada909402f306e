import type { Route } from '../route.ts'
import { adminRoutes } from './admin/index.ts'
import { agentsRoute } from './agents.ts'
import { demoDataRoute } from './demo-data.ts'
import { diffRoute } from './diff.ts'
import { flamegraphRoute } from './flamegraph.ts'
import { functionsRoute } from './functions.ts'
import { labelsRoute, labelValuesRoute } from './labels.ts'
import { profileRoute } from './profile.ts'
import { profileTypesRoute } from './profile-types.ts'
import { pushRoute } from './push.ts'
import { seriesRoute } from './series.ts'
import { servicesRoute } from './services.ts'
import { statusRoute } from './status.ts'

/** Every route of /api/v1; a new one is a file and a line here. */
export const routes: Route[] = [
  servicesRoute,
  profileTypesRoute,
  labelsRoute,
  labelValuesRoute,
  seriesRoute,
  flamegraphRoute,
  functionsRoute,
  diffRoute,
  profileRoute,
  pushRoute,
  agentsRoute,
  statusRoute,
  demoDataRoute,
  ...adminRoutes,
]
