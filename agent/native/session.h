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
#include <unordered_set>
#include <vector>

#include "counters.h"
#include "file_table.h"
#include "kallsyms.h"
#include "mapping_arena.h"
#include "owned.h"
#include "process_metadata.h"
#include "process_tracker.h"
#include "sampler.h"
#include "symbols.h"
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

/* Parallel to the frames asked for. */
struct SymbolizedFrames {
  std::vector<std::string> strings{""};
  std::vector<uint32_t> name;
  std::vector<uint32_t> system_name;
  std::vector<uint32_t> file;
  std::vector<uint64_t> address;
};

struct CollectedWindow {
  std::unique_ptr<Window> window;
  CounterTotals counters; /* of this window */
};

class Session {
 public:
  /* Takes the descriptors over: they are closed with the session and not inherited by children.
   * nullptr: *error is a coded sentence (HANDLES_INVALID, MAP_FAILED), and nothing was taken. */
  static std::shared_ptr<Session> open(const SessionHandles& handles, size_t symbol_cache_bytes,
                                       std::string* error);
  ~Session();

  /* False: *error is a coded sentence (SESSION_STARTED, EVENTS_FAILED). */
  bool start(std::string* error);
  void stop();
  CollectedWindow collect();
  /* pairs: header word and first payload word of each frame. */
  SymbolizedFrames symbolize(const std::vector<uint64_t>& pairs);
  /* Id 0 is the kernel. */
  std::vector<FileInfo> files() const;
  CounterTotals counters() const;

 private:
  Session() = default;
  std::shared_ptr<const SymbolIndex> symbols_of(uint32_t file);
  const KernelSymbols* kernel_symbols();
  uint64_t map_bytes() const;

  std::vector<OwnedFd> fds_;
  std::vector<int> map_fds_;
  std::vector<int> sample_events_;
  std::vector<int> side_band_events_;
  int kallsyms_fd_ = -1;

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
  std::mutex symbol_mutex_;
  std::unique_ptr<SymbolCache> symbol_cache_;
  std::unordered_set<uint32_t> unreadable_files_;
  std::unique_ptr<const KernelSymbols> kernel_symbols_;
  bool is_kallsyms_read_ = false;
};

}  // namespace strobe

#endif
