/* SPDX-License-Identifier: Apache-2.0 */
#include "perf_map.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>

#include "file_open.h"
#include "owned.h"
#include "process_metadata.h"

namespace strobe {

namespace {

constexpr std::chrono::milliseconds kPatience(2000);
constexpr size_t kMaxNameBytes = 512;
constexpr size_t kMaxLineBytes = 4096;
constexpr size_t kMaxStepsBack = 256;
constexpr uint64_t kMaxFunctionBytes = 64u << 20;
constexpr size_t kMaxStatusBytes = 16384;
constexpr size_t kMaxProcesses = 256;

/* What is read of a file in one go, off the thread that owns the maps. */
struct Part {
  bool is_readable = false;
  bool is_new = false; /* another file than before, or one that was started anew */
  uint64_t inode = 0;
  std::string text;
};

void read_part(uint32_t pid, uint64_t start_boottime, uint32_t ns_pid, uint64_t inode, uint64_t from,
               Part* part) {
  const OwnedFd process = process_open(pid, start_boottime);
  if (!process) return;
  uint32_t uid = 0, gid = 0;
  if (!process_ids("\n" + process_read(process, "status", kMaxStatusBytes), &uid, &gid)) return;
  const OwnedFd root(openat(process.get(), "root", O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!root) return;
  open_how how{};
  how.flags = O_PATH | O_NOFOLLOW | O_CLOEXEC;
  how.resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS;
  const std::string path = "/tmp/perf-" + std::to_string(ns_pid) + ".map";
  const OwnedFd found(static_cast<int>(syscall(SYS_openat2, root.get(), path.c_str(), &how, sizeof how)));
  struct stat status;
  if (!found || fstat(found.get(), &status) != 0 || !S_ISREG(status.st_mode) || status.st_nlink != 1 ||
      status.st_uid != uid)
    return;
  std::string reason;
  const OwnedFd fd = reopen_regular(found, &reason);
  if (!fd) return;
  part->inode = status.st_ino;
  part->is_new = part->inode != inode || static_cast<uint64_t>(status.st_size) < from;
  if (part->is_new) from = 0;
  const uint64_t to = std::min<uint64_t>(static_cast<uint64_t>(status.st_size), PerfMap::kMaxBytes);
  part->is_readable = true;
  part->text.resize(to > from ? to - from : 0);
  size_t at = 0;
  while (at < part->text.size()) {
    const ssize_t got =
        pread(fd.get(), part->text.data() + at, part->text.size() - at, static_cast<off_t>(from + at));
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) break;
    at += static_cast<size_t>(got);
  }
  part->text.resize(at);
}

}  // namespace

void PerfMap::add_line(std::string_view line) {
  uint64_t start = 0, size = 0;
  const char* end = line.data() + line.size();
  const auto first = std::from_chars(line.data(), end, start, 16);
  if (first.ec != std::errc() || first.ptr == end || *first.ptr != ' ') return;
  const auto second = std::from_chars(first.ptr + 1, end, size, 16);
  if (second.ec != std::errc() || second.ptr == end || *second.ptr != ' ') return;
  std::string_view name(second.ptr + 1, static_cast<size_t>(end - second.ptr - 1));
  name = name.substr(0, kMaxNameBytes);
  if (name.empty() || size == 0 || size > kMaxFunctionBytes || start > UINT64_MAX - size ||
      functions_.size() >= kMaxFunctions)
    return;
  functions_.push_back({start, start + size, static_cast<uint32_t>(functions_.size()),
                        static_cast<uint32_t>(names_.size()), static_cast<uint32_t>(name.size())});
  for (const char c : name) names_.push_back(static_cast<unsigned char>(c) < 32 || c == 127 ? '?' : c);
  is_sorted_ = false;
}

void PerfMap::append(std::string_view text) {
  while (!text.empty()) {
    const size_t end = text.find('\n');
    if (end == std::string_view::npos) {
      rest_.append(text.substr(0, kMaxLineBytes - std::min(rest_.size(), kMaxLineBytes)));
      return;
    }
    if (rest_.empty()) {
      add_line(text.substr(0, std::min(end, kMaxLineBytes)));
    } else {
      rest_.append(text.substr(0, std::min(end, kMaxLineBytes)));
      add_line(rest_);
      rest_.clear();
    }
    text.remove_prefix(end + 1);
  }
}

std::string_view PerfMap::lookup(uint64_t pc) {
  if (!is_sorted_) {
    std::sort(functions_.begin(), functions_.end(), [](const Function& a, const Function& b) {
      return a.start != b.start ? a.start < b.start : a.order < b.order;
    });
    is_sorted_ = true;
  }
  auto after = std::upper_bound(functions_.begin(), functions_.end(), pc,
                                [](uint64_t value, const Function& one) { return value < one.start; });
  const Function* latest = nullptr;
  for (size_t step = 0; after != functions_.begin() && step < kMaxStepsBack; step++) {
    --after;
    if (pc < after->end && (latest == nullptr || after->order > latest->order)) latest = &*after;
  }
  if (latest == nullptr) return {};
  return std::string_view(names_).substr(latest->name, latest->name_bytes);
}

std::vector<std::string> PerfMaps::name(uint32_t pid, uint64_t start_boottime, uint32_t ns_pid,
                                        const std::vector<uint64_t>& pcs) {
  std::lock_guard<std::mutex> lock(mutex_);
  auto found = std::find_if(processes_.begin(), processes_.end(), [&](const Process& one) {
    return one.pid == pid && one.start_boottime == start_boottime;
  });
  if (found == processes_.end()) {
    processes_.push_front({pid, start_boottime, 0, 0, {}});
  } else {
    processes_.splice(processes_.begin(), processes_, found);
  }
  Process& process = processes_.front();
  auto part = std::make_shared<Part>();
  const bool is_done = thread_.run(kPatience, [=, inode = process.inode, from = process.read_bytes] {
    read_part(pid, start_boottime, ns_pid, inode, from, part.get());
  });
  /* A process that ended keeps the names it had. */
  if (is_done && part->is_readable) {
    if (part->is_new) {
      process.map = PerfMap();
      process.read_bytes = 0;
    }
    process.inode = part->inode;
    process.map.append(part->text);
    process.read_bytes += part->text.size();
  }
  std::vector<std::string> names;
  names.reserve(pcs.size());
  for (const uint64_t pc : pcs) names.emplace_back(process.map.lookup(pc));
  size_t bytes = 0, count = 0;
  for (auto one = processes_.begin(); one != processes_.end();) {
    bytes += sizeof(Process) + one->map.memory_bytes();
    count++;
    one = (bytes > max_bytes_ || count > kMaxProcesses) ? processes_.erase(one) : std::next(one);
  }
  return names;
}

}  // namespace strobe
