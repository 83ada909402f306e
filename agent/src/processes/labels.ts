import type { NativeProcess } from '../bpf/native.ts'
import { parseCgroup } from './cgroup.ts'
import { interpreterProgram } from './interpreter-program.ts'
import { parseOtelResource } from './otel-resource.ts'

/** One label set: what tells a series from another. Names sorted; values never empty. */
export type SeriesLabels = readonly (readonly [name: string, value: string])[]

const maxLabelBytes = 200

/** Programs that start other programs for people or for the system: their children are not their helpers. */
const launchers = new Set([
  ...['systemd', 'init', 'tini', 'dumb-init', 's6-svscan', 'runit', 'supervisord', 'containerd-shim-runc-v2'],
  ...['containerd-shim', 'conmon', 'dockerd', 'sshd', 'sshd-session', 'login', 'su', 'sudo', 'cron', 'crond'],
  ...['tmux', 'tmux: server', 'screen', 'sh', 'dash', 'bash', 'zsh', 'fish', 'ksh', 'strobe-launch', 'make'],
])

/**
 * The service a process belongs to, by the first rule that answers: OTEL_SERVICE_NAME; service.name of
 * OTEL_RESOURCE_ATTRIBUTES; systemd service unit; script, jar or main module of an interpreter; executable;
 * thread name; container id. A kernel thread is 'kernel'.
 */
export function serviceName(process: NativeProcess, isKernelThread: boolean): string {
  if (isKernelThread) return 'kernel'
  const announced = labelValue(parseOtelResource(process.environment).serviceName)
  if (announced) return announced
  const { unit, containerId } = parseCgroup(process.cgroup)
  if (unit && !containerId) return labelValue(unit)
  const executable = executableName(process)
  const program = interpreterProgram(executable, process.cmdline, process.cwd)
  return labelValue(program || executable || containerId.slice(0, 12) || 'unknown')
}

/** Base name of the executable, of the thread's name when the executable was gone; may be ''. */
export function executableName(process: NativeProcess): string {
  const path = process.exe.replace(/ \(deleted\)$/, '')
  return path.slice(path.lastIndexOf('/') + 1) || process.comm
}

/** Whether a short-lived child may be counted as a part of this process's service. */
export function adoptsHelpers(process: NativeProcess): boolean {
  return process.pid > 1 && !isLauncher(process)
}

/** Shells, inits and others that start programs and are not them; a script that a shell runs is a program. */
export function isLauncher(process: NativeProcess): boolean {
  return launchers.has(executableName(process)) || launchers.has(process.comm)
}

/** What a process has from the service it belongs to: its own, or that of the parent it helps. */
export interface ServiceIdentity {
  name: string
  version: string
}

/** Labels of a process's series. */
export function seriesLabels(
  process: NativeProcess,
  isKernelThread: boolean,
  service: ServiceIdentity,
  hostName: string,
): SeriesLabels {
  const { containerId, podUid } = parseCgroup(process.cgroup)
  const otel = parseOtelResource(process.environment)
  const labels: [string, string][] = []
  if (containerId) labels.push(['container_id', containerId])
  labels.push(['deployment_environment', labelValue(otel.deploymentEnvironment)])
  labels.push(['host_name', labelValue(hostName)])
  labels.push(['k8s_pod_uid', podUid])
  labels.push(['process_executable_name', isKernelThread ? 'kernel' : labelValue(executableName(process))])
  labels.push(['service_name', service.name])
  labels.push(['service_namespace', labelValue(otel.serviceNamespace)])
  labels.push(['service_version', service.version])
  return labels.filter(([, value]) => value !== '')
}

/** What relabel rules may read beside the labels: names start with `__` and are never sent. */
export function relabelSources(process: NativeProcess): SeriesLabels {
  const { unit } = parseCgroup(process.cgroup)
  return [
    ['__cgroup', process.cgroup.split('\n').find(line => line !== '') ?? ''],
    ['__systemd_unit', unit],
    ['__process_command', process.cmdline.join(' ')],
    ['__process_executable_path', process.exe.replace(/ \(deleted\)$/, '')],
    ['__process_comm', process.comm],
    ['__process_cwd', process.cwd],
    ['__process_pid', String(process.pid)],
    ['__process_uid', String(process.uid)],
  ]
}

/** Printable and bounded: names come from the processes themselves, which may choose anything. */
export function labelValue(text: string): string {
  const printable = text.replace(/\p{Cc}/gu, '?').trim()
  if (Buffer.byteLength(printable) <= maxLabelBytes) return printable
  // Cut inside a character: the partial one decodes to U+FFFD, dropped here.
  return Buffer.from(printable)
    .subarray(0, maxLabelBytes)
    .toString()
    .replace(/\uFFFD+$/, '')
}
