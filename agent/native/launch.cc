/* SPDX-License-Identifier: Apache-2.0 */
/*
 * strobe-launch: does what needs privileges, then becomes the agent without them.
 *
 *   load programs -> open events on every CPU -> copy kallsyms -> drop -> exec COMMAND
 *
 * The agent finds the descriptors in STROBE_HANDLES (LaunchHandles in agent/src/bpf/native.ts).
 * capset changes one thread only, so the drop must come before Node starts its threads: hence a
 * program of its own. Exit codes: 1 refused or failed, 2 usage, 126 and 127 as a shell's exec.
 */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/perf_event.h>
#include <pwd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "capabilities.h"
#include "privileges.h"
#include "profiler/types.h"

/* After types.h: the skeleton names its structs. */
#include "profiler.skel.h"

namespace strobe {
namespace {

constexpr uint64_t kNsPerSecond = 1000000000;
constexpr uint64_t kDefaultPeriodNs = kNsPerSecond / 19;
constexpr uint64_t kMinPeriodNs = 100000;
constexpr uint64_t kMaxPeriodNs = 10 * kNsPerSecond;
constexpr uint64_t kMinRingBytes = 1u << 20;
constexpr uint64_t kMaxRingBytes = 16u << 20;
constexpr uint64_t kRawRingBytes = 4u << 20;
constexpr uint64_t kBytesPerSample = 1024;
constexpr size_t kMaxLogBytes = 4096;
constexpr uid_t kNobody = 65534;
/* Above SCHED_OTHER is all the tracker needs; other real-time threads come first. */
constexpr rlim_t kRealtimePriority = 10;

/* The maps of the contract; others (scratch) are the programs' own. */
const char* const kSharedMaps[] = {"segments",  "pages",   "rules",      "files",   "mappings",
                                   "processes", "samples", "raw_stacks", "counters"};

struct Options {
  uint64_t period_ns = kDefaultPeriodNs;
  uint64_t samples_ring_bytes = 0; /* 0: from CPUs and period */
  bool kernel_stacks = true;
  bool check = false;
  bool die_with_parent = false;
  bool uid_given = false;
  uid_t uid = kNobody;
  std::string btf;
  char** command = nullptr;
};

const char* const kUsage =
    "usage: strobe-launch [OPTIONS] -- COMMAND [ARGUMENTS]\n"
    "       strobe-launch --check [--btf FILE]\n"
    "  --period-ns N         CPU time between two samples (default 52631578: 19 a second)\n"
    "  --uid UID             runs COMMAND as this user (default: who called sudo, else 65534)\n"
    "  --no-kernel-stacks    user frames only\n"
    "  --samples-ring BYTES  a power of two from 1 to 16 MiB (default: half a second of all CPUs)\n"
    "  --btf FILE            kernel type information for a kernel built without\n"
    "  --die-with-parent     COMMAND gets SIGTERM when the caller ends\n"
    "  --check               prints as JSON whether this host can be profiled; exit code 0 if it can\n";

/* One descriptor, closed at the end unless it was given away. */
class Descriptor {
 public:
  explicit Descriptor(int fd = -1) : fd_(fd) {}
  Descriptor(Descriptor&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Descriptor& operator=(Descriptor&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  ~Descriptor() {
    if (fd_ >= 0) close(fd_);
  }
  int get() const { return fd_; }

 private:
  int fd_;
};

struct CpuEvent {
  int cpu;
  Descriptor fd;
};

struct ProgramState {
  std::string name;
  bool loaded;
  std::string reason;
  uint32_t verified; /* instructions that the verifier went through; 0 where the kernel does not say */
};

struct SkeletonDeleter {
  void operator()(profiler_bpf* skeleton) const { profiler_bpf::destroy(skeleton); }
};

struct Profiler {
  std::unique_ptr<profiler_bpf, SkeletonDeleter> skeleton;
  std::vector<ProgramState> programs;
  std::string reason; /* of the failure; '' when loaded */
};

/* libbpf's print callback has no argument for us. */
std::string& libbpf_log() {
  static std::string log;
  return log;
}

int keep_log(libbpf_print_level level, const char* format, va_list arguments) {
  if (level == LIBBPF_DEBUG) return 0;
  char* text = nullptr;
  const int length = vasprintf(&text, format, arguments);
  if (length < 0) return 0;
  libbpf_log() += text;
  free(text);
  return 0;
}

/* The verifier says why at the end of its log. */
std::string log_tail() {
  const std::string& log = libbpf_log();
  if (log.size() <= kMaxLogBytes) return log;
  const size_t line = log.find('\n', log.size() - kMaxLogBytes);
  return "..." + log.substr(line == std::string::npos ? log.size() - kMaxLogBytes : line);
}

uint64_t ring_bytes(const Options& options, size_t cpus) {
  if (options.samples_ring_bytes != 0) return options.samples_ring_bytes;
  const uint64_t samples = cpus * kNsPerSecond / options.period_ns / 2 + 1;
  uint64_t bytes = kMinRingBytes;
  while (bytes < samples * kBytesPerSample && bytes < kMaxRingBytes) bytes *= 2;
  return bytes;
}

Profiler load_profiler(const Options& options, size_t cpus) {
  Profiler profiler;
  libbpf_log().clear();
  libbpf_set_print(keep_log);
  bpf_object_open_opts open_options = {};
  open_options.sz = sizeof(open_options);
  if (!options.btf.empty()) open_options.btf_custom_path = options.btf.c_str();
  profiler.skeleton.reset(profiler_bpf::open(&open_options));
  auto failed = [&](const char* step, int error) {
    profiler.reason =
        std::string(step) + ": " + strerror(error) + (log_tail().empty() ? "" : "\n") + log_tail();
    if (profiler.skeleton != nullptr) {
      bpf_program* program;
      bpf_object__for_each_program(program, profiler.skeleton->obj) {
        profiler.programs.push_back({bpf_program__name(program), false, profiler.reason, 0});
      }
    }
    return std::move(profiler);
  };
  if (profiler.skeleton == nullptr) return failed("open", errno);
  bpf_object* object = profiler.skeleton->obj;
  auto resize = [&](const char* name, uint64_t entries) {
    bpf_map* map = bpf_object__find_map_by_name(object, name);
    return map != nullptr && bpf_map__set_max_entries(map, static_cast<uint32_t>(entries)) == 0;
  };
  if (!resize("samples", ring_bytes(options, cpus)) || !resize("raw_stacks", kRawRingBytes)) {
    return failed("ring sizes", errno);
  }
  profiler.skeleton->rodata->settings.kernel_stacks = options.kernel_stacks ? 1 : 0;
  const int error = profiler_bpf::load(profiler.skeleton.get());
  if (error != 0) return failed("load", -error);
  bpf_program* program;
  bpf_object__for_each_program(program, object) {
    bpf_prog_info info = {};
    uint32_t bytes = sizeof(info);
    const bool is_told = bpf_obj_get_info_by_fd(bpf_program__fd(program), &info, &bytes) == 0;
    profiler.programs.push_back({bpf_program__name(program), true, "", is_told ? info.verified_insns : 0});
  }
  return profiler;
}

int perf_event_open(perf_event_attr* attr, int cpu) {
  return static_cast<int>(syscall(SYS_perf_event_open, attr, -1, cpu, -1, PERF_FLAG_FD_CLOEXEC));
}

int open_sample_event(uint64_t period_ns, int cpu) {
  perf_event_attr attr = {};
  attr.size = sizeof(attr);
  attr.type = PERF_TYPE_SOFTWARE;
  attr.config = PERF_COUNT_SW_CPU_CLOCK;
  attr.sample_period = period_ns;
  attr.exclude_idle = 1;
  attr.disabled = 1;
  return perf_event_open(&attr, cpu);
}

/* Records end with the sample_id of PERF_SAMPLE_TIME alone: 8 bytes, CLOCK_MONOTONIC in ns. */
int open_side_band_event(int cpu) {
  perf_event_attr attr = {};
  attr.size = sizeof(attr);
  attr.type = PERF_TYPE_SOFTWARE;
  attr.config = PERF_COUNT_SW_DUMMY;
  attr.sample_type = PERF_SAMPLE_TIME;
  attr.sample_id_all = 1;
  attr.mmap = 1;
  attr.mmap2 = 1;
  attr.comm = 1;
  attr.comm_exec = 1;
  attr.task = 1;
  attr.build_id = 1;
  attr.use_clockid = 1;
  attr.clockid = CLOCK_MONOTONIC;
  attr.disabled = 1;
  attr.watermark = 1;
  attr.wakeup_watermark = 1; /* the first record wakes; a reader under load polls by timer instead */
  int fd = perf_event_open(&attr, cpu);
  if (fd < 0 && (errno == EINVAL || errno == E2BIG)) {
    attr.build_id = 0; /* before 5.12: records carry device and inode only */
    fd = perf_event_open(&attr, cpu);
  }
  return fd;
}

/* -1 in fd when a CPU went away between the list and the open: it is left out. */
bool open_events(const Options& options, const Profiler& profiler, std::vector<CpuEvent>* samples,
                 std::vector<CpuEvent>* side_band, std::string* reason) {
  const std::vector<int> quiet = nohz_full_cpus();
  const int program = bpf_program__fd(profiler.skeleton->progs.sample_cpu);
  for (const int cpu : online_cpus()) {
    Descriptor record(open_side_band_event(cpu));
    if (record.get() < 0 && errno == ENODEV) continue;
    if (record.get() < 0) {
      *reason = "EVENT_FAILED: side-band event on CPU " + std::to_string(cpu) + ": " + strerror(errno);
      return false;
    }
    side_band->push_back({cpu, std::move(record)});
    /* A timer would end what nohz_full is there for. */
    if (std::find(quiet.begin(), quiet.end(), cpu) != quiet.end()) continue;
    Descriptor event(open_sample_event(options.period_ns, cpu));
    if (event.get() < 0 && errno == ENODEV) continue;
    if (event.get() < 0 || ioctl(event.get(), PERF_EVENT_IOC_SET_BPF, program) != 0) {
      *reason = "EVENT_FAILED: cpu-clock event on CPU " + std::to_string(cpu) + ": " + strerror(errno);
      return false;
    }
    samples->push_back({cpu, std::move(event)});
  }
  if (samples->empty()) {
    *reason = "EVENT_FAILED: no CPU is left to sample (" + std::to_string(quiet.size()) + " are nohz_full)";
    return false;
  }
  return true;
}

/* The file itself: it shows addresses to whom opened it, also when CAP_SYSLOG is gone and to programs and
 * modules that come later (kallsyms.h, KernelNamer). -1: only zeros, or not readable. */
Descriptor open_kallsyms() {
  Descriptor file(open("/proc/kallsyms", O_RDONLY | O_CLOEXEC));
  if (file.get() < 0) return Descriptor();
  std::vector<char> buffer(64u << 10);
  const ssize_t got = pread(file.get(), buffer.data(), buffer.size(), 0);
  if (got <= 0) return Descriptor();
  /* All zeros when addresses are hidden; per-CPU variables, which come first, may be 0 too. */
  const std::string_view text(buffer.data(), static_cast<size_t>(got));
  for (size_t line = 0; line < text.size();) {
    if (text.find_first_not_of('0', line) != text.find(' ', line)) return file;
    const size_t end = text.find('\n', line);
    line = end == std::string_view::npos ? text.size() : end + 1;
  }
  return Descriptor();
}

/* Who runs the agent: --uid, else the user behind sudo, else the unprivileged caller, else nobody. */
bool choose_user(const Options& options, DropPlan* plan, std::string* reason) {
  uid_t uid = kNobody;
  if (options.uid_given) {
    uid = options.uid;
  } else if (getuid() != 0) {
    uid = getuid();
  } else if (const char* sudo = getenv("SUDO_UID")) {
    unsigned parsed = 0;
    const auto end = sudo + strlen(sudo);
    if (std::from_chars(sudo, end, parsed).ptr == end && parsed != 0) uid = parsed;
  }
  if (uid == 0) {
    *reason =
        "UID_PRIVILEGED: uid 0 owns the files of root with or without capabilities; give --uid of a plain "
        "user";
    return false;
  }
  plan->uid = uid;
  plan->gid = kNobody;
  passwd entry = {};
  passwd* found = nullptr;
  std::vector<char> buffer(16384);
  if (getpwuid_r(uid, &entry, buffer.data(), buffer.size(), &found) == 0 && found != nullptr) {
    plan->gid = entry.pw_gid;
  }
  if (getuid() == uid) plan->gid = getgid();
  return true;
}

/* Tries, as the agent will be, to write a map through a descriptor it holds. Kernels before 5.19
 * refuse that without CAP_BPF when unprivileged BPF is off. Said by the kernel, not by its version. */
bool map_update_needs_bpf(const Profiler& profiler, const DropPlan& plan) {
  const int map = bpf_map__fd(profiler.skeleton->maps.processes);
  const pid_t child = fork();
  if (child < 0) return true;
  if (child == 0) {
    std::string reason;
    if (!drop_privileges(plan, &reason)) _exit(1);
    const uint32_t key = UINT32_MAX; /* no pid */
    const process_entry value = {};
    if (bpf_map_update_elem(map, &key, &value, BPF_ANY) != 0) _exit(1);
    bpf_map_delete_elem(map, &key);
    _exit(0);
  }
  int status = 0;
  while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  return !(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

/* What the running agent needs, and why nothing less does. */
std::vector<int> capabilities_to_keep(bool* may_be_realtime) {
  std::vector<int> keep;
  for (const int capability : {
           CAP_SYS_PTRACE,      /* /proc/PID/{maps,exe,root,cwd,environ} and memory of any user's process */
           CAP_DAC_READ_SEARCH, /* binaries and directories closed to others: container roots, /root */
           CAP_CHECKPOINT_RESTORE, /* /proc/PID/map_files: binaries that were deleted or replaced */
       }) {
    if (has_capability(capability)) keep.push_back(capability);
  }
  /* The tracker's real-time thread: a limit does if it may be raised; CAP_SYS_NICE could also change
   * priorities of others. */
  const rlimit limit = {kRealtimePriority, kRealtimePriority};
  *may_be_realtime = setrlimit(RLIMIT_RTPRIO, &limit) == 0;
  if (!*may_be_realtime && has_capability(CAP_SYS_NICE)) keep.push_back(CAP_SYS_NICE);
  return keep;
}

std::string format_events(const std::vector<CpuEvent>& events) {
  std::string out = "[";
  for (const CpuEvent& event : events) {
    if (out.size() > 1) out += ",";
    out += "{\"cpu\":" + std::to_string(event.cpu) + ",\"fd\":" + std::to_string(event.fd.get()) + "}";
  }
  return out + "]";
}

std::string format_programs(const std::vector<ProgramState>& programs) {
  std::string out = "[";
  for (const ProgramState& program : programs) {
    if (out.size() > 1) out += ",";
    out += "{\"name\":" + json_string(program.name) + ",\"loaded\":" + (program.loaded ? "true" : "false") +
           ",\"reason\":" + json_string(program.reason) + "}";
  }
  return out + "]";
}

bool survive_exec(int fd) { return fcntl(fd, F_SETFD, 0) == 0; }

int run_check(const Options& options) {
  std::vector<CheckItem> items = probe_host();
  Profiler profiler;
  const bool may_load =
      (has_capability(CAP_BPF) && has_capability(CAP_PERFMON)) || has_capability(CAP_SYS_ADMIN);
  if (may_load) {
    profiler = load_profiler(options, online_cpus().size());
  } else {
    profiler.reason = "not tried: it takes CAP_BPF and CAP_PERFMON";
  }
  const bool loaded = profiler.reason.empty();
  if (profiler.programs.empty()) {
    items.push_back(
        {"programs", false, true, profiler.reason, may_load ? "see the reason" : "run as root (sudo)"});
  }
  for (const ProgramState& program : profiler.programs) {
    items.push_back({"program_" + program.name, program.loaded, true,
                     program.loaded
                         ? "the verifier accepts it: " + std::to_string(program.verified) + " instructions"
                         : program.reason,
                     program.loaded ? "" : "see the reason; --btf FILE where the kernel has no BTF"});
  }
  Descriptor event(open_sample_event(options.period_ns, 0));
  int error = event.get() < 0 ? errno : 0;
  if (loaded && event.get() >= 0 &&
      ioctl(event.get(), PERF_EVENT_IOC_SET_BPF, bpf_program__fd(profiler.skeleton->progs.sample_cpu)) != 0) {
    error = errno;
  }
  const Descriptor side_band(open_side_band_event(0));
  const int side_band_error = side_band.get() < 0 ? errno : 0;
  const char* const fix = "CAP_PERFMON is needed; in a container seccomp must allow perf_event_open";
  items.push_back({"sample_event", error == 0, true,
                   error == 0 ? "cpu-clock opens on CPU 0" : strerror(error), error == 0 ? "" : fix});
  items.push_back({"side_band_event", side_band_error == 0, true,
                   side_band_error == 0 ? "mappings and processes are reported" : strerror(side_band_error),
                   side_band_error == 0 ? "" : fix});
  bool possible = true;
  for (const CheckItem& item : items) possible = possible && (item.ok || !item.required);
  printf("{\"version\":1,\"ok\":%s,\"items\":%s}\n", possible ? "true" : "false",
         format_check_items(items).c_str());
  return possible ? 0 : 1;
}

int fail(const std::string& message) {
  fprintf(stderr, "%s\n", message.c_str());
  return 1;
}

/* Programs of COMMAND's directory may be closed to the new user: said before Node says it worse. */
int explain_exec(const char* command, int error, uid_t uid) {
  fprintf(stderr, "COMMAND_FAILED: %s: %s (as uid %u", command, strerror(error), static_cast<unsigned>(uid));
  if (error == EACCES) {
    fprintf(stderr, ", which needs execute permission on it; the file system must not be mounted noexec");
  }
  fprintf(stderr, ")\n");
  return error == ENOENT ? 127 : 126;
}

int run_launch(const Options& options) {
  const pid_t parent = getppid();
  for (const auto& [capability, instead] :
       {std::pair(CAP_BPF, CAP_SYS_ADMIN), {CAP_PERFMON, CAP_SYS_ADMIN}, {CAP_SYS_PTRACE, CAP_SYS_PTRACE}}) {
    if (!has_capability(capability) && !has_capability(instead)) {
      return fail("CAPABILITY_MISSING: " + capability_name(capability) +
                  " is not held; run as root (sudo), see strobe check");
    }
  }
  DropPlan plan;
  std::string reason;
  if (!choose_user(options, &plan, &reason)) return fail(reason);

  const Profiler profiler = load_profiler(options, online_cpus().size());
  if (!profiler.reason.empty()) return fail("PROGRAM_REFUSED: " + profiler.reason);
  std::vector<CpuEvent> samples;
  std::vector<CpuEvent> side_band;
  if (!open_events(options, profiler, &samples, &side_band, &reason)) return fail(reason);
  const Descriptor kallsyms = open_kallsyms();

  std::string maps;
  for (const char* name : kSharedMaps) {
    const int fd = bpf_object__find_map_fd_by_name(profiler.skeleton->obj, name);
    if (fd < 0 || !survive_exec(fd))
      return fail("MAP_MISSING: the programs have no map " + std::string(name));
    maps += (maps.empty() ? "" : ",") + json_string(name) + ":" + std::to_string(fd);
  }
  for (const auto* events : {&samples, &side_band}) {
    for (const CpuEvent& event : *events) survive_exec(event.fd.get());
  }
  if (kallsyms.get() >= 0) survive_exec(kallsyms.get());
  const std::string handles = "{\"version\":1,\"maps\":{" + maps +
                              "},\"sampleEvents\":" + format_events(samples) +
                              ",\"sideBandEvents\":" + format_events(side_band) +
                              ",\"kallsymsFd\":" + std::to_string(kallsyms.get()) +
                              ",\"periodNs\":" + std::to_string(options.period_ns) +
                              ",\"programs\":" + format_programs(profiler.programs) + "}";
  if (setenv("STROBE_HANDLES", handles.c_str(), 1) != 0) return fail("HANDLES_FAILED: no memory");

  /* Many containers mean many files: as many as the limit allows. */
  rlimit files = {};
  if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
  }
  bool may_be_realtime = false;
  plan.keep = capabilities_to_keep(&may_be_realtime);
  if (map_update_needs_bpf(profiler, plan))
    plan.keep.push_back(has_capability(CAP_BPF) ? CAP_BPF : CAP_SYS_ADMIN);
  if (!drop_privileges(plan, &reason)) return fail(reason);
  if (!deny_system_calls(&reason)) return fail(reason);
  if (options.die_with_parent) {
    /* After the change of uid, which clears it. */
    prctl(PR_SET_PDEATHSIG, SIGTERM, 0, 0, 0);
    if (getppid() != parent) return fail("PARENT_GONE: the caller ended during the start");
  }
  execvp(options.command[0], options.command);
  return explain_exec(options.command[0], errno, plan.uid);
}

bool parse_number(const char* text, uint64_t* value) {
  const char* end = text + strlen(text);
  const auto parsed = std::from_chars(text, end, *value);
  return parsed.ec == std::errc() && parsed.ptr == end && end != text;
}

/* False: *reason says which option. */
bool parse_options(int argc, char** argv, Options* options, std::string* reason) {
  for (int i = 1; i < argc; i++) {
    const std::string_view option = argv[i];
    auto number = [&](uint64_t least, uint64_t most, uint64_t* value) {
      const char* text = i + 1 < argc ? argv[++i] : "";
      if (parse_number(text, value) && *value >= least && *value <= most) return true;
      *reason = "OPTION_INVALID: " + std::string(option) + " is \"" + text + "\", it takes " +
                std::to_string(least) + " to " + std::to_string(most);
      return false;
    };
    uint64_t value = 0;
    if (option == "--") {
      options->command = argv + i + 1;
      break;
    }
    if (option == "--check") {
      options->check = true;
    } else if (option == "--no-kernel-stacks") {
      options->kernel_stacks = false;
    } else if (option == "--die-with-parent") {
      options->die_with_parent = true;
    } else if (option == "--period-ns") {
      if (!number(kMinPeriodNs, kMaxPeriodNs, &options->period_ns)) return false;
    } else if (option == "--uid") {
      if (!number(1, UINT32_MAX - 1, &value)) return false;
      options->uid = static_cast<uid_t>(value);
      options->uid_given = true;
    } else if (option == "--samples-ring") {
      if (!number(kMinRingBytes, kMaxRingBytes, &options->samples_ring_bytes)) return false;
      if ((options->samples_ring_bytes & (options->samples_ring_bytes - 1)) != 0) {
        *reason = "OPTION_INVALID: --samples-ring is " + std::to_string(options->samples_ring_bytes) +
                  ", it takes a power of two";
        return false;
      }
    } else if (option == "--btf" && i + 1 < argc) {
      options->btf = argv[++i];
    } else {
      *reason = "OPTION_INVALID: " + std::string(option) + " is not known";
      return false;
    }
  }
  if (!options->check && (options->command == nullptr || options->command[0] == nullptr)) {
    *reason = "OPTION_INVALID: no COMMAND after --";
    return false;
  }
  return true;
}

}  // namespace
}  // namespace strobe

int main(int argc, char** argv) {
  strobe::Options options;
  std::string reason;
  if (!strobe::parse_options(argc, argv, &options, &reason)) {
    fprintf(stderr, "%s\n%s", reason.c_str(), strobe::kUsage);
    return 2;
  }
  return options.check ? strobe::run_check(options) : strobe::run_launch(options);
}
