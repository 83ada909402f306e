/* SPDX-License-Identifier: Apache-2.0 */
#ifndef STROBE_COUNTERS_H
#define STROBE_COUNTERS_H

#include <cstdint>
#include <map>
#include <mutex>
#include <string>
#include <string_view>

namespace strobe {

/* Counts by name. Names come from the code and from bounded reasons, never from data. Thread-safe. */
class Counters {
 public:
  void add(std::string_view name, uint64_t count = 1) {
    std::lock_guard<std::mutex> lock(mutex_);
    auto found = counts_.find(name);
    if (found == counts_.end())
      counts_.emplace(std::string(name), count);
    else
      found->second += count;
  }
  std::map<std::string, uint64_t, std::less<>> totals() const {
    std::lock_guard<std::mutex> lock(mutex_);
    return counts_;
  }

 private:
  mutable std::mutex mutex_;
  std::map<std::string, uint64_t, std::less<>> counts_;
};

}  // namespace strobe

#endif
