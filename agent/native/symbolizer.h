/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Names frames: of files by FileNamer, of the kernel by kallsyms.
 *
 *   frame words -> file, address -> lines (innermost first) -> names, demangled, in columns
 */
#ifndef STROBE_SYMBOLIZER_H
#define STROBE_SYMBOLIZER_H

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "counters.h"
#include "file_namer.h"
#include "file_table.h"
#include "kallsyms.h"

namespace strobe {

/* file, address and is_final are parallel to the frames asked for. The lines of frame i are line_offset[i] to
 * line_offset[i + 1] of the other columns, innermost first; a frame without a name has none. */
struct SymbolizedFrames {
  std::vector<std::string> strings{""};
  std::vector<uint32_t> line_offset{0};
  std::vector<uint32_t> name;
  std::vector<uint32_t> system_name;
  std::vector<uint32_t> source_file; /* of the function and of line; 0: unknown */
  std::vector<uint32_t> line;        /* 0: unknown */
  std::vector<uint32_t> start_line;  /* 0: unknown */
  std::vector<uint32_t> file;
  std::vector<uint64_t> address;
  std::vector<uint8_t> is_final; /* 0: a better answer may come when it is asked again */
};

/* Thread-safe; calls wait for one another. */
class Symbolizer {
 public:
  /* kallsyms: borrowed descriptor, -1 without. */
  Symbolizer(const NamerOptions& options, std::shared_ptr<FileTable> files, int kallsyms,
             std::shared_ptr<Counters> counters);

  /* pairs: header word and first payload word of each frame. */
  SymbolizedFrames symbolize(const std::vector<uint64_t>& pairs);
  /* As in FileNamer; keys are file ids. */
  std::vector<std::string> take_wanted();
  std::vector<uint32_t> debug_file_arrived(const std::string& build_id);
  /* Memory and evictions by name, for the agent's counters. */
  void add_usage(std::map<std::string, uint64_t, std::less<>>* totals) const;

 private:
  std::shared_ptr<FileTable> files_;
  std::shared_ptr<Counters> counters_;
  mutable std::mutex mutex_;
  FileNamer namer_;
  KernelNamer kernel_;
};

}  // namespace strobe

#endif
