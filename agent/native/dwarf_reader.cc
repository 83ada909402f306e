/* SPDX-License-Identifier: Apache-2.0 */
#include "dwarf_reader.h"

#include <dwarf.h>
#include <gelf.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <filesystem>

#include "dwarf_messages.h"

namespace strobe {

namespace {

constexpr size_t kMaxUnits = 4u << 20;
constexpr size_t kMaxRanges = 16u << 20;
constexpr unsigned kMaxDepth = 256; /* compilers nest some 40 deep */
constexpr size_t kMaxNameBytes = 16u << 10;
constexpr size_t kMaxFileBytes = 4u << 10;
constexpr size_t kMaxLines = 256;
/* Ranges that start before an address and end before it too may stand between it and the one that holds it.
 */
constexpr size_t kMaxStepsBack = 64;

std::string bounded(const char* text, size_t limit) {
  return text == nullptr ? std::string() : std::string(text, strnlen(text, limit));
}

/* libdw leaves names of files in relative folders relative; they count from where the unit was compiled. */
std::string whole_path(Dwarf_Die* unit, const char* name) {
  std::string path = bounded(name, kMaxFileBytes);
  if (path.empty()) return path;
  Dwarf_Attribute memory;
  Dwarf_Attribute* attribute = dwarf_attr(unit, DW_AT_comp_dir, &memory);
  const std::string folder = attribute == nullptr ? "" : bounded(dwarf_formstring(attribute), kMaxFileBytes);
  if (path[0] != '/' && !folder.empty() && !path.starts_with(folder + "/")) path = folder + "/" + path;
  return std::filesystem::path(path).lexically_normal().string();
}

/* The name of file number `index` of the unit that the attribute stands in. */
std::string file_of(Dwarf_Attribute* attribute) {
  Dwarf_Word index = 0;
  if (dwarf_formudata(attribute, &index) != 0) return "";
  Dwarf_Die unit;
  Dwarf_Half version = 0;
  if (dwarf_cu_die(attribute->cu, &unit, &version, nullptr, nullptr, nullptr, nullptr, nullptr) == nullptr)
    return "";
  /* Before DWARF 5 files count from 1 and 0 is none; from 5 on 0 is the unit's own file. */
  if (index == 0 && version < 5) return "";
  Dwarf_Files* files = nullptr;
  size_t count = 0;
  if (dwarf_getsrcfiles(&unit, &files, &count) != 0 || index >= count) return "";
  return whole_path(&unit, dwarf_filesrc(files, index, nullptr, nullptr));
}

uint32_t number_of(Dwarf_Attribute* attribute) {
  Dwarf_Word value = 0;
  if (attribute == nullptr || dwarf_formudata(attribute, &value) != 0) return 0;
  return value > UINT32_MAX ? 0 : static_cast<uint32_t>(value);
}

std::string text_of(Dwarf_Die* die, unsigned name) {
  Dwarf_Attribute memory;
  Dwarf_Attribute* attribute = dwarf_attr_integrate(die, name, &memory);
  return attribute == nullptr ? "" : bounded(dwarf_formstring(attribute), kMaxNameBytes);
}

/* Names of a function and where it starts; the abstract one it was made of is followed. */
SourceLine describe(Dwarf_Die* die) {
  SourceLine line;
  line.linkage_name = text_of(die, DW_AT_linkage_name);
  if (line.linkage_name.empty()) line.linkage_name = text_of(die, DW_AT_MIPS_linkage_name);
  line.function = text_of(die, DW_AT_name);
  Dwarf_Attribute memory;
  line.start_line = number_of(dwarf_attr_integrate(die, DW_AT_decl_line, &memory));
  if (dwarf_attr_integrate(die, DW_AT_decl_file, &memory) != nullptr) line.start_file = file_of(&memory);
  return line;
}

bool has_ranges(Dwarf_Die* die) {
  return dwarf_hasattr(die, DW_AT_low_pc) != 0 || dwarf_hasattr(die, DW_AT_ranges) != 0;
}

/* The inlined calls below die that hold vaddr, outermost first. Blocks may overlap, of which one has the
 * call. */
void collect_inlined(Dwarf_Die* die, uint64_t vaddr, unsigned depth, std::vector<Dwarf_Die>* calls) {
  Dwarf_Die child;
  if (depth > kMaxDepth || dwarf_child(die, &child) != 0) return;
  const size_t before = calls->size();
  do {
    const int tag = dwarf_tag(&child);
    if (tag == DW_TAG_inlined_subroutine) {
      if (dwarf_haspc(&child, vaddr) <= 0) continue;
      calls->push_back(child);
    } else if (tag == DW_TAG_lexical_block || tag == DW_TAG_try_block || tag == DW_TAG_catch_block) {
      if (has_ranges(&child) && dwarf_haspc(&child, vaddr) <= 0) continue;
    } else {
      continue;
    }
    collect_inlined(&child, vaddr, depth + 1, calls);
    if (calls->size() != before) return;
  } while (dwarf_siblingof(&child, &child) == 0);
}

/* libdw cannot go on without memory, and leaving it by an exception is not what it was written for. */
[[noreturn]] void out_of_memory() { _exit(kDwarfExitMemory); }

Dwarf* begin(int fd, Elf** elf, std::string* reason) {
  if (elf_version(EV_CURRENT) == EV_NONE) return nullptr;
  *elf = elf_begin(fd, ELF_C_READ_MMAP, nullptr);
  if (*elf == nullptr || elf_kind(*elf) != ELF_K_ELF) {
    *reason = std::string("DWARF_INVALID: ") + bounded(elf_errmsg(-1), 200);
    return nullptr;
  }
  Dwarf* dwarf = dwarf_begin_elf(*elf, DWARF_C_READ, nullptr);
  if (dwarf == nullptr) *reason = std::string("DWARF_NONE: ") + bounded(dwarf_errmsg(-1), 200);
  if (dwarf != nullptr) dwarf_new_oom_handler(dwarf, out_of_memory);
  return dwarf;
}

}  // namespace

std::unique_ptr<DwarfReader> DwarfReader::open(int fd, int alternate, std::string* reason) {
  std::unique_ptr<DwarfReader> reader(new DwarfReader());
  reader->dwarf_ = begin(fd, &reader->elf_, reason);
  if (reader->dwarf_ == nullptr) return nullptr;
  if (alternate >= 0) {
    std::string ignored; /* without it some names are missing */
    reader->alternate_ = begin(alternate, &reader->alternate_elf_, &ignored);
    if (reader->alternate_ != nullptr) dwarf_setalt(reader->dwarf_, reader->alternate_);
  }
  reader->load_segments();
  reader->load_units();
  if (reader->ranges_.empty()) {
    *reason = "DWARF_NONE: no unit has code";
    return nullptr;
  }
  return reader;
}

DwarfReader::~DwarfReader() {
  if (dwarf_ != nullptr) dwarf_end(dwarf_);
  if (elf_ != nullptr) elf_end(elf_);
  if (alternate_ != nullptr) dwarf_end(alternate_);
  if (alternate_elf_ != nullptr) elf_end(alternate_elf_);
}

void DwarfReader::load_segments() {
  size_t count = 0;
  if (elf_getphdrnum(elf_, &count) != 0) return;
  for (size_t i = 0; i < count && i < 4096; i++) {
    GElf_Phdr header;
    if (gelf_getphdr(elf_, static_cast<int>(i), &header) == nullptr) continue;
    if (header.p_type != PT_LOAD || (header.p_flags & PF_X) == 0) continue;
    if (header.p_memsz > UINT64_MAX - header.p_vaddr) continue;
    code_.emplace_back(header.p_vaddr, header.p_vaddr + header.p_memsz);
  }
}

/* Linkers leave the addresses of functions they dropped at 0, 1 or -1. */
bool DwarfReader::is_code(uint64_t vaddr) const {
  return std::any_of(code_.begin(), code_.end(),
                     [&](const auto& segment) { return vaddr >= segment.first && vaddr < segment.second; });
}

void DwarfReader::add_ranges(Dwarf_Die* die, Dwarf_Off key, std::vector<Range>* ranges) const {
  Dwarf_Addr base = 0, low = 0, high = 0;
  ptrdiff_t at = 0;
  while (ranges->size() < kMaxRanges && (at = dwarf_ranges(die, at, &base, &low, &high)) > 0) {
    if (low < high && is_code(low)) ranges->push_back({low, high, key});
  }
}

void DwarfReader::load_units() {
  Dwarf_CU* unit = nullptr;
  Dwarf_Half version = 0;
  uint8_t type = 0;
  Dwarf_Die die, sub;
  while (units_.size() < kMaxUnits &&
         dwarf_get_units(dwarf_, unit, &unit, &version, &type, &die, &sub) == 0) {
    if (type != DW_UT_compile && type != DW_UT_skeleton) continue;
    const Dwarf_Off offset = dwarf_dieoffset(&die);
    units_.push_back(offset);
    add_ranges(&die, offset, &ranges_);
  }
  std::sort(ranges_.begin(), ranges_.end(),
            [](const Range& a, const Range& b) { return a.low != b.low ? a.low < b.low : a.unit < b.unit; });
}

void DwarfReader::collect_functions(Dwarf_Die* parent, unsigned depth, std::vector<Function>* functions) {
  Dwarf_Die child;
  if (depth > kMaxDepth || dwarf_child(parent, &child) != 0) return;
  do {
    switch (dwarf_tag(&child)) {
      case DW_TAG_subprogram: {
        std::vector<Range> ranges;
        if (has_ranges(&child)) add_ranges(&child, 0, &ranges);
        for (const Range& range : ranges)
          functions->push_back({range.low, range.high, dwarf_dieoffset(&child)});
        collect_functions(&child, depth + 1, functions);
        break;
      }
      case DW_TAG_namespace:
      case DW_TAG_module:
      case DW_TAG_structure_type:
      case DW_TAG_class_type:
      case DW_TAG_union_type:
      case DW_TAG_interface_type:
      case DW_TAG_enumeration_type:
      case DW_TAG_lexical_block:
        collect_functions(&child, depth + 1, functions);
        break;
      default:
        break;
    }
  } while (functions->size() < kMaxRanges && dwarf_siblingof(&child, &child) == 0);
}

const std::vector<DwarfReader::Function>& DwarfReader::functions_of(Dwarf_Off unit, Dwarf_Die* unit_die) {
  auto [found, is_new] = functions_.try_emplace(unit);
  if (is_new) {
    collect_functions(unit_die, 0, &found->second);
    /* Stable: of functions with equal ranges the first in the unit answers. */
    std::stable_sort(found->second.begin(), found->second.end(),
                     [](const Function& a, const Function& b) { return a.low < b.low; });
    found->second.shrink_to_fit();
  }
  return found->second;
}

SourceLines DwarfReader::lookup(uint64_t vaddr) {
  SourceLines only_line; /* of a unit without functions, as assemblers write it */
  auto after = std::upper_bound(ranges_.begin(), ranges_.end(), vaddr,
                                [](uint64_t value, const Range& range) { return value < range.low; });
  for (size_t step = 0; after != ranges_.begin() && step < kMaxStepsBack; step++) {
    --after;
    if (vaddr >= after->high) continue;
    SourceLines lines = lookup_in(after->unit, vaddr);
    if (!lines.empty() && !lines.back().function.empty()) return lines;
    if (only_line.empty()) only_line = std::move(lines);
  }
  return only_line;
}

SourceLines DwarfReader::lookup_in(Dwarf_Off unit, uint64_t vaddr) {
  SourceLines lines;
  Dwarf_Die unit_die;
  if (dwarf_offdie(dwarf_, unit, &unit_die) == nullptr) return lines;
  const std::vector<Function>& functions = functions_of(unit, &unit_die);
  auto after = std::upper_bound(functions.begin(), functions.end(), vaddr,
                                [](uint64_t value, const Function& one) { return value < one.low; });
  const Function* best = nullptr;
  for (size_t step = 0; after != functions.begin() && step < kMaxStepsBack; step++) {
    --after;
    if (vaddr >= after->high) continue;
    if (best != nullptr && after->high - after->low > best->high - best->low) break;
    best = &*after;
  }
  std::vector<Dwarf_Die> calls; /* outermost first, the function itself before all */
  Dwarf_Die function;
  if (best != nullptr && dwarf_offdie(dwarf_, best->die, &function) != nullptr) {
    calls.push_back(function);
    collect_inlined(&function, vaddr, 0, &calls);
  }
  if (calls.size() > kMaxLines) calls.resize(kMaxLines);
  lines.reserve(calls.size());
  for (size_t i = calls.size(); i-- > 0;) lines.push_back(describe(&calls[i]));

  if (Dwarf_Line* row = dwarf_getsrc_die(&unit_die, vaddr)) {
    int line = 0;
    if (lines.empty()) lines.emplace_back();
    if (dwarf_lineno(row, &line) == 0 && line > 0) lines[0].line = static_cast<uint32_t>(line);
    lines[0].file = whole_path(&unit_die, dwarf_linesrc(row, nullptr, nullptr));
  }
  for (size_t i = 1; i < lines.size(); i++) {
    /* Where this caller called the one inlined into it. */
    Dwarf_Die* inlined = &calls[calls.size() - i];
    Dwarf_Attribute memory;
    lines[i].line = number_of(dwarf_attr(inlined, DW_AT_call_line, &memory));
    if (dwarf_attr(inlined, DW_AT_call_file, &memory) != nullptr) lines[i].file = file_of(&memory);
  }
  return lines;
}

}  // namespace strobe
