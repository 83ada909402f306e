/* SPDX-License-Identifier: Apache-2.0 */
/*
 * .eh_frame and .debug_frame to rows of the unwind table.
 *
 *   CIE  alignment factors, encoding, first instructions     FDE  [pc, pc + length) and instructions
 *   each row the instructions make becomes (pc, rule): from this pc on, this rule
 *
 * Own parser, one pass over a window of bounded size: a distribution's largest library (130 MB)
 * takes 0.1 s, libdw several seconds. Formats: DWARF 2-5 CFI as in the LSB (".eh_frame") with the
 * augmentations zRLPSB; x86-64 register numbers.
 *
 * The bytes are hostile: every length is checked against what is left, nothing recurses, the state
 * stack, the cache of CIEs, the ranges and the rows are bounded. An entry that does not parse is
 * counted and left out; its code then is a gap.
 */
#ifndef STROBE_EH_FRAME_H
#define STROBE_EH_FRAME_H

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <vector>

#include "../../bpf/profiler/types.h"

namespace strobe {

/* The distinct rules of all files of a host; an index is what a row stores. */
class RuleSet {
 public:
  /* Fixed indices. They are lowest so that, of two rows with one pc, the real rule sorts last and wins. */
  static constexpr uint32_t kInvalid = 0;
  static constexpr uint32_t kFramePointer = 1;
  static constexpr uint32_t kStop = 2;
  static constexpr uint32_t kSignal = 3;
  static constexpr uint32_t kExpression = 4;

  RuleSet();
  /* Nothing when MAX_RULES are taken. */
  std::optional<uint32_t> intern(const unwind_rule& rule);
  const std::vector<unwind_rule>& rules() const { return rules_; }

 private:
  std::vector<unwind_rule> rules_;
  std::vector<uint32_t> slots_; /* open addressing, index + 1, 0 when free */
};

/* A row before it goes to its page: relative pc << 16 | rule index. */
using PackedRow = uint64_t;
inline PackedRow packed_row(uint64_t relative, uint32_t rule) { return relative << 16 | rule; }
inline uint64_t packed_row_pc(PackedRow row) { return row >> 16; }
inline uint32_t packed_row_rule(PackedRow row) { return static_cast<uint32_t>(row & 0xffff); }

/* Code with a known rule: an FDE, or a stretch without one that we know by other means. vaddrs. */
struct CodeRange {
  uint64_t start;
  uint64_t end;
};

struct FrameSection {
  uint64_t vaddr = 0; /* of its first byte; not used for .debug_frame */
  uint64_t size = 0;
  bool is_debug_frame = false;
  bool ends_at_zero = false; /* the size is only a bound: a zero length is the end */
  /* The bytes [offset, offset + length), all of them or nothing; never more than kFrameWindowBytes. */
  std::function<std::optional<std::vector<uint8_t>>(uint64_t offset, uint64_t length)> read;
};
inline constexpr uint64_t kFrameWindowBytes = 1 << 20;

struct FrameLimits {
  size_t max_rows = size_t{1} << 22;
  size_t max_ranges = size_t{1} << 21;
};

enum class FrameOutcome : uint8_t { kParsed, kUnreadable, kRulesFull, kTooLarge };

/* What is gathered for one file. Rows are unsorted and may repeat until frame_rows_finish. */
struct FrameRows {
  uint64_t lowest_vaddr = 0;
  std::vector<PackedRow> rows;
  std::vector<CodeRange> ranges; /* one per entry read */
  uint64_t entries = 0;
  uint64_t malformed = 0;
};

/* is_code: whether a vaddr lies in an executable segment; entries elsewhere are skipped (linkers
 * leave entries of dropped sections at address 0). */
FrameOutcome frame_rows_parse(const FrameSection& section, const std::function<bool(uint64_t)>& is_code,
                              const FrameLimits& limits, RuleSet& rules, FrameRows& out);

/* Sorts the ranges; must precede frame_rows_covers and frame_rows_fill_gaps. */
void frame_rows_sort_ranges(FrameRows& out);
/* The range that holds vaddr, or null. */
const CodeRange* frame_rows_covers(const FrameRows& out, uint64_t vaddr);
/* Start of the first range after vaddr, or limit. */
uint64_t frame_rows_next(const FrameRows& out, uint64_t vaddr, uint64_t limit);

/*
 * Says what lies between the ranges of one executable segment [start, end):
 * under 32 bytes padding, no row; under 4 KiB invalid; larger (V8's builtins, chromium, code built
 * without tables) frame pointers. frame_pointer_gaps: short gaps that are known to keep rbp (crtstuff).
 */
void frame_rows_fill_gaps(FrameRows& out, uint64_t start, uint64_t end,
                          const std::function<bool(const CodeRange& gap)>& keeps_frame_pointer);

/* Sorted by pc, one row per pc, neighbours differ. */
void frame_rows_finish(FrameRows& out);

}  // namespace strobe

#endif
