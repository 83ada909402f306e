/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Runs the real launcher, which becomes this same program again in a role (STROBE_TEST_ROLE) and
 * tells what it has left. Needs root and a kernel that can be profiled; says so where it has not.
 */
#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/close_range.h>
#include <linux/perf_event.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <map>
#include <set>
#include <thread>

#include "check.h"
#include "profiler/types.h"

namespace {

using Fields = std::map<std::string, std::string>;

/* ---- roles: what runs behind the launcher ---- */

/* The numbers behind "key": of a JSON text as the launcher writes it. */
std::vector<int> numbers_after(const std::string& json, const std::string& key) {
  std::vector<int> found;
  for (size_t at = 0; (at = json.find(key, at)) != std::string::npos;) {
    at += key.size();
    found.push_back(atoi(json.c_str() + at));
  }
  return found;
}

std::string section_of(const std::string& json, const std::string& from, const std::string& to) {
  const size_t start = json.find(from);
  return json.substr(start, json.find(to, start) - start);
}

void role_threads() {
  std::vector<std::thread> threads;
  int hold[2];
  if (pipe(hold) != 0) _exit(3);
  for (int i = 0; i < 3; i++) {
    threads.emplace_back([&] {
      char byte;
      (void)!read(hold[0], &byte, 1);
    });
  }
  for (const auto& task : std::filesystem::directory_iterator("/proc/self/task")) {
    std::ifstream status(task.path() / "status");
    std::string line;
    while (std::getline(status, line)) {
      for (const char* wanted : {"Uid:", "Gid:", "Groups:", "CapInh:", "CapPrm:", "CapEff:", "CapBnd:",
                                 "CapAmb:", "NoNewPrivs:", "Seccomp:"}) {
        if (line.starts_with(wanted)) printf("%s\n", line.c_str());
      }
    }
  }
  close(hold[1]);
  for (std::thread& thread : threads) thread.join();
}

void role_refused() {
  auto say = [](const char* name, long result) {
    printf("%s %s\n", name, result < 0 ? strerror(errno) : "allowed");
  };
  const pid_t parent = getppid();
  say("ptrace", ptrace(PTRACE_ATTACH, parent, nullptr, nullptr));
  char byte = 0;
  iovec local = {&byte, 1};
  iovec remote = {&byte, 1};
  say("process_vm_writev", process_vm_writev(parent, &local, 1, &remote, 1, 0));
  say("process_vm_readv", process_vm_readv(getpid(), &local, 1, &remote, 1, 0));
  say("mount", mount("none", "/mnt", "tmpfs", 0, nullptr));
  say("setuid", setuid(0));
  say("setgroups", syscall(SYS_setgroups, 0, nullptr));
  say("bpf_prog_load", [] {
    bpf_attr attr = {};
    attr.prog_type = BPF_PROG_TYPE_PERF_EVENT;
    return syscall(SYS_bpf, BPF_PROG_LOAD, &attr, sizeof(attr));
  }());
  say("maps_of_root", open(("/proc/" + std::to_string(parent) + "/maps").c_str(), O_RDONLY | O_CLOEXEC));
}

/* Uses the descriptors as the agent does. */
void role_profile() {
  const std::string handles = getenv("STROBE_HANDLES");
  const std::string maps = section_of(handles, "\"maps\":", "\"sampleEvents\"");
  std::set<int> expected = {0, 1, 2};
  for (const char* name : {"segments", "pages", "rules", "files", "mappings", "processes", "samples",
                           "raw_stacks", "counters"}) {
    const auto fds = numbers_after(maps, "\"" + std::string(name) + "\":");
    if (fds.size() != 1) printf("missing %s\n", name);
    for (const int fd : fds) expected.insert(fd);
  }
  const auto samples =
      numbers_after(section_of(handles, "\"sampleEvents\"", "\"sideBandEvents\""), "\"fd\":");
  const auto side_band =
      numbers_after(section_of(handles, "\"sideBandEvents\"", "\"kallsymsFd\""), "\"fd\":");
  const int kallsyms = numbers_after(handles, "\"kallsymsFd\":").front();
  expected.insert(samples.begin(), samples.end());
  expected.insert(side_band.begin(), side_band.end());
  expected.insert(kallsyms);
  printf("sample_events %zu\nside_band_events %zu\n", samples.size(), side_band.size());
  for (int fd = 0; fd < 1024; fd++) {
    if ((fcntl(fd, F_GETFD) >= 0) != (expected.count(fd) > 0)) printf("descriptor %d is surprising\n", fd);
  }
  /* A file of /proc has no size. */
  std::string text;
  char buffer[65536];
  for (ssize_t got; (got = pread(kallsyms, buffer, sizeof buffer, static_cast<off_t>(text.size()))) > 0;)
    text.append(buffer, static_cast<size_t>(got));
  printf("kallsyms_bytes %zu\n", text.size());
  printf("kallsyms_addresses %s\n", text.find("\nffff") == std::string::npos ? "hidden" : "shown");
  printf("kallsyms_write %s\n", pwrite(kallsyms, "x", 1, 0) < 0 ? "refused" : "allowed");

  const size_t ring_bytes =
      129 * static_cast<size_t>(getpagesize()); /* the most a user gets without locked memory */
  auto* ring = static_cast<perf_event_mmap_page*>(
      mmap(nullptr, ring_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, side_band.front(), 0));
  printf("side_band_mmap %s\n", ring == MAP_FAILED ? strerror(errno) : "works");
  const int pages = numbers_after(maps, "\"pages\":").front();
  void* table = mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, pages, 0);
  printf("table_mmap %s\n", table == MAP_FAILED ? strerror(errno) : "works");
  process_entry entry = {};
  uint32_t key = static_cast<uint32_t>(getpid());
  bpf_attr update = {};
  update.map_fd = static_cast<uint32_t>(numbers_after(maps, "\"processes\":").front());
  update.key = reinterpret_cast<uint64_t>(&key);
  update.value = reinterpret_cast<uint64_t>(&entry);
  printf("map_update %s\n",
         syscall(SYS_bpf, BPF_MAP_UPDATE_ELEM, &update, sizeof(update)) < 0 ? strerror(errno) : "works");

