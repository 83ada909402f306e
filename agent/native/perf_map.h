/* SPDX-License-Identifier: Apache-2.0 */
#ifndef STROBE_PERF_MAP_H
#define STROBE_PERF_MAP_H

#include <cstdint>
#include <list>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "patient_thread.h"

namespace strobe {

/*
 * Functions of a perf-map, the text a JIT writes: 'START SIZE name' in hex, a line for each piece of code.
 *
 * The file only grows; code that moves has a new line, and at one address the latest line counts. Names are
 * cut at 512 bytes and have no control characters. Bounds: kMaxBytes of text, kMaxFunctions lines.
 */
class PerfMap {
 public:
  static constexpr uint64_t kMaxBytes = 64u << 20;
  static constexpr size_t kMaxFunctions = 1u << 20;

  /* The next bytes of the file; a line without its end waits for the rest. */
  void append(std::string_view text);
  /* '' when no line covers pc. The view lives until the next append. */
  std::string_view lookup(uint64_t pc);
  size_t memory_bytes() const { return functions_.capacity() * sizeof(Function) + names_.capacity(); }

 private:
  struct Function {
    uint64_t start;
    uint64_t end;
    uint32_t order; /* of its line */
    uint32_t name;
    uint32_t name_bytes;
  };
  void add_line(std::string_view line);

  std::vector<Function> functions_; /* by start and order once sorted */
  std::string names_;
  std::string rest_; /* of a line */
  bool is_sorted_ = true;
};

/*
 * Perf-maps of processes: /tmp/perf-PID.map in the process's own root, under its innermost pid.
 *
 * Everybody may write to /tmp: the file counts only when it is regular, not a link, has one name, and its
 * owner is who the process runs as. Read again where it ended when it has grown, kept after the process's
 * end, all of them within max_bytes, those asked for longest ago dropped.
 */
class PerfMaps {
 public:
  explicit PerfMaps(size_t max_bytes) : max_bytes_(max_bytes) {}

  /* One name for each pc, '' without. Waits up to two seconds: call it from a worker. */
  std::vector<std::string> name(uint32_t pid, uint64_t start_boottime, uint32_t ns_pid,
                                const std::vector<uint64_t>& pcs);

 private:
  struct Process {
    uint32_t pid;
    uint64_t start_boottime;
    uint64_t inode = 0;
    uint64_t read_bytes = 0;
    PerfMap map;
  };
  const size_t max_bytes_;
  std::mutex mutex_;
  PatientThread thread_;
  std::list<Process> processes_; /* the most recently used first */
};

}  // namespace strobe

#endif
