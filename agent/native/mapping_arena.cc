/* SPDX-License-Identifier: Apache-2.0 */
#include "mapping_arena.h"

#include <iterator>

#include "owned.h"

namespace strobe {

namespace {
constexpr uint64_t kGraceNs = 1'000'000'000ULL;
}

MappingRun::~MappingRun() {
  if (is_stored) arena->give_back(first, static_cast<uint32_t>(entries.size()));
}

MappingArena::MappingArena(mapping_entry* entries, uint32_t capacity) : entries_(entries) {
  free_.emplace(0, capacity);
}

void MappingArena::reclaim(uint64_t now_ns) {
  while (!returned_.empty() && now_ns - returned_.front().time_ns >= kGraceNs) {
    auto [time_ns, first, count] = returned_.front();
    returned_.pop_front();
    auto next = free_.lower_bound(first);
    if (next != free_.end() && first + count == next->first) {
      count += next->second;
      next = free_.erase(next);
    }
    if (next != free_.begin()) {
      auto before = std::prev(next);
      if (before->first + before->second == first) {
        before->second += count;
        continue;
      }
    }
    free_.emplace(first, count);
  }
}

bool MappingArena::store(MappingRun& run) {
  uint32_t count = static_cast<uint32_t>(run.entries.size());
  if (run.is_stored || count == 0) return true;
  std::lock_guard<std::mutex> lock(mutex_);
  reclaim(clock_ns(CLOCK_MONOTONIC));
  for (auto place = free_.begin(); place != free_.end(); ++place) {
    auto [first, room] = *place;
    if (room < count) continue;
    free_.erase(place);
    if (room > count) free_.emplace(first + count, room - count);
    for (uint32_t i = 0; i < count; i++) entries_[first + i] = run.entries[i];
    /* The `processes` entry that names the run is written after this by a system call, which links
     * it with release order. */
    run.first = first;
    run.arena = shared_from_this();
    run.is_stored = true;
    used_ += count;
    return true;
  }
  return false;
}

void MappingArena::give_back(uint32_t first, uint32_t count) {
  std::lock_guard<std::mutex> lock(mutex_);
  returned_.push_back({clock_ns(CLOCK_MONOTONIC), first, count});
  used_ -= count;
}

uint32_t MappingArena::used() const {
  std::lock_guard<std::mutex> lock(mutex_);
  return used_;
}

}  // namespace strobe