  for (const int fd : samples) ioctl(fd, PERF_EVENT_IOC_ENABLE, 0);
  for (const int fd : side_band) ioctl(fd, PERF_EVENT_IOC_ENABLE, 0);
  timespec cpu = {};
  while (cpu.tv_sec == 0 && cpu.tv_nsec < 300000000) clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &cpu);
  for (const int fd : samples) ioctl(fd, PERF_EVENT_IOC_DISABLE, 0);
  uint64_t counts[1024] = {};
  key = COUNTER_SAMPLES;
  bpf_attr lookup = {};
  lookup.map_fd = static_cast<uint32_t>(numbers_after(maps, "\"counters\":").front());
  lookup.key = reinterpret_cast<uint64_t>(&key);
  lookup.value = reinterpret_cast<uint64_t>(counts);
  if (syscall(SYS_bpf, BPF_MAP_LOOKUP_ELEM, &lookup, sizeof(lookup)) != 0)
    printf("lookup %s\n", strerror(errno));
  uint64_t total = 0;
  for (const uint64_t count : counts) total += count;
  printf("samples %llu\n", static_cast<unsigned long long>(total));
}

/* Lives until it is told to end: by the signal of a parent's death. */
void role_wait() {
  printf("ready\n");
  fflush(stdout);
  for (;;) pause();
}

__attribute__((constructor)) void play_role() {
  const char* role = getenv("STROBE_TEST_ROLE");
  if (role == nullptr) return;
  const std::string name = role;
  if (name == "threads") role_threads();
  if (name == "refused") role_refused();
  if (name == "profile") role_profile();
  if (name == "wait") role_wait();
  fflush(stdout);
  _exit(0);
}

/* ---- running it ---- */

std::string launcher() {
  const char* build = getenv("STROBE_BUILD_DIR");
  return std::string(build == nullptr ? "build" : build) + "/strobe-launch";
}

std::string self() { return std::filesystem::read_symlink("/proc/self/exe"); }

struct Outcome {
  int code;
  std::string text; /* both streams */
  std::vector<std::string> lines() const {
    std::vector<std::string> all;
    std::istringstream in(text);
    for (std::string line; std::getline(in, line);) all.push_back(line);
    return all;
  }
};

Outcome run(const std::string& command) {
  Outcome outcome = {-1, ""};
  /* What the caller of this test left open is not the launcher's. */
  syscall(SYS_close_range, 3, ~0U, CLOSE_RANGE_CLOEXEC);
  FILE* pipe = popen((command + " 2>&1").c_str(), "r");
  char buffer[4096];
  for (size_t got = 0; (got = fread(buffer, 1, sizeof(buffer), pipe)) > 0;) outcome.text.append(buffer, got);
  const int status = pclose(pipe);
  outcome.code = WIFEXITED(status) ? WEXITSTATUS(status) : 128;
  return outcome;
}

