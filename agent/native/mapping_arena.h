/* SPDX-License-Identifier: Apache-2.0 */
#ifndef STROBE_MAPPING_ARENA_H
#define STROBE_MAPPING_ARENA_H

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <vector>

#include "../../bpf/profiler/types.h"

namespace strobe {

class MappingArena;

/* The executable mappings of a process at one moment, sorted by start, of one generation. Constant.
 * Its place in the arena, if it has one, is given back when the last holder lets go. */
struct MappingRun {
  std::vector<mapping_entry> entries;
  uint32_t generation = 0;
  uint32_t first = 0;
  bool is_stored = false;
  std::shared_ptr<MappingArena> arena;
  ~MappingRun();
};

/*
 * Places of runs in the `mappings` array that BPF reads.
 *
 * A place is reused only kGraceNs after it was given back: a walk that holds an old `processes`
 * entry runs with interrupts off and is over long before, and its generation check is the second
 * guard. Thread-safe.
 */
class MappingArena : public std::enable_shared_from_this<MappingArena> {
 public:
  MappingArena(mapping_entry* entries, uint32_t capacity);
  /* Writes the run; false when there is no room for it. */
  bool store(MappingRun& run);
  void give_back(uint32_t first, uint32_t count);
  uint32_t used() const;

 private:
  void reclaim(uint64_t now_ns);
  struct Returned {
    uint64_t time_ns;
    uint32_t first;
    uint32_t count;
  };
  mapping_entry* entries_;
  mutable std::mutex mutex_;
  std::map<uint32_t, uint32_t> free_; /* first -> count; neighbours are joined */
  std::deque<Returned> returned_;
  uint32_t used_ = 0;
};

}  // namespace strobe

#endif
