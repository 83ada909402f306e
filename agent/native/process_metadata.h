/* SPDX-License-Identifier: Apache-2.0 */
#ifndef STROBE_PROCESS_METADATA_H
#define STROBE_PROCESS_METADATA_H

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <unordered_map>
#include <vector>

#include "counters.h"
#include "owned.h"

namespace strobe {

class ProcessTracker;

/* One image of one process: an exec makes another. */
struct ProcessKey {
  uint32_t pid = 0;
  uint32_t self_exec_id = 0;
  uint64_t start_boottime = 0;
  bool operator==(const ProcessKey&) const = default;
};
struct ProcessKeyHash {
  size_t operator()(const ProcessKey& key) const {
    uint64_t hash = key.start_boottime * 0x9e3779b97f4a7c15ULL ^ (static_cast<uint64_t>(key.pid) << 32) ^
                    key.self_exec_id;
    return static_cast<size_t>(hash ^ (hash >> 29));
  }
};

/* Text is as the kernel gave it, cut at the bounds: any bytes. */
struct ProcessText {
  uint32_t ns_pid = 0;
  std::string comm;
  std::string exe;
  std::vector<std::string> cmdline; /* at most 64 arguments of 4 KiB in all */
  std::string cgroup;
  std::string cwd;
  uint32_t uid = 0; /* effective */
  /* NAME=value of the few variables named in process_metadata.cc; nothing else of the environment is kept. */
  std::vector<std::string> environment;
};

/* The folder in /proc of the process that has this pid and started then; empty when there is none. The
 * descriptor goes on to stand for that process when the pid is given to another. */
OwnedFd process_open(uint32_t pid, uint64_t start_boottime);
/* At most limit bytes of a file below it; '' when it cannot be read. */
std::string process_read(const OwnedFd& process, const char* name, size_t limit);
/* Effective uid and gid by the text of /proc/PID/status; nothing when it has none. */
bool process_ids(const std::string& status, uint32_t* uid, uint32_t* gid);

/*
 * What a process is called, read from /proc soon after its first sample and kept after its death.
 *
 * A thread of its own reads: /proc can wait for another process's mmap lock. For a process that was
 * gone before it was read, name and executable are those of the tracker's records.
 * Limitation: between the sample and the read the process can exec again; it then has the texts of
 * its next image.
 */
class ProcessMetadata {
 public:
  ProcessMetadata(ProcessTracker& tracker, Counters& counters) : tracker_(tracker), counters_(counters) {}
  ~ProcessMetadata();
  void start();
  void stop();

  /* Queues the read at first sight. */
  void saw(const ProcessKey& key, uint64_t time_ns);
  /* Waits until everything queued before now was read, at most timeout_ms. */
  void settle(uint64_t timeout_ms);
  /* Empty fields when it is not known. */
  ProcessText find(const ProcessKey& key) const;
  /* Forgets what was not seen for some windows. Called at the end of each. */
  void end_window();

 private:
  struct Entry {
    ProcessText text;
    uint64_t seen_window = 0;
  };
  struct Request {
    ProcessKey key;
    uint64_t time_ns;
  };
  void work();

  ProcessTracker& tracker_;
  Counters& counters_;
  mutable std::mutex mutex_;
  std::condition_variable wake_;
  std::condition_variable idle_;
  std::unordered_map<ProcessKey, Entry, ProcessKeyHash> entries_;
  std::deque<Request> queue_;
  bool is_reading_ = false;
  bool stopping_ = false;
  uint64_t window_ = 0;
  std::thread thread_;
};

}  // namespace strobe

#endif
