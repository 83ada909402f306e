/* SPDX-License-Identifier: Apache-2.0 */
#include "process_metadata.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <chrono>
#include <string_view>

#include "process_tracker.h"
#include "small_file.h"

namespace strobe {

namespace {

constexpr size_t kMaxEntries = 32768;
constexpr size_t kMaxArguments = 64;
constexpr size_t kMaxArgumentBytes = 4096;
constexpr size_t kMaxCgroupBytes = 16384;
constexpr size_t kMaxStatusBytes = 16384;
constexpr size_t kMaxEnvironmentBytes = 65536;
constexpr size_t kMaxVariableBytes = 4096;
/* The rest of an environment is full of secrets: it is read past, and never kept. */
constexpr std::string_view kVariables[] = {"OTEL_SERVICE_NAME=", "OTEL_RESOURCE_ATTRIBUTES="};
constexpr uint64_t kKeepWindows = 30;
constexpr uint64_t kTickNs = 10'000'000ULL; /* USER_HZ is 100 in the ABI of /proc */

std::string read_link(int dir, const char* name) {
  char target[4096];
  ssize_t got = readlinkat(dir, name, target, sizeof target);
  return got > 0 ? std::string(target, static_cast<size_t>(got)) : std::string();
}

/* Field 22 of stat, in ticks; the name in field 2 can hold spaces and brackets. */
uint64_t start_ticks(const std::string& stat) {
  size_t at = stat.rfind(')');
  if (at == std::string::npos) return 0;
  const char* from = stat.c_str() + at + 1;
  for (int field = 2; field < 21 && from; field++) from = strchr(from + 1, ' ');
  return from ? strtoull(from, nullptr, 10) : 0;
}

uint32_t innermost_pid(const std::string& status) {
  size_t at = status.find("\nNSpid:");
  if (at == std::string::npos) return 0;
  size_t end = status.find('\n', at + 1);
  std::string line = status.substr(at + 1, end - at - 1);
  size_t last = line.find_last_of(" \t");
  return static_cast<uint32_t>(strtoul(line.c_str() + last + 1, nullptr, 10));
}

std::vector<std::string> split_arguments(const std::string& text) {
  std::vector<std::string> arguments;
  size_t from = 0;
  while (from < text.size() && arguments.size() < kMaxArguments) {
    size_t end = text.find('\0', from);
    if (end == std::string::npos) end = text.size();
    arguments.push_back(text.substr(from, end - from));
    from = end + 1;
  }
  return arguments;
}

/* The first of each name, as getenv finds it; one longer than the bound is left out. */
std::vector<std::string> pick_variables(const std::string& environment) {
  std::vector<std::string> picked;
  for (std::string_view name : kVariables) {
    for (size_t from = 0; from < environment.size();) {
      size_t end = environment.find('\0', from);
      if (end == std::string::npos) end = environment.size();
      std::string_view variable(environment.data() + from, end - from);
      from = end + 1;
      if (variable.substr(0, name.size()) != name) continue;
      if (variable.size() <= kMaxVariableBytes) picked.emplace_back(variable);
      break;
    }
  }
  return picked;
}

/* Links of /proc show a path below a chroot as we see it; the process sees it without the prefix. */
std::string below_root(std::string path, const std::string& root) {
  if (root.size() > 1 && path.size() > root.size() && path[root.size()] == '/' &&
      path.compare(0, root.size(), root) == 0)
    path.erase(0, root.size());
  return path;
}

/* False when the pid is gone or belongs to another process. */
bool read_process(const ProcessKey& key, ProcessText* text) {
  OwnedFd dir = process_open(key.pid, key.start_boottime);
  if (!dir) return false;
  ProcessText read;
  std::string status = process_read(dir, "status", kMaxStatusBytes);
  uint32_t gid;
  read.ns_pid = innermost_pid(status);
  process_ids(status, &read.uid, &gid);
  read.comm = process_read(dir, "comm", 64);
  while (!read.comm.empty() && read.comm.back() == '\n') read.comm.pop_back();
  std::string root = read_link(dir.get(), "root");
  read.exe = below_root(read_link(dir.get(), "exe"), root);
  read.cmdline = split_arguments(process_read(dir, "cmdline", kMaxArgumentBytes));
  read.cgroup = process_read(dir, "cgroup", kMaxCgroupBytes);
  read.cwd = below_root(read_link(dir.get(), "cwd"), root);
  read.environment = pick_variables(process_read(dir, "environ", kMaxEnvironmentBytes));
  *text = std::move(read);
  return true;
}

}  // namespace

OwnedFd process_open(uint32_t pid, uint64_t start_boottime) {
  char name[40];
  snprintf(name, sizeof name, "/proc/%u", pid);
  OwnedFd dir(open(name, O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (dir && start_ticks(read_small_file(dir.get(), "stat", 4096)) != start_boottime / kTickNs) dir.reset();
  return dir;
}

std::string process_read(const OwnedFd& process, const char* name, size_t limit) {
  return read_small_file(process.get(), name, limit);
}

bool process_ids(const std::string& status, uint32_t* uid, uint32_t* gid) {
  size_t uids = status.find("\nUid:"), gids = status.find("\nGid:");
  return uids != std::string::npos && gids != std::string::npos &&
         sscanf(status.c_str() + uids + 5, "%*u %u", uid) == 1 &&
         sscanf(status.c_str() + gids + 5, "%*u %u", gid) == 1;
}

ProcessMetadata::~ProcessMetadata() { stop(); }

void ProcessMetadata::start() {
  thread_ = std::thread([this] { work(); });
}

void ProcessMetadata::stop() {
  {
    std::lock_guard<std::mutex> lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_all();
  if (thread_.joinable()) thread_.join();
}

void ProcessMetadata::saw(const ProcessKey& key, uint64_t time_ns) {
  std::lock_guard<std::mutex> lock(mutex_);
  auto found = entries_.find(key);
  if (found != entries_.end()) {
    found->second.seen_window = window_;
    return;
  }
  if (entries_.size() >= kMaxEntries) {
    counters_.add("process_metadata_dropped");
    return;
  }
  entries_[key].seen_window = window_;
  queue_.push_back({key, time_ns});
  wake_.notify_one();
}

void ProcessMetadata::work() {
  pthread_setname_np(pthread_self(), "strobe-metadata");
  std::unique_lock<std::mutex> lock(mutex_);
  for (;;) {
    if (queue_.empty()) idle_.notify_all();
    wake_.wait(lock, [&] { return stopping_ || !queue_.empty(); });
    if (stopping_) return;
    Request request = queue_.front();
    queue_.pop_front();
    is_reading_ = true;
    lock.unlock();
    ProcessText text;
    if (!read_process(request.key, &text)) counters_.add("process_gone");
    /* A thread can rename the process; what the exec and the link said names the program. */
    SampleIdentity identity{request.key.pid, request.key.self_exec_id, request.key.start_boottime,
                            request.time_ns};
    if (text.comm.empty() || text.exe.empty()) {
      std::string comm, exe;
      tracker_.describe(identity, &comm, &exe);
      if (text.comm.empty()) text.comm = std::move(comm);
      if (text.exe.empty()) text.exe = std::move(exe);
    }
    lock.lock();
    is_reading_ = false;
    auto found = entries_.find(request.key);
    if (found != entries_.end()) found->second.text = std::move(text);
  }
}

void ProcessMetadata::settle(uint64_t timeout_ms) {
  std::unique_lock<std::mutex> lock(mutex_);
  idle_.wait_for(lock, std::chrono::milliseconds(timeout_ms),
                 [&] { return stopping_ || (queue_.empty() && !is_reading_); });
}

ProcessText ProcessMetadata::find(const ProcessKey& key) const {
  std::lock_guard<std::mutex> lock(mutex_);
  auto found = entries_.find(key);
  return found == entries_.end() ? ProcessText() : found->second.text;
}

void ProcessMetadata::end_window() {
  std::lock_guard<std::mutex> lock(mutex_);
  window_++;
  /* Short-lived processes fill the map first: then only those of this window stay. */
  uint64_t keep = entries_.size() > kMaxEntries / 2 ? 1 : kKeepWindows;
  for (auto entry = entries_.begin(); entry != entries_.end();) {
    if (entry->second.seen_window + keep < window_)
      entry = entries_.erase(entry);
    else
      ++entry;
  }
}

}  // namespace strobe
