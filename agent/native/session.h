/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One run of the profiler over the descriptors that the launcher left: all parts of the agent that
 * are not JavaScript, and nothing of JavaScript.
 */
#ifndef STROBE_SESSION_H
#define STROBE_SESSION_H

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "counters.h"
#include "file_table.h"
#include "mapping_arena.h"
#include "owned.h"
#include "process_metadata.h"
#include "process_tracker.h"
#include "sampler.h"
#include "symbolizer.h"
#include "table_builder.h"
#include "unwind_tables.h"

namespace strobe {

using CounterTotals = std::map<std::string, uint64_t, std::less<>>;

struct SessionHandles {
  std::map<std::string, int> maps;
  std::vector<int> sample_events;
  std::vector<int> side_band_events;
  int kallsyms = -1;
};

struct CollectedWindow {
  std::unique_ptr<Window> window;
  CounterTotals counters; /* of this window */
};

class Session {
 public:
  /* Takes the descriptors over: they are closed with the session and not inherited by children.
   * nullptr: *error is a coded sentence (HANDLES_INVALID, MAP_FAILED), and nothing was taken. */
  static std::shared_ptr<Session> open(const SessionHandles& handles, const NamerOptions& options,
                                       std::string* error);
  ~Session();

  /* False: *error is a coded sentence (SESSION_STARTED, EVENTS_FAILED). */
  bool start(std::string* error);
  void stop();
  CollectedWindow collect();
  Symbolizer& symbolizer() { return *symbolizer_; }
  /* pairs: header word and first payload word of each frame. */
  SymbolizedFrames symbolize(const std::vector<uint64_t>& pairs) { return symbolizer_->symbolize(pairs); }
  /* Id 0 is the kernel. */
  std::vector<FileInfo> files() const;
  CounterTotals counters() const;

 private:
  Session() = default;
  uint64_t map_bytes() const;

  std::vector<OwnedFd> fds_;
  std::vector<int> map_fds_;
  std::vector<int> sample_events_;
  std::vector<int> side_band_events_;

  OwnedMapping mappings_;
  std::shared_ptr<Counters> counters_ = std::make_shared<Counters>();
  std::shared_ptr<UnwindTables> tables_;
  std::shared_ptr<MappingArena> arena_;
  std::shared_ptr<FileTable> files_;
  std::unique_ptr<TableBuilder> builder_;
  std::shared_ptr<ProcessTracker> tracker_;
  std::unique_ptr<ProcessMetadata> metadata_;
  std::unique_ptr<Sampler> sampler_;

  std::mutex lifecycle_mutex_;
  bool is_started_ = false;
  bool is_stopped_ = false;
  std::mutex collect_mutex_;
  CounterTotals last_totals_;
  std::unique_ptr<Symbolizer> symbolizer_;
};

}  // namespace strobe

#endif
