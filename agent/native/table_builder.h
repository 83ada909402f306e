/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Opens new files and builds their unwind tables, off the tracking thread.
 *
 *   tracker: enqueue(id) -> worker: open, headers -> tracker: on_placed(ids), new runs published
 *   tracker: enqueue_build(id) -> worker: UnwindTables::build -> state READY
 *
 * Opening has a thread of its own: new processes wait for it, and a build can take seconds.
 * Order of builds: first what a sample waits for, each the smallest first. A file above kEagerBytes is built
 * only when a sample waits for it: half of what is mapped on a host never runs, and is most of the bytes.
 *
 * A table becomes READY only after every run that names its file has the right bias: until then BPF
 * says TABLE_PENDING. A file on a dead FUSE or NFS mount can hold a worker forever: one that is
 * busy with an open for longer than kStuckNs is left behind and another takes its place, at most
 * kMaxStuck times.
 */
#ifndef STROBE_TABLE_BUILDER_H
#define STROBE_TABLE_BUILDER_H

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>

#include "counters.h"
#include "file_table.h"
#include "unwind_tables.h"

namespace strobe {

class TableBuilder {
 public:
  /* All three outlive the workers that stop() can end; a stuck one keeps them alive by itself. */
  TableBuilder(std::shared_ptr<UnwindTables> tables, std::shared_ptr<FileTable> files,
               std::shared_ptr<Counters> counters);
  ~TableBuilder();

  /* on_placed: called on a worker for each file whose headers were read or that failed. */
  void start(std::function<void(uint32_t file)> on_placed);
  void stop();

  void enqueue(uint32_t file);
  void enqueue_build(uint32_t file);
  /* A sample waits for this file's table. */
  void demand(uint32_t file);
  /* Replaces a stuck worker. Called now and then by anyone. */
  void watch();

  /* Grows by one with each table that became usable. */
  uint64_t built() const;
  size_t queued() const;

 private:
  struct Shared;
  static void work(std::shared_ptr<Shared> shared, uint64_t worker);
  static void work_builds(std::shared_ptr<Shared> shared);
  void spawn();

  std::shared_ptr<Shared> shared_;
  std::thread thread_; /* opens files */
  std::thread builds_;
  unsigned stuck_ = 0;
};

}  // namespace strobe

#endif
