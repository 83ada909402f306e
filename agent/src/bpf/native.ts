/**
 * What the native addon gives. The addon copies bytes and owns file descriptors; decisions live here
 * and above. Only this folder may load it.
 */

/** Left by the launcher in STROBE_HANDLES (JSON): descriptors that survived the drop of privileges. */
export interface LaunchHandles {
  version: 1
  /** Map name in bpf/profiler to descriptor: segments pages rules files mappings processes samples raw_stacks counters. */
  maps: Record<string, number>
  /** Disabled cpu-clock events with the program attached, one per online CPU. */
  sampleEvents: { cpu: number; fd: number }[]
  /** Dummy events that carry mmap2, comm, fork and exit records, one per online CPU. */
  sideBandEvents: { cpu: number; fd: number }[]
  /** /proc/kallsyms, opened with the right to see addresses; -1 when they are hidden. */
  kallsymsFd: number
  periodNs: number
  programs: ProgramState[]
}

export interface ProgramState {
  name: string
  loaded: boolean
  /** The verifier's or the kernel's reason; empty when loaded. */
  reason: string
}

export interface SessionOptions {
  handles: LaunchHandles
  /** Bytes that symbol indexes may hold in memory. */
  symbolCacheBytes: number
  /** Bytes that the process which reads DWARF may hold in memory; 0 reads none. */
  dwarfBytes: number
  /** Of debug files by build id, BUILDID/debuginfo; '' for none. */
  debugFolder: string
}

/** A process as the addon saw it: read at its first sample, kept after its death. */
export interface NativeProcess {
  pid: number
  parentPid: number
  /** Nanoseconds since boot. */
  startBoottime: bigint
  /** Innermost id in its own PID namespace. */
  nsPid: number
  comm: string
  /** Target of /proc/PID/exe, '' when it was gone. */
  exe: string
  /** At most 64 arguments of 4 KiB in all; empty when it was gone. */
  cmdline: string[]
  /** Text of /proc/PID/cgroup, '' when it was gone. */
  cgroup: string
  cwd: string
  /** Effective, 0 when it was gone. */
  uid: number
  /** `NAME=value` of OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES where set; no other variable is read. */
  environment: string[]
}

/** What was sampled since the last collect. Indices point into the arrays of the same object. */
export interface NativeWindow {
  /** CLOCK_MONOTONIC, ns. */
  startNs: bigint
  endNs: bigint
  processes: NativeProcess[]
  threadNames: string[]
  /** Distinct stacks as frame words (types.h), leaf first, kernel frames before user frames. */
  stackWords: BigUint64Array
  /** stacks + 1 offsets into stackWords. */
  stackOffset: Uint32Array
  sampleProcess: Uint32Array
  sampleThread: Uint32Array
  sampleStack: Uint32Array
  sampleCount: Uint32Array
  /** enum unwind_result. */
  sampleResult: Uint8Array
  /** Counters of this window by name, BPF's and user space's, drops with their reason. */
  counters: Record<string, number>
}

/**
 * Names of frames. file, address and isFinal are parallel to the frames asked for; the lines of frame i are
 * lineOffset[i] to lineOffset[i + 1] of the other columns, innermost first. A frame without a name has none.
 */
export interface NativeSymbols {
  strings: string[]
  lineOffset: Uint32Array
  /** Indices into strings; 0 is the empty string. Demangled. */
  name: Uint32Array
  /** As in the symbol table. */
  systemName: Uint32Array
  /** Source file of the function, 0 when unknown. */
  sourceFile: Uint32Array
  /** 0 when unknown. */
  line: Uint32Array
  /** Of the function, 0 when unknown. */
  startLine: Uint32Array
  /** File id for native frames, 0 for others. */
  file: Uint32Array
  /**
   * Virtual address in the ELF file, kernel address, or pc. Of a frame without a name: where its function starts,
   * if unwind tables tell.
   */
  address: BigUint64Array
  /** 0: a better answer may come when it is asked again. */
  isFinal: Uint8Array
}

export interface NativeFile {
  id: number
  /** As the process sees it; [vdso], or [kernel] for file 0. */
  path: string
  /** Lower-case hex, '' without a note. */
  buildId: string
  lowestVaddr: bigint
  /** ready, pending, frame_pointers or failed. */
  state: string
  reason: string
}

export interface NativeSession {
  /** Scans /proc, starts the threads, enables the events. Throws SESSION_STARTED when called twice. */
  start(): void
  /** Closes the window and gives it; runs off the JavaScript thread. */
  collect(): Promise<NativeWindow>
  /** frames: pairs of a header word and its first payload word (0 when the kind has none). */
  symbolize(frames: BigUint64Array): Promise<NativeSymbols>
  files(): NativeFile[]
  /** Build ids of files that were asked about and have no DWARF; each is told once. */
  takeWantedDebugFiles(): string[]
  /** A debug file came into debugFolder. Returns the ids of files whose frames have better names now. */
  debugFileArrived(buildId: string): number[]
  /** Totals since start, with memory of maps and caches in bytes. */
  counters(): Record<string, number>
  /** Disables events, drains, ends the threads. collect still works once more. */
  stop(): Promise<void>
}

/** reason: '' when it was read; PROCESS_GONE, FILE_MISSING, FILE_DENIED, FILE_NOT_REGULAR or FILE_HUNG. */
export interface NativeProcessFile {
  reason: string
  bytes: Uint8Array
}

/**
 * Files as another process sees them: paths are resolved inside its root, only regular files that the
 * process itself may read are opened, and a read that hangs is given up after two seconds (FILE_HUNG).
 * Ask one thing at a time: each waits on one of Node's few worker threads.
 */
export interface NativeProcessFiles {
  /** The first maxBytes, at most 16 MiB. */
  read(pid: number, startBoottime: bigint, path: string, maxBytes: number): Promise<NativeProcessFile>
  /** Names in a folder, a line each, at most 4,096. */
  list(pid: number, startBoottime: bigint, path: string): Promise<NativeProcessFile>
  /**
   * Of the main executable. owner: whether a package of the distribution brought the file at path;
   * unknown where the process's root has no dpkg database, or the path is ''.
   */
  executable(
    pid: number,
    startBoottime: bigint,
    path: string,
  ): Promise<{ reason: string; buildId: string; owner: 'package' | 'none' | 'unknown' }>
}

/** Names of JIT functions, from /tmp/perf-PID.map of each process, as it sees it. */
export interface NativePerfMaps {
  /** One name for each pc, '' without; from 64 MiB of text at most, and kept when the process has ended. */
  name(pid: number, startBoottime: bigint, nsPid: number, pcs: BigUint64Array): Promise<string[]>
}

export interface NativeAddon {
  /** maxBytes: of all maps together. */
  openPerfMaps(maxBytes: number): NativePerfMaps
  openProcessFiles(): NativeProcessFiles
  /** Throws an Error with a code (HANDLES_INVALID, MAP_FAILED, ...). */
  openSession(options: SessionOptions): NativeSession
  /** C++ (Itanium) and Rust (legacy, v0) names; others come back as they are. */
  demangle(name: string): string
  /** enum unwind_result as text, in order: complete, complete, kernel_thread, truncated, ... */
  resultNames: string[]
}
