/* SPDX-License-Identifier: Apache-2.0 */
#include "file_namer.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include "function_starts.h"

namespace strobe {

namespace {

/* Reading the symbol table of a browser takes two seconds. */
constexpr std::chrono::milliseconds kPatience(20'000);
constexpr size_t kMaxWanted = 1024;

bool is_mangled(std::string_view name) { return name.starts_with("_Z") || name.starts_with("_R"); }

bool has_dynamic_symbols(const ElfImage& image) {
  return std::any_of(image.sections().begin(), image.sections().end(),
                     [](const ElfSection& section) { return section.type == SHT_DYNSYM; });
}

SymbolQuality quality_of(const ElfImage& image, const OpenFile* debug, bool has_mini) {
  if (has_dwarf(image) || (debug != nullptr && has_dwarf(*debug->image))) return SymbolQuality::kDwarf;
  if (has_symbol_table(image) || debug != nullptr || has_mini) return SymbolQuality::kSymbols;
  return has_dynamic_symbols(image) ? SymbolQuality::kDynamic : SymbolQuality::kNone;
}

}  // namespace

const char* symbol_quality_name(SymbolQuality quality) {
  switch (quality) {
    case SymbolQuality::kDwarf:
      return "dwarf";
    case SymbolQuality::kSymbols:
      return "symtab";
    case SymbolQuality::kDynamic:
      return "dynsym";
    case SymbolQuality::kNone:
      return "none";
  }
  return "none";
}

FileNamer::FileNamer(const NamerOptions& options, std::shared_ptr<Counters> counters)
    : counters_(std::move(counters)),
      debug_files_(std::make_shared<DebugFiles>(options.debug_folder)),
      symbol_cache_(options.symbol_cache_bytes),
      dwarf_(DwarfClient::default_program(), {.memory_bytes = options.dwarf_bytes}, *counters_) {}

std::shared_ptr<const SymbolIndex> FileNamer::index_of(uint32_t key, const Open& open) {
  auto index = symbol_cache_.find(key);
  const auto known = files_.find(key);
  if (index || (known != files_.end() && !known->second.is_readable)) return index;
  struct Result {
    std::shared_ptr<const SymbolIndex> index;
    std::string reason;
    File file;
  };
  auto result = std::make_shared<Result>();
  const bool is_done =
      thread_.run(kPatience, [open, result, debug_files = debug_files_, counters = counters_] {
        const auto file = open();
        if (!file) return;
        const ElfImage& image = *file->image;
        std::shared_ptr<const OpenFile> debug;
        std::unique_ptr<ElfImage> mini;
        /* The vDSO has no descriptor and nothing that belongs to it. */
        if (file->fd && !has_dwarf(image)) debug = debug_files->find(*file);
        if (!debug && !has_symbol_table(image)) mini = read_mini_debug_info(image);
        std::vector<const ElfImage*> images{&image};
        if (debug) images.push_back(debug->image.get());
        if (mini) images.push_back(mini.get());
        result->index = SymbolIndex::build(images, &result->reason);
        std::string go_reason;
        result->file.go = GoTable::build(image, &go_reason);
        if (!go_reason.empty()) counters->add("go_table_unusable");
        result->file.quality =
            file->fd ? quality_of(image, debug.get(), mini != nullptr) : SymbolQuality::kSymbols;
        result->file.build_id = image.build_id();
        result->file.is_readable = true;
      });
  if (!is_done || !result->index) {
    counters_->add(is_done ? "symbol_file_unreadable" : "symbol_file_hung");
    files_[key] = File();
    return nullptr;
  }
  if (known == files_.end()) {
    if (!result->reason.empty()) counters_->add("symbol_file_without_symbols");
    counters_->add(std::string("symbol_files_") + symbol_quality_name(result->file.quality));
    const std::string& build_id = result->file.build_id;
    if (result->file.quality != SymbolQuality::kDwarf && !build_id.empty() && wanted_.size() < kMaxWanted &&
        ever_wanted_.insert(build_id).second)
      wanted_.push_back(build_id);
  }
  files_[key] = result->file;
  symbol_cache_.insert(key, result->index);
  return result->index;
}

/* The file with the DWARF, and the one that dwz moved its shared part to. */
std::vector<int> FileNamer::lend_dwarf(const Open& open) {
  struct Result {
    std::shared_ptr<const OpenFile> file, alternate;
  };
  auto result = std::make_shared<Result>();
  const bool is_done = thread_.run(kPatience, [open, result, debug_files = debug_files_] {
    auto file = open();
    if (file && !has_dwarf(*file->image)) file = debug_files->find(*file);
    if (!file || !file->fd || !has_dwarf(*file->image)) return;
    result->alternate = debug_files->find_alternate(*file);
    result->file = std::move(file);
  });
  if (!is_done || !result->file) return {};
  lent_ = {result->file};
  std::vector<int> fds{result->file->fd.get()};
  if (result->alternate) {
    lent_.push_back(result->alternate);
    fds.push_back(result->alternate->fd.get());
  }
  return fds;
}

/* Only C code of a Go program is left without an answer. */
FileNamer::Lines FileNamer::ask_go(const File& file, const std::vector<uint64_t>& addresses,
                                   const Open& open) {
  auto lines = std::make_shared<Lines>();
  const bool is_done = thread_.run(kPatience, [open, lines, addresses, table = file.go] {
    const auto opened = open();
    if (!opened) return;
    for (const uint64_t address : addresses) {
      SourceLines found = table->lookup(*opened->image, address);
      if (!found.empty()) (*lines)[address] = std::move(found);
    }
  });
  if (is_done) return std::move(*lines);
  counters_->add("symbol_file_hung");
  return {};
}

std::vector<std::string> FileNamer::take_wanted() { return std::exchange(wanted_, {}); }

std::vector<uint32_t> FileNamer::debug_file_arrived(const std::string& build_id) {
  std::vector<uint32_t> keys;
  for (auto& [key, file] : files_) {
    if (file.build_id == build_id && !build_id.empty()) keys.push_back(key);
  }
  for (const uint32_t key : keys) {
    files_.erase(key);
    symbol_cache_.erase(key);
    dwarf_.forget(key);
  }
  return keys;
}

std::vector<NamedAddress> FileNamer::name(uint32_t key, const std::vector<uint64_t>& addresses,
                                          const Open& open, uint64_t deadline_ns) {
  const auto index = index_of(key, open);
  const auto known_file = files_.find(key);
  Lines known;
  std::vector<uint64_t> rest = addresses;
  if (known_file != files_.end() && known_file->second.go) {
    known = ask_go(known_file->second, addresses, open);
    std::erase_if(rest, [&](uint64_t address) { return known.find(address) != known.end(); });
  }
  const bool has_lines = known_file != files_.end() && known_file->second.quality == SymbolQuality::kDwarf &&
                         dwarf_.is_worth_asking(key);
  if (has_lines && !rest.empty()) {
    known.merge(dwarf_.lookup(key, rest, [&] { return lend_dwarf(open); }, deadline_ns));
    lent_.clear();
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
  if (known_file != files_.end() && known_file->second.is_readable) find_starts(addresses, open, &named);
  return named;
}

void FileNamer::find_starts(const std::vector<uint64_t>& addresses, const Open& open,
                            std::vector<NamedAddress>* named) {
  std::vector<size_t> unnamed;
  for (size_t i = 0; i < named->size(); i++) {
    if ((*named)[i].lines.empty()) unnamed.push_back(i);
  }
  if (unnamed.empty()) return;
  auto starts = std::make_shared<std::vector<uint64_t>>();
  const bool is_done = thread_.run(kPatience, [open, starts, unnamed, addresses] {
    const auto file = open();
    for (const size_t at : unnamed)
      starts->push_back(file ? find_function_start(*file->image, addresses[at]).value_or(0) : 0);
  });
  if (!is_done) return;
  for (size_t i = 0; i < unnamed.size(); i++) (*named)[unnamed[i]].start = (*starts)[i];
}

void FileNamer::add_usage(std::map<std::string, uint64_t, std::less<>>* totals) const {
  (*totals)["symbol_bytes"] = symbol_cache_.memory_bytes();
  (*totals)["symbol_evictions"] = symbol_cache_.evictions();
  (*totals)["dwarf_child_bytes"] = dwarf_.child_bytes();
}

}  // namespace strobe