void need_host() {
  if (geteuid() != 0) SKIP("needs root");
  static const Outcome check = run(launcher() + " --check");
  if (check.code != 0) SKIP("strobe-launch --check says that this host cannot be profiled");
}

Fields run_role(const std::string& role, const std::string& options) {
  need_host();
  const Outcome outcome =
      run("STROBE_TEST_ROLE=" + role + " " + launcher() + " " + options + " -- " + self());
  CHECK_EQUAL(outcome.code, 0);
  Fields fields;
  for (const std::string& line : outcome.lines()) {
    const size_t space = line.find(' ');
    fields[line.substr(0, space)] = space == std::string::npos ? "" : line.substr(space + 1);
  }
  return fields;
}

std::set<std::string> fields_of(const std::string& line) {
  std::istringstream in(line);
  std::set<std::string> all;
  std::string first, word;
  in >> first;
  while (in >> word) all.insert(word);
  return all;
}

}  // namespace

TEST("every thread: ids, capabilities, no way back") {
  need_host();
  const Outcome outcome = run("STROBE_TEST_ROLE=threads " + launcher() + " --uid 65534 -- " + self());
  CHECK_EQUAL(outcome.code, 0);
  /* PTRACE 19, DAC_READ_SEARCH 2, CHECKPOINT_RESTORE 40; NICE 23 where RLIMIT_RTPRIO may not be raised;
   * BPF 39 where map updates need it. */
  const uint64_t always = 1ULL << 19 | 1ULL << 2 | 1ULL << 40;
  const uint64_t sometimes = 1ULL << 23 | 1ULL << 39;
  std::map<std::string, int> seen;
  for (const std::string& line : outcome.lines()) {
    const std::string name = line.substr(0, line.find(':'));
    seen[name]++;
    const auto values = fields_of(line);
    if (name.starts_with("Cap")) {
      const uint64_t set = strtoull(values.begin()->c_str(), nullptr, 16);
      CHECK_EQUAL(set & always, always);
      CHECK_EQUAL(set & ~(always | sometimes), 0u);
    } else if (name == "Uid" || name == "Gid") {
      CHECK(values == std::set<std::string>{"65534"});
    } else if (name == "Groups") {
      CHECK(values.empty());
    } else if (name == "NoNewPrivs") {
      CHECK(values == std::set<std::string>{"1"});
    } else if (name == "Seccomp") {
      CHECK(values == std::set<std::string>{"2"});
    }
  }
  for (const char* name :
       {"Uid", "Gid", "CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb", "NoNewPrivs", "Seccomp"}) {
    CHECK_EQUAL(seen[name], 4);
  }
}

TEST("control over other processes is refused, reading them is not") {
  const Fields said = run_role("refused", "--uid 65534");
  for (const char* call : {"ptrace", "process_vm_writev", "mount", "setuid", "setgroups"}) {
    CHECK_EQUAL(said.at(call), std::string("Operation not permitted"));
  }
  CHECK(said.at("bpf_prog_load") != "allowed");
  CHECK_EQUAL(said.at("process_vm_readv"), std::string("allowed"));
  CHECK_EQUAL(said.at("maps_of_root"), std::string("allowed"));
}

TEST("the descriptors, and no others, arrive and work without privileges") {
  const Fields said = run_role("profile", "--uid 65534 --period-ns 1000000");
  for (const auto& [name, value] : said) {
    if (name == "missing" || name == "descriptor" || name == "lookup")
      check::fail(__FILE__, __LINE__, name + " " + value);
  }
  const long cpus = sysconf(_SC_NPROCESSORS_ONLN);
  CHECK_EQUAL(atol(said.at("sample_events").c_str()), cpus);
  CHECK_EQUAL(atol(said.at("side_band_events").c_str()), cpus);
  CHECK(atol(said.at("kallsyms_bytes").c_str()) > 100000);
  CHECK_EQUAL(said.at("kallsyms_addresses"), std::string("shown"));
  CHECK_EQUAL(said.at("kallsyms_write"), std::string("refused"));
  CHECK_EQUAL(said.at("side_band_mmap"), std::string("works"));
  CHECK_EQUAL(said.at("table_mmap"), std::string("works"));
  CHECK_EQUAL(said.at("map_update"), std::string("works"));
  /* 300 ms of CPU at a period of 1 ms, less what a shared machine's timers miss */
  CHECK(atol(said.at("samples").c_str()) > 150);
}

