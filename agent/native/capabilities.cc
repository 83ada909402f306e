/* SPDX-License-Identifier: Apache-2.0 */
#include "capabilities.h"

#include <fcntl.h>
#include <linux/capability.h>
#include <linux/perf_event.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <cstring>
#include <fstream>

#include "privileges.h"

namespace strobe {

namespace {

/* PROC_PID_INIT_INO of the kernel's include/linux/proc_ns.h. */
constexpr uint64_t kInitialPidNamespace = 0xEFFFFFFC;
constexpr int kMaxCpus = 8192;

CheckItem check_kernel() {
  utsname name = {};
  uname(&name);
  int major = 0;
  int minor = 0;
  sscanf(name.release, "%d.%d", &major, &minor);
  /* A number only decides what is said here; what works is decided by trying. */
  const bool ok = major > 5 || (major == 5 && minor >= 10);
  return {"kernel", ok, true, std::string(name.release) + " " + name.machine,
          ok ? "" : "Linux 5.10 or newer is needed"};
}

CheckItem check_btf() {
  const bool ok = access("/sys/kernel/btf/vmlinux", R_OK) == 0;
  return {"btf", ok, false, ok ? "/sys/kernel/btf/vmlinux" : std::string("no /sys/kernel/btf/vmlinux"),
          ok ? "" : "use a kernel with CONFIG_DEBUG_INFO_BTF=y, or give --btf FILE for this kernel"};
}

CheckItem check_lockdown() {
  const std::string text = read_line("/sys/kernel/security/lockdown");
  if (text.empty()) return {"lockdown", true, true, "not shown by this kernel", ""};
  const bool ok = text.find("[confidentiality]") == std::string::npos;
  return {
      "lockdown", ok, true, text,
      ok ? "" : "confidentiality forbids BPF and perf to read memory: boot with lockdown=integrity or none"};
}

void check_capabilities(std::vector<CheckItem>* items) {
  struct Wanted {
    int capability;
    int instead; /* an older capability that includes it, or -1 */
    bool required;
    const char* why;
  };
  static const Wanted wanted[] = {
      {CAP_BPF, CAP_SYS_ADMIN, true, "loads the programs"},
      {CAP_PERFMON, CAP_SYS_ADMIN, true, "opens the sampling events"},
      {CAP_SYS_PTRACE, -1, true, "reads mappings of other users' processes"},
      {CAP_SYSLOG, -1, false, "names kernel functions"},
      {CAP_DAC_READ_SEARCH, -1, false, "reads binaries that are not world-readable"},
      {CAP_CHECKPOINT_RESTORE, CAP_SYS_ADMIN, false, "reads binaries that were deleted or replaced"},
      {CAP_SYS_NICE, -1, false, "follows new processes in time on a busy host"},
  };
  for (const Wanted& one : wanted) {
    const bool ok = has_capability(one.capability) || (one.instead >= 0 && has_capability(one.instead));
    std::string name = capability_name(one.capability);
    for (char& letter : name) letter = static_cast<char>(tolower(letter));
    items->push_back({name, ok, one.required, std::string(ok ? "held: " : "missing: ") + one.why,
                      ok ? "" : "run as root (sudo) or give the capability in the service unit"});
  }
}

CheckItem check_memlock() {
  rlimit limit = {};
  getrlimit(RLIMIT_MEMLOCK, &limit);
  const bool unlimited = limit.rlim_cur == RLIM_INFINITY;
  return {"memlock", true, false,
          unlimited ? std::string("unlimited")
                    : std::to_string(limit.rlim_cur) + " bytes; counts for maps on kernels before 5.11 only",
          ""};
}

CheckItem check_pid_namespace() {
  struct stat status = {};
  const bool known = stat("/proc/self/ns/pid", &status) == 0;
  const bool ok = known && status.st_ino == kInitialPidNamespace;
  return {"pid_namespace", ok, true,
          !known ? std::string("/proc is not mounted") : (ok ? "the host's" : "a container's"),
          ok ? "" : "start the container with the host's PID namespace (--pid=host, hostPID: true)"};
}

CheckItem check_kallsyms() {
  std::ifstream file("/proc/kallsyms");
  std::string line;
  const bool readable = static_cast<bool>(std::getline(file, line));
  bool ok = false;
  for (int i = 0; readable && !ok && i < 256; i++) {
    ok = line.find_first_not_of('0') < line.find(' ');
    if (!std::getline(file, line)) break;
  }
  return {"kallsyms", ok, false,
          ok ? "addresses are shown" : (readable ? "only zeros are shown" : "not readable"),
          ok ? "" : "CAP_SYSLOG and kernel.kptr_restrict below 2; without them kernel frames have no names"};
}

CheckItem check_hardware_counters() {
  perf_event_attr attr = {};
  attr.size = sizeof(attr);
  attr.type = PERF_TYPE_HARDWARE;
  attr.config = PERF_COUNT_HW_CPU_CYCLES;
  attr.disabled = 1;
  attr.exclude_kernel = 1;
  const long fd = syscall(SYS_perf_event_open, &attr, 0, -1, -1, PERF_FLAG_FD_CLOEXEC);
  const int error = errno;
  if (fd >= 0) close(static_cast<int>(fd));
  return {"hardware_counters", fd >= 0, false,
          fd >= 0 ? std::string("cycles can be opened") : std::string("cycles: ") + strerror(error),
          fd >= 0 ? "" : "not needed: CPU time is sampled by a timer"};
}

CheckItem check_sysctl(const char* name, const char* path, const char* meaning) {
  const std::string text = read_line(path);
  return {name, true, false, text.empty() ? std::string("not shown") : text + ": " + meaning, ""};
}

}  // namespace

std::string read_line(const std::string& path) {
  std::ifstream file(path);
  std::string line;
  std::getline(file, line);
  return line;
}

std::vector<int> parse_cpu_list(std::string_view text) {
  std::vector<int> cpus;
  for (size_t at = 0; at < text.size();) {
    size_t end = text.find(',', at);
    if (end == std::string_view::npos) end = text.size();
    const char* last_char = text.data() + end;
    int first = 0;
    const auto parsed = std::from_chars(text.data() + at, last_char, first);
    if (parsed.ec != std::errc()) return cpus;
    int last = first;
    if (parsed.ptr < last_char && *parsed.ptr == '-') std::from_chars(parsed.ptr + 1, last_char, last);
    for (int cpu = first; cpu <= last && cpu < kMaxCpus; cpu++) cpus.push_back(cpu);
    at = end + 1;
  }
  return cpus;
}

std::vector<int> online_cpus() { return parse_cpu_list(read_line("/sys/devices/system/cpu/online")); }
std::vector<int> nohz_full_cpus() { return parse_cpu_list(read_line("/sys/devices/system/cpu/nohz_full")); }

std::vector<CheckItem> probe_host() {
  std::vector<CheckItem> items;
  items.push_back(check_kernel());
  items.push_back(check_btf());
  check_capabilities(&items);
  items.push_back(check_lockdown());
  const std::string lsms = read_line("/sys/kernel/security/lsm");
  items.push_back({"lsm", true, false, lsms.empty() ? "not shown (securityfs is not mounted)" : lsms, ""});
  items.push_back(check_sysctl("perf_event_paranoid", "/proc/sys/kernel/perf_event_paranoid",
                               "counts only for processes without CAP_PERFMON"));
  items.push_back(check_sysctl("unprivileged_bpf_disabled", "/proc/sys/kernel/unprivileged_bpf_disabled",
                               "counts only for processes without CAP_BPF"));
  items.push_back(check_memlock());
  items.push_back(check_pid_namespace());
  items.push_back(check_kallsyms());
  items.push_back(check_hardware_counters());
  const std::string isolated = read_line("/sys/devices/system/cpu/nohz_full");
  const bool any_isolated = !nohz_full_cpus().empty();
  items.push_back({"nohz_full", true, false,
                   any_isolated ? "CPUs " + isolated + " are left alone and not sampled" : "no such CPUs",
                   ""});
  return items;
}

std::string json_string(std::string_view text) {
  std::string out = "\"";
  for (size_t i = 0; i < text.size();) {
    const auto byte = static_cast<unsigned char>(text[i]);
    if (byte < 0x80) {
      char escaped[8];
      if (byte == '"' || byte == '\\') {
        out += '\\';
        out += static_cast<char>(byte);
      } else if (byte == '\n') {
        out += "\\n";
      } else if (byte < 0x20 || byte == 0x7f) {
        snprintf(escaped, sizeof(escaped), "\\u%04x", byte);
        out += escaped;
      } else {
        out += static_cast<char>(byte);
      }
      i++;
      continue;
    }
    const size_t length = byte >= 0xf0 && byte < 0xf5 ? 4 : byte >= 0xe0 ? 3 : byte >= 0xc2 ? 2 : 0;
    bool valid = length > 0 && byte < 0xf5 && i + length <= text.size();
    for (size_t k = 1; valid && k < length; k++) {
      valid = (static_cast<unsigned char>(text[i + k]) & 0xc0) == 0x80;
    }
    if (valid) {
      out.append(text.substr(i, length));
      i += length;
    } else {
      out += "\xef\xbf\xbd";
      i++;
    }
  }
  return out + "\"";
}

std::string format_check_items(const std::vector<CheckItem>& items) {
  std::string out = "[";
  for (const CheckItem& item : items) {
    if (out.size() > 1) out += ",";
    out += "\n  {\"name\":" + json_string(item.name) + ",\"ok\":" + (item.ok ? "true" : "false") +
           ",\"required\":" + (item.required ? "true" : "false") + ",\"detail\":" + json_string(item.detail) +
           ",\"fix\":" + json_string(item.fix) + "}";
  }
  return out + "\n]";
}

}  // namespace strobe
