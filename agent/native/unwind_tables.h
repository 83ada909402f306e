/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Unwind tables of all files, shared with the BPF program through mmap-able arrays.
 *
 *   file id -> files[id & (MAX_FILES - 1)] -> pages[first_page + (relative >> 16)]
 *           -> rows of one 64 KiB page of code -> rules[rule]
 *
 * relative = vaddr - lowest_vaddr, everywhere. Rows, pages and rules are written by plain stores;
 * the state of the file is stored last, with release order, so a reader that sees FILE_READY sees
 * the table. Nothing is taken back: ids, rows, pages and rules are never reused.
 */
#ifndef STROBE_UNWIND_TABLES_H
#define STROBE_UNWIND_TABLES_H

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "../../bpf/profiler/types.h"

namespace strobe {

class ElfImage;
class RuleSet;
struct FrameRows;

/* Descriptors of the BPF arrays of these names. They stay the caller's. */
struct UnwindTableFds {
  int segments = -1;
  int pages = -1;
  int rules = -1;
  int files = -1;
};

/* Why a file got FILE_FRAME_POINTERS. unwind_reason_name gives the text for counters. */
enum class UnwindReason : uint8_t {
  kNone = 0,     /* it has a table */
  kNoUnwindInfo, /* no .eh_frame and no .debug_frame */
  kGo,           /* a Go binary: frame pointers are kept, its .eh_frame covers only C parts */
  kMalformed,    /* the section could not be read at all */
  kSegmentsFull,
  kPagesFull,
  kRulesFull,
  kFileTooLarge, /* more rows or pages than one file may take */
  kOpenFailed,   /* set by mark_frame_pointers: the file could not be opened or read */
  kCount,
};
const char* unwind_reason_name(UnwindReason reason);

struct BuildResult {
  uint32_t state = FILE_PENDING; /* FILE_READY or FILE_FRAME_POINTERS */
  UnwindReason reason = UnwindReason::kNone;
  uint64_t lowest_vaddr = 0;
  uint64_t entries = 0;           /* FDEs read */
  uint64_t malformed_entries = 0; /* FDEs or CIEs skipped */
  uint64_t rows = 0;
  uint32_t pages = 0;
  uint64_t elapsed_ns = 0; /* CLOCK_MONOTONIC */
};

struct UnwindTableUsage {
  uint64_t rows = 0;
  uint64_t row_capacity = 0;
  uint32_t pages = 0;
  uint32_t rules = 0;
  uint32_t files = 0;
  uint64_t map_bytes = 0;
  uint64_t refused[static_cast<size_t>(UnwindReason::kCount)] = {};
};

class UnwindTables {
 public:
  /* Maps the four arrays; segment_count is max_entries of `segments`.
   * Returns null and a coded sentence (MAP_FAILED: ...) in error when that fails. */
  static std::unique_ptr<UnwindTables> open(const UnwindTableFds& fds, uint32_t segment_count,
                                            std::string* error);
  ~UnwindTables();
  UnwindTables(const UnwindTables&) = delete;
  UnwindTables& operator=(const UnwindTables&) = delete;

  /* A new id in state FILE_PENDING, from 1; 0 when MAX_FILES - 1 ids are taken (counted as
   * files_refused): publish such a mapping with file 0. Thread-safe. */
  uint32_t reserve_file();

  /* Reads the unwind information of the image and publishes the file's table. Worker thread only,
   * once per id. Never throws for hostile input: the file then gets frame pointers and a reason.
   * For the vDSO pass ElfImage::from_memory; its bias is the start of its mapping. */
  BuildResult build(uint32_t file, const ElfImage& image);
  /* For a file that cannot be opened: frame pointers, so that walks can go on through it.
   * lowest_vaddr 0 is right when no program header could be read. Worker thread only. */
  BuildResult mark_frame_pointers(uint32_t file, uint64_t lowest_vaddr, UnwindReason reason);

  /* Look-ups for the late unwinder and tests: bounded, null when out of range. Thread-safe. */
  const unwind_file* file_at(uint32_t slot) const;
  const unwind_page* page_at(uint32_t page) const;
  const unwind_segment* segment_at(uint32_t segment) const;
  const unwind_rule* rule_at(uint32_t rule) const;
  /* State of a file id with acquire order; FILE_PENDING for an id that is not known. */
  uint32_t state_of(uint32_t file) const;

  UnwindTableUsage usage() const;
  uint64_t files_refused() const { return files_refused_.load(std::memory_order_relaxed); }

 private:
  UnwindTables() = default;
  BuildResult build_rows(const ElfImage& image, FrameRows& rows);
  UnwindReason store_rows(uint32_t page_count, const FrameRows& rows, uint32_t* first_page);
  void publish(uint32_t file, const BuildResult& result, uint32_t first_page);

  unwind_segment* segments_ = nullptr;
  unwind_page* pages_ = nullptr;
  unwind_rule* rules_ = nullptr;
  unwind_file* files_ = nullptr;
  uint32_t segment_count_ = 0;
  std::unique_ptr<RuleSet> rule_set_;
  std::atomic<uint64_t> next_row_{0};
  std::atomic<uint32_t> next_page_{0};
  std::atomic<uint32_t> stored_rules_{0};
  std::atomic<uint32_t> next_file_{1};
  std::atomic<uint64_t> files_refused_{0};
  std::atomic<uint64_t> refused_[static_cast<size_t>(UnwindReason::kCount)] = {};
};

}  // namespace strobe

#endif