TEST("a program inside a folder closed to others starts and reads its files there") {
  need_host();
  char folder[] = "/tmp/strobe-closed-XXXXXX";
  CHECK(mkdtemp(folder) != nullptr); /* mode 700, root's */
  const std::string path = folder;
  std::filesystem::copy_file("/bin/cat", path + "/cat");
  std::ofstream(path + "/secret") << "read me\n";
  chmod((path + "/secret").c_str(), 0600);
  const Outcome outcome = run(launcher() + " --uid 65534 -- " + path + "/cat " + path + "/secret");
  chmod((path + "/cat").c_str(), 0600);
  const Outcome closed = run(launcher() + " --uid 65534 -- " + path + "/cat " + path + "/secret");
  std::filesystem::remove_all(path);
  CHECK_EQUAL(outcome.text, std::string("read me\n"));
  CHECK_EQUAL(outcome.code, 0);
  CHECK_EQUAL(closed.code, 126);
  CHECK(closed.text.starts_with("COMMAND_FAILED: " + path + "/cat: Permission denied (as uid 65534"));
}

TEST("the agent ends with its parent") {
  need_host();
  int ends[2];
  CHECK(pipe2(ends, O_CLOEXEC) == 0);
  const pid_t parent = fork();
  if (parent == 0) {
    const pid_t agent = fork();
    if (agent == 0) {
      dup2(ends[1], 1);
      setenv("STROBE_TEST_ROLE", "wait", 1);
      execl(launcher().c_str(), "strobe-launch", "--die-with-parent", "--", self().c_str(), nullptr);
      _exit(127);
    }
    for (;;) pause();
  }
  close(ends[1]);
  char text[16] = "";
  const ssize_t got = read(ends[0], text, sizeof(text) - 1); /* the role runs */
  kill(parent, SIGKILL);
  waitpid(parent, nullptr, 0);
  /* The only writer left is the role: the end of the pipe is its death. */
  pollfd waiting = {ends[0], POLLIN, 0};
  const int ended = poll(&waiting, 1, 10000);
  close(ends[0]);
  CHECK_EQUAL(got, 6);
  CHECK_EQUAL(std::string(text), std::string("ready\n"));
  CHECK_EQUAL(ended, 1);
}

TEST("a caller without capabilities is told which, and check lists them") {
  if (geteuid() != 0) SKIP("needs root to become a user without capabilities");
  const std::string plain = "setpriv --reuid 65534 --regid 65534 --clear-groups --bounding-set=-all ";
  const Outcome launch = run(plain + launcher() + " -- /bin/true");
  CHECK_EQUAL(launch.code, 1);
  CHECK(launch.text.starts_with("CAPABILITY_MISSING: CAP_BPF"));
  const Outcome check = run(plain + launcher() + " --check");
  CHECK_EQUAL(check.code, 1);
  CHECK(check.text.starts_with("{\"version\":1,\"ok\":false,\"items\":["));
  CHECK(check.text.find("{\"name\":\"cap_bpf\",\"ok\":false,\"required\":true") != std::string::npos);
  CHECK(check.text.find("not tried: it takes CAP_BPF and CAP_PERFMON") != std::string::npos);
  CHECK(check.text.find("{\"name\":\"sample_event\",\"ok\":false,\"required\":true") != std::string::npos);
}

TEST("wrong options are named, before anything is opened") {
  auto said = [](const std::string& arguments) {
    const Outcome outcome = run(launcher() + " " + arguments);
    CHECK_EQUAL(outcome.code, 2);
    return outcome.lines().front();
  };
  CHECK_EQUAL(said(""), "OPTION_INVALID: no COMMAND after --");
  CHECK_EQUAL(said("--period-ns 5 -- true"),
              "OPTION_INVALID: --period-ns is \"5\", it takes 100000 to 10000000000");
  CHECK_EQUAL(said("--uid root -- true"), "OPTION_INVALID: --uid is \"root\", it takes 1 to 4294967294");
  CHECK_EQUAL(said("--uid 0 -- true"), "OPTION_INVALID: --uid is \"0\", it takes 1 to 4294967294");
  CHECK_EQUAL(said("--samples-ring 3000000 -- true"),
              "OPTION_INVALID: --samples-ring is 3000000, it takes a power of two");
  CHECK_EQUAL(said("--frobnicate"), "OPTION_INVALID: --frobnicate is not known");
}

TEST("a command that does not exist: 127, by name") {
  need_host();
  const Outcome outcome = run(launcher() + " --uid 65534 -- /no/such/program");
  CHECK_EQUAL(outcome.code, 127);
  CHECK(outcome.text.starts_with("COMMAND_FAILED: /no/such/program: No such file or directory"));
}
