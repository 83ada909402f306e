/* SPDX-License-Identifier: Apache-2.0 */
#include "go_pclntab.h"

#include <algorithm>
#include <cstring>
#include <map>
#include <span>

namespace strobe {

namespace {

constexpr uint32_t kMagic116 = 0xfffffffa;
constexpr uint32_t kMagic118 = 0xfffffff0;
constexpr uint32_t kMagic120 = 0xfffffff1;
constexpr uint64_t kMaxFunctions = 16u << 20;
constexpr uint64_t kMaxNameBytes = 16u << 10;
/* A table of values by pc has one entry a few instructions: a function of megabytes still fits. */
constexpr uint64_t kMaxPcTableBytes = 1u << 20;
constexpr uint64_t kFirstPcTableBytes = 512;
constexpr uint64_t kMaxRelocations = 4u << 20;
constexpr uint64_t kRelocationChunk = 16384;
constexpr uint64_t kMaxDataBytes = 64u << 20; /* searched for the runtime's moduledata */
constexpr uint64_t kDataChunk = 1u << 20;
constexpr size_t kMaxInlined = 64;
constexpr uint64_t kModuleBytes = 512;
constexpr uint32_t kRelative = kNativeMachine == EM_X86_64 ? R_X86_64_RELATIVE : R_AARCH64_RELATIVE;
/* PCDATA_InlTreeIndex and FUNCDATA_InlTree in every version known. */
constexpr uint32_t kInlineTreeIndex = 2;
constexpr uint32_t kInlineTree = 3;
/* The word of runtime.moduledata that is gofunc, after that of rodata: with go1.20 two counters of coverage
 * came before it, with go1.27 three sizes of types. Where it is another word, neither it nor the one before
 * fit. */
constexpr uint64_t kFunctionDataWords118[] = {38};
constexpr uint64_t kFunctionDataWords120[] = {40, 43};

template <typename T>
T at(const std::vector<uint8_t>& bytes, size_t offset) {
  T value;
  memcpy(&value, bytes.data() + offset, sizeof value);
  return value;
}

const ElfSection* find_table(const ElfImage& image) {
  for (const char* name : {".gopclntab", ".data.rel.ro.gopclntab"}) {
    if (const ElfSection* section = image.find_section(name)) return section;
  }
  return nullptr;
}

template <typename Each>
void each_relocation(const ElfImage& image, Each each) {
  for (const char* name : {".rela.dyn", ".rela"}) {
    const ElfSection* section = image.find_section(name);
    if (section == nullptr || section->type != SHT_RELA) continue;
    const uint64_t count = std::min(section->size / sizeof(Elf64_Rela), kMaxRelocations);
    for (uint64_t first = 0; first < count; first += kRelocationChunk) {
      const uint64_t chunk = std::min(kRelocationChunk, count - first);
      auto bytes = image.read(section->offset + first * sizeof(Elf64_Rela), chunk * sizeof(Elf64_Rela));
      if (!bytes) return;
      for (uint64_t i = 0; i < chunk; i++) {
        const auto one = at<Elf64_Rela>(*bytes, i * sizeof(Elf64_Rela));
        if (ELF64_R_TYPE(one.r_info) == kRelative) each(one.r_offset, static_cast<uint64_t>(one.r_addend));
      }
    }
  }
}

/* Words that the loader writes into a position-independent file, which holds 0 there, by their address. */
std::map<uint64_t, uint64_t> relocated_words(const ElfImage& image, uint64_t from, uint64_t to) {
  std::map<uint64_t, uint64_t> words;
  each_relocation(image, [&](uint64_t at, uint64_t value) {
    if (at >= from && at < to) words[at] = value;
  });
  return words;
}

/* The pointer at vaddr, moved by the loader or not. */
std::optional<uint64_t> pointer_at(const ElfImage& image, const std::map<uint64_t, uint64_t>& relocated,
                                   uint64_t vaddr) {
  const auto found = relocated.find(vaddr);
  if (found != relocated.end()) return found->second;
  auto raw = image.read_vaddr(vaddr, 8);
  if (!raw) return std::nullopt;
  return at<uint64_t>(*raw, 0);
}

bool is_data(const ElfImage& image, uint64_t vaddr) {
  return std::any_of(image.segments().begin(), image.segments().end(), [&](const ElfSegment& segment) {
    return segment.type == PT_LOAD && (segment.flags & PF_X) == 0 && vaddr >= segment.vaddr &&
           vaddr - segment.vaddr < segment.memory_size;
  });
}

/* False when the number does not end within the bytes. */
bool read_varint(const std::vector<uint8_t>& bytes, size_t* position, uint32_t* value) {
  *value = 0;
  for (unsigned shift = 0; shift < 35 && *position < bytes.size(); shift += 7) {
    const uint8_t byte = bytes[(*position)++];
    *value |= static_cast<uint32_t>(byte & 0x7f) << shift;
    if ((byte & 0x80) == 0) return true;
  }
  return false;
}

}  // namespace

std::shared_ptr<const GoTable> GoTable::build(const ElfImage& image, std::string* reason) {
  const ElfSection* section = find_table(image);
  if (section == nullptr || section->type == SHT_NOBITS) return nullptr;
  auto header = image.read(section->offset, std::min<uint64_t>(section->size, 72));
  if (!header || header->size() < 72) {
    *reason = "GO_TABLE_INVALID: the table is cut off";
    return nullptr;
  }
  const auto magic = at<uint32_t>(*header, 0);
  if (magic != kMagic116 && magic != kMagic118 && magic != kMagic120) {
    *reason = "GO_TABLE_VERSION: the table is of a Go before 1.16 or of one not known yet";
    return nullptr;
  }
  std::shared_ptr<GoTable> table(new GoTable());
  table->offset_ = section->offset;
  table->size_ = section->size;
  table->quantum_ = (*header)[6];
  table->has_short_entries_ = magic != kMagic116;
  table->has_start_line_ = magic == kMagic120;
  auto field = [&](size_t index) { return at<uint64_t>(*header, 8 + index * 8); };
  const size_t first = magic == kMagic116 ? 2 : 3;
  table->function_count_ = field(0);
  table->names_ = field(first);
  table->units_ = field(first + 1);
  table->files_ = field(first + 2);
  table->pc_tables_ = field(first + 3);
  table->functions_ = field(first + 4);
  const uint64_t entry_bytes = table->has_short_entries_ ? 8 : 16;
  bool is_inside = true;
  for (uint64_t part : {table->names_, table->units_, table->files_, table->pc_tables_, table->functions_})
    is_inside = is_inside && part < table->size_;
  if (!is_inside || (*header)[7] != 8 || table->quantum_ == 0 || table->function_count_ == 0 ||
      table->function_count_ > kMaxFunctions ||
      table->function_count_ * entry_bytes > table->size_ - table->functions_) {
    *reason = "GO_TABLE_INVALID: the header points outside the table";
    return nullptr;
  }
  if (table->has_short_entries_) {
    table->text_start_ = field(2);
    /* Go 1.26 writes no address there; a position-independent file has it in a relocation. */
    if (table->text_start_ == 0) {
      const uint64_t at = section->vaddr + 8 + 2 * 8;
      const auto words = relocated_words(image, at, at + 1);
      if (!words.empty()) {
        table->text_start_ = words.begin()->second;
      } else if (const ElfSection* code = image.find_section(".text")) {
        table->text_start_ = code->vaddr;
      }
    }
  }
  uint64_t pc = 0, function = 0;
  if (!table->entry(image, 0, &pc, &function) || !image.is_executable(pc)) {
    *reason = "GO_TABLE_RELOCATED: the first function of the table is no code of the file";
    return nullptr;
  }
  if (table->has_short_entries_) table->inline_base_ = table->find_inline_base(image, section->vaddr);
  return table;
}

/* runtime.moduledata starts with the address of the table and that of the names in it. */
uint64_t GoTable::find_inline_base(const ElfImage& image, uint64_t table_vaddr) const {
  const uint64_t names_vaddr = table_vaddr + names_;
  uint64_t module = 0;
  each_relocation(image, [&](uint64_t place, uint64_t value) {
    if (value == table_vaddr && module == 0) module = place;
  });
  uint64_t searched = 0;
  for (const ElfSegment& segment : image.segments()) {
    if (segment.type != PT_LOAD || (segment.flags & PF_W) == 0) continue;
    for (uint64_t from = 0; module == 0 && from < segment.file_size; from += kDataChunk) {
      /* The second word of a pair may lie in the next chunk. */
      const uint64_t length = std::min(kDataChunk + 8, segment.file_size - from);
      if ((searched += length) > kMaxDataBytes) return 0;
      auto bytes = image.read(segment.offset + from, length);
      if (!bytes) return 0;
      for (size_t i = 0; i + 16 <= bytes->size(); i += 8) {
        if (at<uint64_t>(*bytes, i) != table_vaddr || at<uint64_t>(*bytes, i + 8) != names_vaddr) continue;
        module = segment.vaddr + from + i;
        break;
      }
    }
  }
  if (module == 0) return 0;
  const auto moved = relocated_words(image, module, module + kModuleBytes);
  if (pointer_at(image, moved, module + 8) != names_vaddr) return 0;
  for (const uint64_t word : has_start_line_ ? std::span<const uint64_t>(kFunctionDataWords120)
                                             : std::span<const uint64_t>(kFunctionDataWords118)) {
    const auto read_only = pointer_at(image, moved, module + (word - 1) * 8);
    const auto base = pointer_at(image, moved, module + word * 8);
    if (read_only && base && is_data(image, *read_only) && is_data(image, *base) && *base >= *read_only)
      return *base;
  }
  return 0;
}

std::optional<std::vector<uint8_t>> GoTable::bytes(const ElfImage& image, uint64_t at,
                                                   uint64_t length) const {
  if (at > size_ || length > size_ - at) return std::nullopt;
  return image.read(offset_ + at, length);
}

std::optional<uint32_t> GoTable::word(const ElfImage& image, uint64_t position) const {
  auto raw = bytes(image, position, 4);
  if (!raw) return std::nullopt;
  return at<uint32_t>(*raw, 0);
}

std::string GoTable::text(const ElfImage& image, uint64_t position) const {
  for (uint64_t room = 128; position < size_; room *= 4) {
    const uint64_t length = std::min({room, size_ - position, kMaxNameBytes});
    auto raw = bytes(image, position, length);
    if (!raw) return "";
    const size_t end = strnlen(reinterpret_cast<const char*>(raw->data()), length);
    if (end < length || length < room || length == kMaxNameBytes)
      return {reinterpret_cast<const char*>(raw->data()), end};
  }
  return "";
}

/* index may be function_count_: the pc where the last function ends. */
bool GoTable::entry(const ElfImage& image, uint64_t index, uint64_t* pc, uint64_t* function) const {
  if (has_short_entries_) {
    auto raw = bytes(image, functions_ + index * 8, index == function_count_ ? 4 : 8);
    if (!raw) return false;
    *pc = text_start_ + at<uint32_t>(*raw, 0);
    *function = raw->size() == 8 ? at<uint32_t>(*raw, 4) : 0;
    return true;
  }
  auto raw = bytes(image, functions_ + index * 16, index == function_count_ ? 8 : 16);
  if (!raw) return false;
  *pc = at<uint64_t>(*raw, 0);
  *function = raw->size() == 16 ? at<uint64_t>(*raw, 8) : 0;
  return true;
}

std::optional<int64_t> GoTable::value_at(const ElfImage& image, uint64_t table, uint64_t entry_pc,
                                         uint64_t pc) const {
  if (table == 0 || table >= size_ - pc_tables_) return std::nullopt; /* 0: the function has no such table */
  const uint64_t start = pc_tables_ + table;
  for (uint64_t room = kFirstPcTableBytes;; room *= 8) {
    const uint64_t length = std::min({room, size_ - start, kMaxPcTableBytes});
    auto raw = bytes(image, start, length);
    if (!raw) return std::nullopt;
    uint64_t reached = entry_pc;
    int64_t value = -1;
    size_t position = 0;
    for (bool is_first = true;; is_first = false) {
      uint32_t value_delta = 0, pc_delta = 0;
      if (!read_varint(*raw, &position, &value_delta)) break;
      if (value_delta == 0 && !is_first) return std::nullopt;
      if (!read_varint(*raw, &position, &pc_delta)) break;
      value += static_cast<int32_t>((value_delta >> 1) ^ (0U - (value_delta & 1)));
      reached += static_cast<uint64_t>(pc_delta) * quantum_;
      if (pc < reached) return value;
    }
    if (length < room || length == kMaxPcTableBytes) return std::nullopt;
  }
}

std::string GoTable::file_name(const ElfImage& image, uint64_t unit, int64_t number) const {
  if (number < 0 || number > static_cast<int64_t>(size_)) return "";
  auto offset = word(image, units_ + (unit + static_cast<uint64_t>(number)) * 4);
  if (!offset || *offset == UINT32_MAX) return "";
  return text(image, files_ + *offset);
}

struct GoTable::Function {
  uint64_t entry = 0;
  uint64_t end = 0; /* where the next one starts */
  std::string name;
  uint32_t files = 0, lines = 0, unit = 0; /* offsets of tables by pc; of file numbers */
  uint32_t start_line = 0;
  uint32_t inline_indexes = 0; /* table by pc; 0: no inlined calls */
  uint64_t inline_tree = 0;    /* virtual address; 0: not known */
};

bool GoTable::read_function(const ElfImage& image, uint64_t vaddr, Function* function) const {
  uint64_t pc = 0, offset = 0;
  uint64_t low = 0, high = function_count_; /* the last entry whose pc is not above vaddr */
  if (!entry(image, high, &pc, &offset) || vaddr >= pc) return false;
  while (high - low > 1) {
    const uint64_t middle = low + (high - low) / 2;
    if (!entry(image, middle, &pc, &offset)) return false;
    (vaddr < pc ? high : low) = middle;
  }
  uint64_t unused = 0;
  if (!entry(image, low + 1, &function->end, &unused) || !entry(image, low, &pc, &offset) || vaddr < pc)
    return false;
  function->entry = pc;

  /* func: entry (4 or 8 bytes), name, args, deferreturn, pcsp, pcfile, pcln, npcdata, cu, from 1.20 the
   * start line, then 4 bytes of which the last is nfuncdata, the offsets of npcdata tables, and nfuncdata
   * offsets, before 1.18 aligned addresses. */
  const uint64_t entry_bytes = has_short_entries_ ? 4 : 8;
  const uint64_t fixed_bytes = entry_bytes + 8 * 4 + (has_start_line_ ? 4 : 0) + 4;
  auto raw = bytes(image, functions_ + offset, fixed_bytes);
  if (!raw) return false;
  auto field = [&](size_t index) { return at<uint32_t>(*raw, entry_bytes + index * 4); };
  function->name = text(image, names_ + field(0));
  function->files = field(4);
  function->lines = field(5);
  function->unit = field(7);
  if (has_start_line_) function->start_line = static_cast<int32_t>(field(8)) > 0 ? field(8) : 0;
  const uint64_t pc_tables = field(6);
  const uint32_t data_count = (*raw)[fixed_bytes - 1];
  if (pc_tables > kInlineTreeIndex && pc_tables < size_) {
    const uint64_t after_fixed = functions_ + offset + fixed_bytes;
    function->inline_indexes = word(image, after_fixed + kInlineTreeIndex * 4).value_or(0);
    if (function->inline_indexes != 0 && data_count > kInlineTree) {
      uint64_t data = after_fixed + pc_tables * 4;
      if (has_short_entries_) {
        const auto tree = word(image, data + kInlineTree * 4);
        if (tree && *tree != UINT32_MAX && inline_base_ != 0) function->inline_tree = inline_base_ + *tree;
      } else {
        data = (data + 7) & ~uint64_t{7};
        if (auto tree = bytes(image, data + kInlineTree * 8, 8))
          function->inline_tree = at<uint64_t>(*tree, 0);
      }
    }
  }
  return !function->name.empty();
}

/* An entry of the inline tree: before 1.20 parent, kind, file, line, name, parentPc; from then on kind, name,
 * parentPc, start line. */
std::optional<SourceLine> GoTable::read_inlined(const ElfImage& image, const Function& function,
                                                int64_t index, uint64_t* parent_pc) const {
  const uint64_t size = has_start_line_ ? 16 : 20;
  if (function.inline_tree == 0 || index > UINT16_MAX) return std::nullopt;
  auto raw = image.read_vaddr(function.inline_tree + static_cast<uint64_t>(index) * size, size);
  if (!raw) return std::nullopt;
  const auto name = at<uint32_t>(*raw, has_start_line_ ? 4 : 12);
  *parent_pc = function.entry + at<uint32_t>(*raw, has_start_line_ ? 8 : 16);
  if (*parent_pc < function.entry || *parent_pc >= function.end) return std::nullopt;
  SourceLine line;
  line.function = text(image, names_ + name);
  if (has_start_line_) {
    const auto start = at<int32_t>(*raw, 12);
    line.start_line = start > 0 ? static_cast<uint32_t>(start) : 0;
  }
  if (line.function.empty()) return std::nullopt;
  return line;
}

SourceLines GoTable::lookup(const ElfImage& image, uint64_t vaddr) const {
  Function function;
  SourceLines lines;
  if (!read_function(image, vaddr, &function)) return lines;
  uint64_t pc = vaddr;
  bool is_known = true;
  auto place = [&](SourceLine line) {
    if (auto number = value_at(image, function.files, function.entry, pc))
      line.file = file_name(image, function.unit, *number);
    const auto number = value_at(image, function.lines, function.entry, pc);
    if (number && *number > 0 && *number <= INT32_MAX) line.line = static_cast<uint32_t>(*number);
    if (line.start_line != 0) line.start_file = line.file;
    lines.push_back(std::move(line));
  };
  while (function.inline_indexes != 0 && lines.size() < kMaxInlined) {
    const auto index = value_at(image, function.inline_indexes, function.entry, pc);
    if (!index || *index < 0) break;
    uint64_t parent_pc = 0;
    auto inlined = read_inlined(image, function, *index, &parent_pc);
    if (!inlined) {
      is_known = false;
      break;
    }
    place(std::move(*inlined));
    pc = parent_pc;
  }
  SourceLine outermost;
  outermost.function = function.name;
  outermost.start_line = function.start_line;
  if (is_known) {
    place(std::move(outermost));
  } else {
    /* The line here is of an inlined call that cannot be named; the function's file is that of its entry. */
    pc = function.entry;
    place(std::move(outermost));
    lines.back().line = 0;
  }
  return lines;
}

}  // namespace strobe
