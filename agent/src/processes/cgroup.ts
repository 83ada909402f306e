/** What a cgroup path tells about its process. */
export interface CgroupOwner {
  /** systemd service unit without `.service`, '' when there is none that names a service. */
  unit: string
  /** 64 hexadecimal digits, or the name of an LXC container; '' outside containers. */
  containerId: string
  /** uid of the Kubernetes pod, '' outside pods. */
  podUid: string
}

// docker-ID.scope, cri-containerd-ID.scope, crio-ID.scope, libpod-ID.scope, docker/ID, kubepods/.../ID.
// The monitors beside a container (libpod-conmon-ID, crio-conmon-ID) are not in it.
const containerSegment = /^(?!.*conmon)(?:[a-z][a-z-]*[-:])?([0-9a-f]{64})(?:\.scope)?$/
// systemd's driver writes the uid with underscores; static pods have 32 digits without dashes.
const podSegment =
  /^(?:kubepods(?:-[a-z]+)?-)?pod([0-9a-f]{8}[-_]?(?:[0-9a-f]{4}[-_]?){3}[0-9a-f]{12})(?:\.slice)?$/
const lxcSegment = /^lxc\.payload\.(.+)$/

/**
 * text: /proc/PID/cgroup, lines `id:controllers:path` of v1, v2 (`0::path`) or both.
 *
 * A desktop's user@UID.service and session-N.scope hold unrelated programs: they name no service.
 */
export function parseCgroup(text: string): CgroupOwner {
  const owner: CgroupOwner = { unit: '', containerId: '', podUid: '' }
  for (const line of text.split('\n')) {
    const path = line.slice(line.indexOf(':', line.indexOf(':') + 1) + 1)
    const segments = path.split('/')
    for (const segment of segments) {
      const container = containerSegment.exec(segment)?.[1] ?? lxcSegment.exec(segment)?.[1]
      if (container && !owner.containerId) owner.containerId = container
      const pod = podSegment.exec(segment)?.[1]
      if (pod && !owner.podUid) owner.podUid = pod.replaceAll('_', '-')
    }
    if (!owner.unit && !segments.some(segment => /^user@\d+\.service$/.test(segment))) {
      const unit = segments.findLast(segment => segment.endsWith('.service'))
      if (unit) owner.unit = unescapeUnit(unit.slice(0, -'.service'.length))
    }
  }
  return owner
}

// systemd escapes bytes of unit names as \x2d.
function unescapeUnit(name: string): string {
  return name.replace(/\\x([0-9a-f]{2})/g, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)))
}
