/* SPDX-License-Identifier: Apache-2.0 */
#ifndef STROBE_DWARF_CLIENT_H
#define STROBE_DWARF_CLIENT_H

#include <sys/types.h>

#include <cstdint>
#include <deque>
#include <functional>
#include <optional>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "counters.h"
#include "owned.h"
#include "source_line.h"

namespace strobe {

struct DwarfLimits {
  size_t memory_bytes = 0; /* of the child; 0: never asks */
  uint64_t question_ns = 60'000'000'000;
  uint64_t rest_ns = 60'000'000'000; /* without a question, until the child is let go */
  size_t max_starts = 20;            /* in five minutes */
};

/*
 * Asks strobe-dwarf (dwarf_child.cc) for lines, and lives with what becomes of it.
 *
 *   - It is started with the first question and let go after a minute without one.
 *   - One question is out at a time. An answer that is late is taken by a later call: a file whose index
 *     takes seconds delays no window, its lines come with a later one.
 *   - A child that crashes, answers nonsense, meets its limit of memory or takes too long is
 *     ended, and the file it was asked about is not asked about again after the second time.
 * Counters: dwarf_starts, dwarf_crashes, dwarf_timeouts, dwarf_over_memory, dwarf_files_refused,
 * dwarf_starts_refused, dwarf_answers_dropped, dwarf_questions (addresses asked about).
 * Not thread-safe.
 */
class DwarfClient {
 public:
  /* program: path of strobe-dwarf. */
  DwarfClient(std::string program, const DwarfLimits& limits, Counters& counters)
      : program_(std::move(program)), limits_(limits), counters_(counters) {}
  ~DwarfClient();
  DwarfClient(const DwarfClient&) = delete;
  DwarfClient& operator=(const DwarfClient&) = delete;

  /* One or two open descriptors of a file, borrowed for the call; empty when it cannot be opened. */
  using Open = std::function<std::vector<int>()>;

  /* Lines by address, of those that are known by deadline_ns (CLOCK_MONOTONIC). key names the file for the
   * life of this object. */
  std::unordered_map<uint64_t, SourceLines> lookup(uint32_t key, const std::vector<uint64_t>& addresses,
                                                   const Open& open, uint64_t deadline_ns);
  /* False when it would be in vain to ask about this file (again). */
  bool is_worth_asking(uint32_t key) const;
  /* The file is another one from now on, or has other debug information. */
  void forget(uint32_t key);
  /* Ends a child that has not been asked for a while. */
  void rest();
  /* Private memory of the child in bytes, 0 without one. */
  uint64_t child_bytes() const;
  pid_t child_pid() const { return pid_; }

  /* strobe-dwarf in the folder of this program or addon. */
  static std::string default_program();

 private:
  struct Question {
    uint32_t key;
    bool is_open;
    std::vector<uint64_t> addresses;
    uint64_t asked_ns;
  };
  using Lines = std::unordered_map<uint64_t, SourceLines>;
  bool start();
  void end_child();
  void reap();
  void blame(uint32_t key, const char* counter);
  bool ask(const Question& question, const std::vector<uint8_t>& request, const std::vector<int>& fds);
  bool settle(uint64_t deadline_ns);
  bool take_answer(const Question& question, const std::vector<uint8_t>& answer);

  const std::string program_;
  const DwarfLimits limits_;
  Counters& counters_;
  OwnedFd socket_;
  pid_t pid_ = -1;
  std::vector<pid_t> ended_; /* killed, not gone yet */
  std::optional<Question> question_;
  uint64_t last_asked_ns_ = 0;
  std::deque<uint64_t> starts_ns_;
  std::unordered_set<uint32_t> open_;              /* files that the child holds */
  std::unordered_map<uint32_t, unsigned> strikes_; /* kRefused: never again */
  std::unordered_map<uint32_t, Lines> answers_;    /* not taken yet */
  size_t answer_count_ = 0;
};

}  // namespace strobe

#endif
