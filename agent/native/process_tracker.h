/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which executable mappings each process has, in step with the kernel.
 *
 *   side-band rings of all CPUs --merged by time--> process -> image -> mappings -> run -> `processes`
 *   /proc/PID/maps (scanner thread) ------------------^
 *
 *   FORK   the child shares the mappings of the parent, and its exec count
 *   COMM   by exec: a new image, no mappings, exec count + 1
 *   MMAP2  of executable memory: replaces what it covers
 *   EXIT   of the leader: forgotten when /proc no longer knows the pid
 *
 * Order: records up to a time read BEFORE the heads of the rings are merged. Whatever caused such a
 * record was written completely before it, so it is in its ring; later records wait for the next
 * round. A scan counts as a record at the time before it read anything.
 *
 * Identity: types.h, struct process_entry. The base of the exec count of a scanned process and of
 * all its forks is unknown until a sample of one of them says its own.
 *
 * Limitations: munmap sends no record, so a stale mapping answers until it is covered; memory
 * mapped while a scan fails is not known. Lost records lead to a new scan of all.
 */
#ifndef STROBE_PROCESS_TRACKER_H
#define STROBE_PROCESS_TRACKER_H

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "counters.h"
#include "file_table.h"
#include "mapping_arena.h"
#include "owned.h"
#include "table_builder.h"

namespace strobe {

/* What a sample says about its process. */
struct SampleIdentity {
  uint32_t pid = 0;
  uint32_t self_exec_id = 0;
  uint64_t start_boottime = 0;
  uint64_t time_ns = 0;
};

struct TrackedImage {
  std::shared_ptr<const MappingRun> run; /* null: not known (yet) */
  bool has_pending = false;              /* a file of it is not opened or built yet */
};

class ProcessTracker {
 public:
  /* side_band: the rings' descriptors, borrowed. mappings, processes: borrowed too. */
  ProcessTracker(std::shared_ptr<MappingArena> arena, int processes_fd, std::shared_ptr<FileTable> files,
                 TableBuilder& builder, Counters& counters);
  ~ProcessTracker();

  /* Maps the rings. False: *error is a coded sentence. */
  bool open(const std::vector<int>& side_band_fds, std::string* error);
  /* Starts both threads and a scan of /proc. The events must be enabled before, so that nothing
   * falls between. */
  void start();
  void stop();

  /* Any thread. A sample found no entry, or one of another image: teaches the exec count, or asks
   * for a scan. */
  void learn(const SampleIdentity& identity);
  /* Any thread. The file can be placed: runs that have it are published again, then it is built. */
  void file_placed(uint32_t file);

  /* The image that the sample was taken in, by its time; run is null when there is none. */
  TrackedImage find(const SampleIdentity& identity);
  /* Command name of the last exec and path of the executable as the records gave them; '' unknown. */
  void describe(const SampleIdentity& identity, std::string* comm, std::string* exe);

  size_t process_count() const;

 private:
  struct Mapping {
    uint64_t start;
    uint64_t end;
    uint64_t pgoff;
    uint32_t file; /* 0: anonymous */
    uint64_t time_ns;
  };
  struct MappingSet {
    std::vector<Mapping> mappings; /* sorted, not overlapping */
    bool has_unplaced = false;
    std::shared_ptr<MappingRun> run; /* of these mappings; null until asked for */
  };
  struct Image {
    uint64_t begin_ns = 0;
    uint64_t end_ns = UINT64_MAX;
    std::shared_ptr<MappingSet> set;
    std::string comm;
    std::string exe;
  };
  /* exec count = base + offset; processes that fork from one another share the base. */
  struct ExecBase {
    bool is_known = false;
    uint32_t value = 0;
  };
  struct Process {
    uint32_t pid = 0;
    uint64_t start_bound = 0; /* boot time, ns: it started at or before */
    uint64_t created_ns = 0;  /* of the fork record; 0: by a scan or a record without a fork */
    std::shared_ptr<ExecBase> base;
    uint32_t exec_offset = 0;
    std::deque<Image> images;  /* the last is the current one */
    bool is_incomplete = true; /* mappings from before we looked are missing */
    bool is_scan_queued = false;
    bool is_published = false;
    bool is_dirty = false;
    uint64_t last_scan_ns = 0;
  };
  struct ScanResult {
    uint32_t pid;
    uint64_t time_ns;     /* before the first read */
    uint64_t boottime_ns; /* the same moment */
    bool is_readable;
    std::vector<Mapping> mappings;
    std::string comm;
    std::string exe;
  };
  /* Change times of files by device and inode, within one pass over /proc. */
  using ChangeTimes = std::unordered_map<std::string, uint64_t>;
  struct Ring {
    int fd;
    OwnedMapping memory;
    uint64_t data_bytes;
    uint64_t head;
    uint64_t tail;
  };
  struct Doubtful { /* a leader that exited */
    uint32_t pid;
    uint64_t check_ns;
    uint64_t created_ns;
  };

  void track();
  void scan();
  void scan_all(ChangeTimes& times);
  bool scan_process(uint32_t pid, ChangeTimes& times);
  size_t merge_rings();
  bool peek(const Ring& ring, uint64_t* time_ns, uint32_t* bytes) const;
  void handle(const uint8_t* record, size_t bytes, uint64_t time_ns);
  void handle_mmap(const uint8_t* body, size_t bytes, uint16_t misc, uint64_t time_ns);
  void handle_fork(uint32_t pid, uint32_t parent_pid, uint64_t time_ns);
  void handle_exec(uint32_t pid, std::string comm, uint64_t time_ns);
  void handle_commands();
  void apply_scan(ScanResult& result);
  void apply_learn(const SampleIdentity& identity);
  void check_doubtful(uint64_t now_ns);
  void trim_images(Process& process, uint64_t now_ns);

  Process* create(uint32_t pid, uint64_t time_ns);
  bool add_mapping(MappingSet& set, const Mapping& mapping);
  MappingSet& own_set(Process& process);
  std::shared_ptr<MappingRun> run_of(MappingSet& set);
  void mark_dirty(Process& process);
  void publish_dirty();
  void publish(Process& process);
  void unpublish(Process& process);
  void queue_scan(Process& process);
  uint64_t boottime_of(uint64_t monotonic_ns);
  void wake();

  std::shared_ptr<MappingArena> arena_;
  int processes_fd_;
  std::shared_ptr<FileTable> files_;
  TableBuilder& builder_;
  Counters& counters_;

  std::vector<Ring> rings_;
  OwnedFd event_;
  std::vector<uint8_t> record_; /* a record, made contiguous */
  std::thread tracker_;
  std::thread scanner_;
  std::atomic<bool> stopping_{false};
  std::atomic<uint64_t> merged_until_ns_{0}; /* all records up to here were handled */

  mutable std::mutex state_mutex_; /* processes_ and what hangs from it */
  std::unordered_map<uint32_t, Process> processes_;
  std::vector<uint32_t> dirty_;
  std::deque<Doubtful> doubtful_;
  uint32_t generation_ = 0;
  int64_t boot_offset_ns_ = 0;

  std::mutex command_mutex_;
  std::vector<SampleIdentity> learn_queue_;
  std::vector<uint32_t> placed_queue_;
  std::vector<ScanResult> scan_results_;

  std::mutex scan_mutex_;
  std::condition_variable scan_wake_;
  std::deque<uint32_t> scan_queue_;
  bool is_full_scan_wanted_ = false;
};

}  // namespace strobe

#endif
