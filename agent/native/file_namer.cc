/* SPDX-License-Identifier: Apache-2.0 */
#include "file_namer.h"

namespace strobe {

namespace {

bool has_dwarf(const ElfImage& image) {
  for (const char* name : {".debug_info", ".zdebug_info"}) {
    const ElfSection* section = image.find_section(name);
    if (section != nullptr && section->type != SHT_NOBITS && section->size > 0) return true;
  }
  return false;
}

bool is_mangled(std::string_view name) { return name.starts_with("_Z") || name.starts_with("_R"); }

}  // namespace

FileNamer::FileNamer(const NamerLimits& limits, Counters& counters)
    : counters_(counters),
      symbol_cache_(limits.symbol_cache_bytes),
      dwarf_(DwarfClient::default_program(), {.memory_bytes = limits.dwarf_bytes}, counters) {}

std::shared_ptr<const SymbolIndex> FileNamer::index_of(uint32_t key, const Open& open) {
  auto index = symbol_cache_.find(key);
  if (index || unreadable_.count(key) != 0) return index;
  const auto file = open();
  if (!file) {
    counters_.add("symbol_file_unreadable");
    unreadable_.insert(key);
    return nullptr;
  }
  std::string reason;
  index = SymbolIndex::build(*file->image, &reason);
  if (!reason.empty()) counters_.add("symbol_file_without_symbols");
  symbol_cache_.insert(key, index);
  /* The vDSO has no descriptor to hand on. */
  if (file->fd && has_dwarf(*file->image)) with_dwarf_.insert(key);
  return index;
}

std::vector<NamedAddress> FileNamer::name(uint32_t key, const std::vector<uint64_t>& addresses,
                                          const Open& open, uint64_t deadline_ns) {
  const auto index = index_of(key, open);
  const bool has_lines = with_dwarf_.count(key) != 0 && dwarf_.is_worth_asking(key);
  std::unordered_map<uint64_t, SourceLines> known;
  std::shared_ptr<const OpenFile> file; /* open as long as its descriptor is lent */
  if (has_lines) {
    known = dwarf_.lookup(
        key, addresses,
        [&] {
          file = open();
          return file ? std::vector<int>{file->fd.get()} : std::vector<int>{};
        },
        deadline_ns);
  }
  const bool is_late = has_lines && dwarf_.is_worth_asking(key);
  std::vector<NamedAddress> named(addresses.size());
  for (size_t i = 0; i < addresses.size(); i++) {
    const auto found = known.find(addresses[i]);
    const std::string_view symbol = index ? index->lookup(addresses[i]) : std::string_view();
    named[i].is_final = !is_late || found != known.end();
    if (found == known.end() || found->second.empty()) {
      if (!symbol.empty()) named[i].lines.push_back({std::string(symbol), "", "", "", 0, 0});
      continue;
    }
    named[i].lines = found->second;
    SourceLine& outermost = named[i].lines.back();
    if (outermost.linkage_name.empty() && (outermost.function.empty() || is_mangled(symbol)))
      outermost.linkage_name = symbol;
  }
  return named;
}

void FileNamer::add_usage(std::map<std::string, uint64_t, std::less<>>* totals) const {
  (*totals)["symbol_bytes"] = symbol_cache_.memory_bytes();
  (*totals)["symbol_evictions"] = symbol_cache_.evictions();
  (*totals)["dwarf_child_bytes"] = dwarf_.child_bytes();
}

}  // namespace strobe
