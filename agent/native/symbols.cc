/* SPDX-License-Identifier: Apache-2.0 */
#include "symbols.h"

#include <algorithm>
#include <cstring>

#include "plt.h"

namespace strobe {

namespace {

/* Chromium with debug information has 1.3 million functions and 150 MB of names. */
constexpr uint64_t kMaxSymbols = 8u << 20;
constexpr uint64_t kMaxStringBytes = 512u << 20;
constexpr size_t kMaxNameBytes = 16u << 10;
constexpr uint64_t kChunkSymbols = 32768;

size_t leading_underscores(std::string_view name) {
  const size_t first = name.find_first_not_of('_');
  return first == std::string_view::npos ? name.size() : first;
}

struct Candidate {
  uint64_t start;
  uint64_t end; /* start when the size is not known */
  uint64_t section_end;
  std::string_view name;
  bool is_function;
  bool exported;
};

bool comes_before(const Candidate& a, const Candidate& b) {
  if (a.start != b.start) return a.start < b.start;
  if (a.is_function != b.is_function) return a.is_function;
  const bool a_sized = a.end > a.start;
  const bool b_sized = b.end > b.start;
  if (a_sized != b_sized) return a_sized;
  return is_better_alias(a.name, a.exported, b.name, b.exported);
}

/* Cut from 'name@VERSION' and bounded; '' for names that are no function's. */
std::string_view usable_name(std::string_view strings, uint64_t offset) {
  if (offset >= strings.size()) return {};
  const char* text = strings.data() + offset;
  std::string_view name(text, strnlen(text, std::min<size_t>(kMaxNameBytes, strings.size() - offset)));
  const size_t version = name.find('@');
  if (version != std::string_view::npos) name = name.substr(0, version);
  /* Assembler labels, and arm64's marks of code ($x) and data ($d). */
  if (name.starts_with(".L") || name.starts_with("$")) return {};
  return name;
}

bool is_code(const ElfImage& image, const Elf64_Sym& symbol, bool is_function, uint64_t* section_end) {
  if (symbol.st_shndx == SHN_UNDEF) return false;
  const auto& sections = image.sections();
  if (symbol.st_shndx < sections.size()) {
    const ElfSection& section = sections[symbol.st_shndx];
    if ((section.flags & SHF_EXECINSTR) == 0) return false;
    if (symbol.st_value < section.vaddr || symbol.st_value - section.vaddr >= section.size) return false;
    *section_end = section.size > UINT64_MAX - section.vaddr ? UINT64_MAX : section.vaddr + section.size;
    return true;
  }
  *section_end = symbol.st_value;
  return is_function && image.is_executable(symbol.st_value);
}

/* Adds the functions of one table. strings must outlive the candidates. */
bool collect(const ElfImage& image, const ElfSection& table, std::string_view strings,
             std::vector<Candidate>* candidates) {
  if (table.entry_size != sizeof(Elf64_Sym)) return true;
  const uint64_t count = table.size / sizeof(Elf64_Sym);
  if (count > kMaxSymbols) return false;
  for (uint64_t first = 0; first < count; first += kChunkSymbols) {
    const uint64_t chunk = std::min(kChunkSymbols, count - first);
    auto bytes = image.read(table.offset + first * sizeof(Elf64_Sym), chunk * sizeof(Elf64_Sym));
    if (!bytes) return true;
    for (uint64_t i = 0; i < chunk; i++) {
      Elf64_Sym symbol;
      memcpy(&symbol, bytes->data() + i * sizeof(symbol), sizeof(symbol));
      const unsigned type = ELF64_ST_TYPE(symbol.st_info);
      const bool is_function = type == STT_FUNC || type == STT_GNU_IFUNC;
      if (!is_function && type != STT_NOTYPE) continue;
      uint64_t section_end = 0;
      if (!is_code(image, symbol, is_function, &section_end)) continue;
      const std::string_view name = usable_name(strings, symbol.st_name);
      if (name.empty()) continue;
      const uint64_t size = std::min<uint64_t>(symbol.st_size, UINT64_MAX - symbol.st_value);
      candidates->push_back({symbol.st_value, symbol.st_value + size, section_end, name, is_function,
                             ELF64_ST_BIND(symbol.st_info) != STB_LOCAL});
    }
  }
  return true;
}

/* One candidate an address, then unsized ones: dropped where covered, else given their end. */
void settle(std::vector<Candidate>* candidates) {
  std::sort(candidates->begin(), candidates->end(), comes_before);
  candidates->erase(std::unique(candidates->begin(), candidates->end(),
                                [](const Candidate& a, const Candidate& b) { return a.start == b.start; }),
                    candidates->end());
  std::vector<Candidate> kept;
  kept.reserve(candidates->size());
  uint64_t covered_until = 0;
  for (size_t i = 0; i < candidates->size(); i++) {
    Candidate one = (*candidates)[i];
    if (one.end == one.start) {
      if (one.start < covered_until) continue;
      one.end = std::max(one.start, one.section_end);
      if (i + 1 < candidates->size()) {
        const uint64_t next = (*candidates)[i + 1].start;
        one.end = one.end == one.start ? next : std::min(one.end, next);
      }
      if (one.end == one.start) one.end = one.start + 1;
    } else {
      covered_until = std::max(covered_until, one.end);
    }
    kept.push_back(one);
  }
  candidates->swap(kept);
}

}  // namespace

bool is_better_alias(std::string_view a, bool a_exported, std::string_view b, bool b_exported) {
  if (a_exported != b_exported) return a_exported;
  const size_t a_underscores = leading_underscores(a);
  const size_t b_underscores = leading_underscores(b);
  if (a_underscores != b_underscores) return a_underscores < b_underscores;
  if (a.size() != b.size()) return a.size() < b.size();
  return a < b;
}

std::shared_ptr<const SymbolIndex> SymbolIndex::build(const std::vector<const ElfImage*>& images,
                                                      std::string* reason) {
  std::shared_ptr<SymbolIndex> index(new SymbolIndex());
  reason->clear();
  std::vector<Candidate> candidates;
  std::list<std::vector<uint8_t>> string_tables; /* names are views into these */
  for (const ElfImage* image : images) {
    for (const ElfSection& table : image->sections()) {
      if (table.type != SHT_SYMTAB && table.type != SHT_DYNSYM) continue;
      if (table.link >= image->sections().size()) continue;
      auto strings = image->read_section(image->sections()[table.link], kMaxStringBytes);
      if (!strings) continue;
      string_tables.push_back(std::move(*strings));
      const std::string_view text(reinterpret_cast<const char*>(string_tables.back().data()),
                                  string_tables.back().size());
      if (!collect(*image, table, text, &candidates)) {
        *reason = "SYMBOLS_TOO_LARGE: a table has " + std::to_string(table.size / sizeof(Elf64_Sym)) +
                  " symbols, at most " + std::to_string(kMaxSymbols) + " are read";
      }
    }
  }
  std::list<std::string> plt_names;
  for (PltEntry& entry : read_plt(*images.front())) {
    plt_names.push_back(std::move(entry.name));
    candidates.push_back({entry.start, entry.end, entry.end, plt_names.back(), true, true});
  }
  if (candidates.empty() && reason->empty()) *reason = "SYMBOLS_NONE: the file has no function symbols";
  settle(&candidates);

  index->symbol_count_ = candidates.size();
  index->names_.push_back('\0');
  std::vector<std::pair<uint64_t, uint32_t>> open; /* (end, name) of the symbols around the present one */
  auto emit = [&](uint64_t start, uint32_t name) {
    if (!index->starts_.empty() && index->starts_.back() == start) {
      index->name_offsets_.back() = name;
      return;
    }
    if (!index->name_offsets_.empty() && index->name_offsets_.back() == name) return;
    index->starts_.push_back(start);
    index->name_offsets_.push_back(name);
  };
  /* Ends every open symbol that stops at or before until, naming what is around it from there on. */
  auto close_until = [&](uint64_t until) {
    while (!open.empty() && open.back().first <= until) {
      const uint64_t end = open.back().first;
      while (!open.empty() && open.back().first <= end) open.pop_back();
      emit(end, open.empty() ? 0 : open.back().second);
    }
  };
  for (const Candidate& one : candidates) {
    close_until(one.start);
    if (index->names_.size() > UINT32_MAX - kMaxNameBytes - 1) {
      *reason = "SYMBOLS_TOO_LARGE: more than 4 GiB of names";
      break;
    }
    const auto name = static_cast<uint32_t>(index->names_.size());
    index->names_.append(one.name);
    index->names_.push_back('\0');
    emit(one.start, name);
    open.emplace_back(one.end, name);
  }
  close_until(UINT64_MAX);
  index->starts_.shrink_to_fit();
  index->name_offsets_.shrink_to_fit();
  index->names_.shrink_to_fit();
  return index;
}

std::string_view SymbolIndex::lookup(uint64_t vaddr) const {
  const auto after = std::upper_bound(starts_.begin(), starts_.end(), vaddr);
  if (after == starts_.begin()) return {};
  const uint32_t offset = name_offsets_[static_cast<size_t>(after - starts_.begin()) - 1];
  return {names_.data() + offset};
}

size_t SymbolIndex::memory_bytes() const {
  return sizeof(*this) + starts_.capacity() * sizeof(uint64_t) + name_offsets_.capacity() * sizeof(uint32_t) +
         names_.capacity();
}

std::shared_ptr<const SymbolIndex> SymbolCache::find(uint32_t file) {
  const std::lock_guard lock(mutex_);
  const auto found = by_file_.find(file);
  if (found == by_file_.end()) return nullptr;
  entries_.splice(entries_.begin(), entries_, found->second);
  return found->second->index;
}

void SymbolCache::insert(uint32_t file, std::shared_ptr<const SymbolIndex> index) {
  const std::lock_guard lock(mutex_);
  const auto found = by_file_.find(file);
  if (found != by_file_.end()) remove(found->second);
  const size_t bytes = index->memory_bytes();
  entries_.push_front({file, std::move(index), bytes});
  by_file_[file] = entries_.begin();
  bytes_ += bytes;
  while (bytes_ > max_bytes_) {
    remove(std::prev(entries_.end()));
    evictions_++;
  }
}

void SymbolCache::erase(uint32_t file) {
  const std::lock_guard lock(mutex_);
  const auto found = by_file_.find(file);
  if (found != by_file_.end()) remove(found->second);
}

void SymbolCache::remove(std::list<Entry>::iterator entry) {
  bytes_ -= entry->bytes;
  by_file_.erase(entry->file);
  entries_.erase(entry);
}

size_t SymbolCache::memory_bytes() const {
  const std::lock_guard lock(mutex_);
  return bytes_;
}

uint64_t SymbolCache::evictions() const {
  const std::lock_guard lock(mutex_);
  return evictions_;
}

}  // namespace strobe
