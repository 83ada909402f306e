/* SPDX-License-Identifier: Apache-2.0 */
#include "unwind_tables.h"

#include <sys/mman.h>
#include <time.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "eh_frame.h"
#include "elf_image.h"

namespace strobe {
namespace {

/* One file may take this much of what all share. libchdb, 566 MB, is the largest seen: 5.6 M rows. */
constexpr uint32_t kMaxFilePages = MAX_PAGES / 4;
constexpr uint64_t kStubBytes = 4096; /* .init, .fini: a few instructions */
/* ld.so's _start runs on into code that ends within this many bytes; neither has an entry. */
constexpr uint64_t kEntryBytes = 128;

uint64_t now_ns() {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<uint64_t>(now.tv_sec) * 1000000000u + static_cast<uint64_t>(now.tv_nsec);
}

template <typename T>
T* map_array(int fd, size_t count, const char* name, std::string* error) {
  void* at = mmap(nullptr, count * sizeof(T), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (at == MAP_FAILED) {
    *error = std::string("MAP_FAILED: cannot map the array \"") + name + "\": " + std::strerror(errno);
    return nullptr;
  }
  return static_cast<T*>(at);
}

template <typename T>
void unmap_array(T* at, size_t count) {
  if (at != nullptr) munmap(at, count * sizeof(T));
}

std::vector<CodeRange> code_segments(const ElfImage& image) {
  std::vector<CodeRange> code;
  for (const ElfSegment& segment : image.segments()) {
    if (segment.type != PT_LOAD || !(segment.flags & PF_X)) continue;
    uint64_t end = segment.vaddr + segment.file_size;
    if (end > segment.vaddr && segment.vaddr >= image.lowest_vaddr()) code.push_back({segment.vaddr, end});
  }
  std::sort(code.begin(), code.end(),
            [](const CodeRange& a, const CodeRange& b) { return a.start < b.start; });
  return code;
}

FrameSection section_of(const ElfImage& image, const ElfSection& section, bool is_debug_frame) {
  FrameSection frames;
  frames.vaddr = section.vaddr;
  frames.size = section.size;
  frames.is_debug_frame = is_debug_frame;
  uint64_t base = section.offset;
  frames.read = [&image, base](uint64_t offset, uint64_t length) -> std::optional<std::vector<uint8_t>> {
    if (offset > UINT64_MAX - base) return std::nullopt;
    return image.read(base + offset, length);
  };
  return frames;
}

/* Without section headers the segment PT_GNU_EH_FRAME points to the frames: version 1, the encoding
 * of the pointer, two more encodings, the pointer (LSB, .eh_frame_hdr). */
std::optional<FrameSection> section_by_segment(const ElfImage& image) {
  for (const ElfSegment& segment : image.segments()) {
    if (segment.type != PT_GNU_EH_FRAME) continue;
    auto header = image.read_vaddr(segment.vaddr, 8);
    constexpr uint8_t kPcRelativeSigned4 = 0x1b;
    if (!header || (*header)[0] != 1 || (*header)[1] != kPcRelativeSigned4) return std::nullopt;
    int32_t distance;
    std::memcpy(&distance, header->data() + 4, sizeof(distance));
    uint64_t start = segment.vaddr + 4 + static_cast<uint64_t>(static_cast<int64_t>(distance));
    for (const ElfSegment& load : image.segments()) {
      if (load.type != PT_LOAD || start < load.vaddr || start - load.vaddr >= load.file_size) continue;
      FrameSection frames;
      frames.vaddr = start;
      frames.size = load.file_size - (start - load.vaddr);
      frames.ends_at_zero = true;
      frames.read = [&image, start](uint64_t offset, uint64_t length) {
        return image.read_vaddr(start + offset, length);
      };
      return frames;
    }
  }
  return std::nullopt;
}

uint32_t rule_of_offset(RuleSet& rules, int32_t cfa_offset) {
  unwind_rule rule{};
  rule.kind = RULE_REG;
  rule.cfa_reg = 7;
  rule.cfa_offset = cfa_offset;
  return rules.intern(rule).value_or(RuleSet::kInvalid);
}

/* Rows for code that carries no entry but whose shape is fixed. */
class Synthesizer {
 public:
  Synthesizer(const ElfImage& image, RuleSet& rules, FrameRows& out)
      : image_(image), rules_(rules), out_(out) {}

  void run() {
    for (const char* name : {".plt.sec", ".plt.got"}) add_flat(name);
    add_plt(".plt");
    add_plt(".iplt");
    add_stub(".init");
    add_stub(".fini");
    add_entry();
    out_.ranges.insert(out_.ranges.end(), added_.begin(), added_.end());
    frame_rows_sort_ranges(out_);
  }

 private:
  const ElfSection* uncovered(const char* name) const {
    const ElfSection* section = image_.find_section(name);
    if (section == nullptr || section->size == 0 || section->vaddr < out_.lowest_vaddr) return nullptr;
    uint64_t end = section->vaddr + section->size;
    if (end < section->vaddr || end - out_.lowest_vaddr > FRAME_VADDR_MASK) return nullptr;
    if (!image_.is_executable(section->vaddr) || !image_.is_executable(end - 1)) return nullptr;
    if (frame_rows_covers(out_, section->vaddr) != nullptr) return nullptr;
    return section;
  }

  void row(uint64_t vaddr, uint32_t rule) {
    out_.rows.push_back(packed_row(vaddr - out_.lowest_vaddr, rule));
  }

  /* `jmp *slot` with nothing pushed. */
  void add_flat(const char* name) {
    const ElfSection* section = uncovered(name);
    if (section == nullptr) return;
    row(section->vaddr, rule_of_offset(rules_, 8));
    added_.push_back({section->vaddr, section->vaddr + section->size});
  }

  /* lld writes no entry for it. First slot: entered with the index pushed, pushes once more;
   * the others: jmp (6 bytes), push (5), jmp; with IBT endbr64 (4), push (5), jmp. */
  void add_plt(const char* name) {
    const ElfSection* section = uncovered(name);
    if (section == nullptr) return;
    constexpr uint8_t kEndbr64[4] = {0xf3, 0x0f, 0x1e, 0xfa};
    auto slot = image_.read_vaddr(section->vaddr + 16, sizeof(kEndbr64));
    unwind_rule rule{};
    rule.kind = RULE_PLT;
    rule.cfa_reg = 7;
    rule.cfa_offset2 = slot && std::memcmp(slot->data(), kEndbr64, sizeof(kEndbr64)) == 0 ? 9 : 11;
    row(section->vaddr, rule_of_offset(rules_, 16));
    row(section->vaddr + 6, rule_of_offset(rules_, 24));
    row(section->vaddr + 16, rules_.intern(rule).value_or(RuleSet::kInvalid));
    added_.push_back({section->vaddr, section->vaddr + std::max<uint64_t>(section->size, 17)});
  }

  /* crti.o and crtn.o: `sub $8,%rsp`, calls, `add $8,%rsp`, `ret`. */
  void add_stub(const char* name) {
    const ElfSection* section = uncovered(name);
    if (section == nullptr || section->size > kStubBytes) return;
    auto code = image_.read_vaddr(section->vaddr, section->size);
    if (!code) return;
    constexpr uint8_t kSub[4] = {0x48, 0x83, 0xec, 0x08}, kAdd[4] = {0x48, 0x83, 0xc4, 0x08};
    auto sub = std::search(code->begin(), code->end(), std::begin(kSub), std::end(kSub));
    auto add = std::search(sub, code->end(), std::begin(kAdd), std::end(kAdd));
    row(section->vaddr, rule_of_offset(rules_, 8));
    if (sub != code->end())
      row(section->vaddr + static_cast<uint64_t>(sub - code->begin()) + 4, rule_of_offset(rules_, 16));
    if (add != code->end())
      row(section->vaddr + static_cast<uint64_t>(add - code->begin()) + 4, rule_of_offset(rules_, 8));
    added_.push_back({section->vaddr, section->vaddr + section->size});
  }

  /* The root of every stack, whether or not its author wrote an entry (ld.so did not). */
  void add_entry() {
    uint64_t entry = image_.entry();
    if (entry < out_.lowest_vaddr || !image_.is_executable(entry) ||
        frame_rows_covers(out_, entry) != nullptr)
      return;
    uint64_t end = frame_rows_next(out_, entry, entry + kEntryBytes);
    row(entry, RuleSet::kStop);
    added_.push_back({entry, end});
  }

  const ElfImage& image_;
  RuleSet& rules_;
  FrameRows& out_;
  std::vector<CodeRange> added_;
};

UnwindReason reason_of(FrameOutcome outcome) {
  switch (outcome) {
    case FrameOutcome::kParsed:
      return UnwindReason::kNone;
    case FrameOutcome::kUnreadable:
      return UnwindReason::kMalformed;
    case FrameOutcome::kRulesFull:
      return UnwindReason::kRulesFull;
    case FrameOutcome::kTooLarge:
      return UnwindReason::kFileTooLarge;
  }
  return UnwindReason::kMalformed;
}

}  // namespace

const char* unwind_reason_name(UnwindReason reason) {
  switch (reason) {
    case UnwindReason::kNone:
      return "none";
    case UnwindReason::kNoUnwindInfo:
      return "no_unwind_info";
    case UnwindReason::kGo:
      return "go";
    case UnwindReason::kMalformed:
      return "malformed";
    case UnwindReason::kSegmentsFull:
      return "segments_full";
    case UnwindReason::kPagesFull:
      return "pages_full";
    case UnwindReason::kRulesFull:
      return "rules_full";
    case UnwindReason::kFileTooLarge:
      return "file_too_large";
    case UnwindReason::kOpenFailed:
      return "open_failed";
    case UnwindReason::kCount:
      break;
  }
  return "unknown";
}

std::unique_ptr<UnwindTables> UnwindTables::open(const UnwindTableFds& fds, uint32_t segment_count,
                                                 std::string* error) {
  if (segment_count == 0 || segment_count > MAX_SEGMENTS) {
    *error = "MAP_FAILED: " + std::to_string(segment_count) + " segments, the limit is " +
             std::to_string(MAX_SEGMENTS);
    return nullptr;
  }
  std::unique_ptr<UnwindTables> tables(new UnwindTables());
  tables->segment_count_ = segment_count;
  tables->rule_set_ = std::make_unique<RuleSet>();
  tables->segments_ = map_array<unwind_segment>(fds.segments, segment_count, "segments", error);
  if (tables->segments_ == nullptr) return nullptr;
  tables->pages_ = map_array<unwind_page>(fds.pages, MAX_PAGES, "pages", error);
  if (tables->pages_ == nullptr) return nullptr;
  tables->rules_ = map_array<unwind_rule>(fds.rules, MAX_RULES, "rules", error);
  if (tables->rules_ == nullptr) return nullptr;
  tables->files_ = map_array<unwind_file>(fds.files, MAX_FILES, "files", error);
  if (tables->files_ == nullptr) return nullptr;
  return tables;
}

UnwindTables::~UnwindTables() {
  unmap_array(segments_, segment_count_);
  unmap_array(pages_, MAX_PAGES);
  unmap_array(rules_, MAX_RULES);
  unmap_array(files_, MAX_FILES);
}

uint32_t UnwindTables::reserve_file() {
  uint32_t id = next_file_.load(std::memory_order_relaxed);
  do {
    if (id >= MAX_FILES) {
      files_refused_.fetch_add(1, std::memory_order_relaxed);
      return 0;
    }
  } while (!next_file_.compare_exchange_weak(id, id + 1, std::memory_order_relaxed));
  unwind_file& file = files_[id & (MAX_FILES - 1)];
  file.first_page = 0;
  file.page_count = 0;
  file.lowest_vaddr = 0;
  std::atomic_ref<uint32_t>(file.state).store(FILE_PENDING, std::memory_order_release);
  std::atomic_ref<uint32_t>(file.id).store(id, std::memory_order_release);
  return id;
}

void UnwindTables::publish(uint32_t file, const BuildResult& result, uint32_t first_page) {
  unwind_file& entry = files_[file & (MAX_FILES - 1)];
  entry.first_page = first_page;
  entry.page_count = result.pages;
  entry.lowest_vaddr = result.lowest_vaddr;
  if (result.reason != UnwindReason::kNone)
    refused_[static_cast<size_t>(result.reason)].fetch_add(1, std::memory_order_relaxed);
  std::atomic_ref<uint32_t>(entry.state).store(result.state, std::memory_order_release);
}

BuildResult UnwindTables::mark_frame_pointers(uint32_t file, uint64_t lowest_vaddr, UnwindReason reason) {
  BuildResult result;
  result.state = FILE_FRAME_POINTERS;
  result.reason = reason;
  result.lowest_vaddr = lowest_vaddr;
  publish(file, result, 0);
  return result;
}

BuildResult UnwindTables::build(uint32_t file, const ElfImage& image) {
  uint64_t start_ns = now_ns();
  FrameRows rows;
  BuildResult result = build_rows(image, rows);
  uint32_t first_page = 0;
  if (result.reason == UnwindReason::kNone) result.reason = store_rows(result.pages, rows, &first_page);
  result.state = result.reason == UnwindReason::kNone ? FILE_READY : FILE_FRAME_POINTERS;
  if (result.state != FILE_READY) result.pages = 0;
  publish(file, result, first_page);
  result.elapsed_ns = now_ns() - start_ns;
  return result;
}

/* The sorted rows of an image; reason kNone when they can be stored. */
BuildResult UnwindTables::build_rows(const ElfImage& image, FrameRows& rows) {
  BuildResult result;
  result.lowest_vaddr = image.lowest_vaddr();
  rows.lowest_vaddr = image.lowest_vaddr();
  if (image.is_go()) {
    result.reason = UnwindReason::kGo;
    return result;
  }
  std::vector<CodeRange> code = code_segments(image);
  if (code.empty()) {
    result.reason = UnwindReason::kNoUnwindInfo;
    return result;
  }
  uint64_t last_page = (code.back().end - 1 - rows.lowest_vaddr) >> 16;
  if (last_page >= kMaxFilePages) {
    result.reason = UnwindReason::kFileTooLarge;
    return result;
  }
  result.pages = static_cast<uint32_t>(last_page) + 1;

  FrameLimits limits;
  limits.max_rows = size_t{segment_count_} * ROWS_PER_SEGMENT / 4 * 3;
  auto is_code = [&](uint64_t vaddr) { return image.is_executable(vaddr); };
  FrameOutcome outcome = FrameOutcome::kParsed;
  bool found = false;
  auto parse = [&](const FrameSection& section) {
    found = true;
    outcome = frame_rows_parse(section, is_code, limits, *rule_set_, rows);
  };
  const ElfSection* eh_frame = image.find_section(".eh_frame");
  if (eh_frame != nullptr && eh_frame->type != SHT_NOBITS && eh_frame->size > 0) {
    parse(section_of(image, *eh_frame, false));
  } else if (auto section = section_by_segment(image)) {
    parse(*section);
  }
  if (rows.entries == 0 && outcome != FrameOutcome::kRulesFull) {
    const ElfSection* debug_frame = image.find_section(".debug_frame");
    if (debug_frame != nullptr && debug_frame->type != SHT_NOBITS && !(debug_frame->flags & SHF_COMPRESSED))
      parse(section_of(image, *debug_frame, true));
  }
  result.entries = rows.entries;
  result.malformed_entries = rows.malformed;
  if (outcome != FrameOutcome::kParsed)
    result.reason = reason_of(outcome);
  else if (rows.entries == 0)
    result.reason = found && rows.malformed > 0 ? UnwindReason::kMalformed : UnwindReason::kNoUnwindInfo;
  if (result.reason != UnwindReason::kNone) return result;

  frame_rows_sort_ranges(rows);
  Synthesizer(image, *rule_set_, rows).run();
  /* crtstuff's functions (frame_dummy, __do_global_dtors_aux) have no entry, keep rbp where they call,
   * and lie before the first function of .text or behind _start. */
  const ElfSection* text = image.find_section(".text");
  const CodeRange* entry = frame_rows_covers(rows, image.entry());
  uint64_t text_start = text != nullptr ? text->vaddr : 0;
  uint64_t entry_end = entry != nullptr ? entry->end : 0;
  auto keeps_frame_pointer = [&](const CodeRange& gap) {
    return (gap.start <= text_start && text_start < gap.end) || (entry_end != 0 && gap.start == entry_end);
  };
  for (const CodeRange& segment : code)
    frame_rows_fill_gaps(rows, segment.start, segment.end, keeps_frame_pointer);
  frame_rows_finish(rows);
  result.rows = rows.rows.size();
  return result;
}

/* Rows of a page stand together in one segment; a page without a row at its start repeats the last
 * rule before it, so that a look-up needs no other page. */
UnwindReason UnwindTables::store_rows(uint32_t page_count, const FrameRows& rows, uint32_t* first_page) {
  uint32_t base = next_page_.load(std::memory_order_relaxed);
  if (page_count > MAX_PAGES - base) return UnwindReason::kPagesFull;
  uint64_t capacity = uint64_t{segment_count_} * ROWS_PER_SEGMENT;
  auto walk = [&](uint64_t next_row, auto&& put) -> std::optional<uint64_t> {
    size_t row = 0;
    for (uint32_t page = 0; page < page_count; page++) {
      uint64_t start = uint64_t{page} << 16, end = start + 0x10000;
      size_t after = row;
      while (after < rows.rows.size() && packed_row_pc(rows.rows[after]) < end) after++;
      bool carries = row > 0 && (after == row || packed_row_pc(rows.rows[row]) > start);
      uint64_t count = after - row + (carries ? 1 : 0);
      if (next_row % ROWS_PER_SEGMENT + count > ROWS_PER_SEGMENT)
        next_row = (next_row / ROWS_PER_SEGMENT + 1) * ROWS_PER_SEGMENT;
      if (next_row + count > capacity) return std::nullopt;
      put(page, next_row, count, row, after, carries);
      next_row += count;
      row = after;
    }
    return next_row;
  };
  uint64_t first_row = next_row_.load(std::memory_order_relaxed);
  auto end_row = walk(first_row, [](uint32_t, uint64_t, uint64_t, size_t, size_t, bool) {});
  if (!end_row) return UnwindReason::kSegmentsFull;

  const auto& known = rule_set_->rules();
  uint32_t stored = stored_rules_.load(std::memory_order_relaxed);
  for (; stored < known.size(); stored++) rules_[stored] = known[stored];
  stored_rules_.store(stored, std::memory_order_relaxed);

  walk(first_row, [&](uint32_t page, uint64_t at, uint64_t count, size_t row, size_t after, bool carries) {
    pages_[base + page] = {static_cast<uint32_t>(at), static_cast<uint32_t>(count)};
    if (count == 0) return;
    uint32_t* to = &segments_[at / ROWS_PER_SEGMENT].row[at % ROWS_PER_SEGMENT];
    if (carries) *to++ = packed_row_rule(rows.rows[row - 1]) << 16;
    for (size_t i = row; i < after; i++)
      *to++ =
          packed_row_rule(rows.rows[i]) << 16 | static_cast<uint32_t>(packed_row_pc(rows.rows[i]) & 0xffff);
  });
  next_row_.store(*end_row, std::memory_order_relaxed);
  next_page_.store(base + page_count, std::memory_order_relaxed);
  *first_page = base;
  return UnwindReason::kNone;
}

const unwind_file* UnwindTables::file_at(uint32_t slot) const {
  return slot < MAX_FILES ? &files_[slot] : nullptr;
}
const unwind_page* UnwindTables::page_at(uint32_t page) const {
  return page < MAX_PAGES ? &pages_[page] : nullptr;
}
const unwind_rule* UnwindTables::rule_at(uint32_t rule) const {
  return rule < MAX_RULES ? &rules_[rule] : nullptr;
}
const unwind_segment* UnwindTables::segment_at(uint32_t segment) const {
  return segment < segment_count_ ? &segments_[segment] : nullptr;
}

uint32_t UnwindTables::state_of(uint32_t file) const {
  unwind_file& entry = files_[file & (MAX_FILES - 1)];
  uint32_t state = std::atomic_ref<uint32_t>(entry.state).load(std::memory_order_acquire);
  return entry.id == file ? state : static_cast<uint32_t>(FILE_PENDING);
}

UnwindTableUsage UnwindTables::usage() const {
  UnwindTableUsage usage;
  usage.rows = next_row_.load(std::memory_order_relaxed);
  usage.row_capacity = uint64_t{segment_count_} * ROWS_PER_SEGMENT;
  usage.pages = next_page_.load(std::memory_order_relaxed);
  usage.rules = stored_rules_.load(std::memory_order_relaxed);
  usage.files = next_file_.load(std::memory_order_relaxed) - 1;
  usage.map_bytes = uint64_t{segment_count_} * sizeof(unwind_segment) +
                    uint64_t{MAX_PAGES} * sizeof(unwind_page) + uint64_t{MAX_RULES} * sizeof(unwind_rule) +
                    uint64_t{MAX_FILES} * sizeof(unwind_file);
  for (size_t i = 0; i < static_cast<size_t>(UnwindReason::kCount); i++)
    usage.refused[i] = refused_[i].load(std::memory_order_relaxed);
  return usage;
}

}  // namespace strobe
