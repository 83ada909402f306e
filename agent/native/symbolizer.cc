/* SPDX-License-Identifier: Apache-2.0 */
#include "symbolizer.h"

#include <unordered_map>
#include <utility>

#include "../../bpf/profiler/types.h"
#include "demangle.h"

namespace strobe {

namespace {

/* What lines of source may delay a window by; what comes later is in the next. */
constexpr uint64_t kDwarfPatienceNs = 3'000'000'000ULL;

/* Columns of lines, each text and each demangled name once. */
class Columns {
 public:
  explicit Columns(SymbolizedFrames* frames) : frames_(frames) {}

  void add(const SourceLine& line) {
    const std::string& system = line.linkage_name.empty() ? line.function : line.linkage_name;
    if (system.empty()) return;
    const uint32_t system_name = intern(system);
    auto demangled = demangled_.find(system_name);
    if (demangled == demangled_.end())
      demangled = demangled_.emplace(system_name, intern(demangle(system))).first;
    frames_->name.push_back(demangled->second);
    frames_->system_name.push_back(system_name);
    /* A function has one file. A line of another one, of a file included into its body, cannot be told. */
    const std::string& file = line.start_file.empty() ? line.file : line.start_file;
    frames_->source_file.push_back(intern(file));
    frames_->line.push_back(line.file == file ? line.line : 0);
    frames_->start_line.push_back(line.start_file.empty() ? 0 : line.start_line);
  }

  void end_frame(uint32_t file, uint64_t address, bool is_final) {
    frames_->line_offset.push_back(static_cast<uint32_t>(frames_->name.size()));
    frames_->file.push_back(file);
    frames_->address.push_back(address);
    frames_->is_final.push_back(is_final ? 1 : 0);
  }

 private:
  uint32_t intern(std::string text) {
    auto [found, is_new] = known_.emplace(std::move(text), static_cast<uint32_t>(frames_->strings.size()));
    if (is_new) frames_->strings.push_back(found->first);
    return found->second;
  }

  SymbolizedFrames* frames_;
  std::unordered_map<std::string, uint32_t> known_{{"", 0}};
  std::unordered_map<uint32_t, uint32_t> demangled_{{0, 0}}; /* system name -> name */
};

}  // namespace

Symbolizer::Symbolizer(const NamerOptions& options, std::shared_ptr<FileTable> files, int kallsyms,
                       std::shared_ptr<Counters> counters)
    : files_(std::move(files)),
      counters_(std::move(counters)),
      namer_(options, counters_),
      kernel_(kallsyms, *counters_) {}

SymbolizedFrames Symbolizer::symbolize(const std::vector<uint64_t>& pairs) {
  std::lock_guard<std::mutex> lock(mutex_);
  namer_.rest();
  struct OfFile {
    uint64_t lowest_vaddr;
    std::vector<uint64_t> addresses;
    std::vector<NamedAddress> named;
    size_t next = 0;
  };
  std::unordered_map<uint32_t, OfFile> of_files;
  auto file_of = [](uint64_t header) {
    return static_cast<uint32_t>((header >> FRAME_FILE_SHIFT) & FRAME_FILE_MASK);
  };
  auto is_native = [](uint64_t header) { return header >> FRAME_KIND_SHIFT == FRAME_NATIVE; };
  for (size_t i = 0; i + 1 < pairs.size(); i += 2) {
    if (!is_native(pairs[i])) continue;
    const uint32_t file = file_of(pairs[i]);
    auto found = of_files.find(file);
    if (found == of_files.end()) {
      const auto info = files_->find(file);
      found = of_files.emplace(file, OfFile{info ? info->lowest_vaddr : 0, {}, {}}).first;
    }
    found->second.addresses.push_back((pairs[i] & FRAME_VADDR_MASK) + found->second.lowest_vaddr);
  }
  const uint64_t deadline_ns = clock_ns(CLOCK_MONOTONIC) + kDwarfPatienceNs;
  for (auto& [file, one] : of_files) {
    one.named = namer_.name(
        file, one.addresses,
        [files = files_, id = file] {
          std::string reason;
          return files->open(id, &reason);
        },
        deadline_ns);
  }

  SymbolizedFrames result;
  Columns columns(&result);
  for (size_t i = 0; i + 1 < pairs.size(); i += 2) {
    if (is_native(pairs[i])) {
      const uint32_t file = file_of(pairs[i]);
      OfFile& one = of_files.find(file)->second;
      const NamedAddress& named = one.named[one.next];
      for (const SourceLine& line : named.lines) columns.add(line);
      const uint64_t address = one.addresses[one.next++];
      columns.end_frame(file, named.start != 0 ? named.start : address, named.is_final);
      continue;
    }
    if (pairs[i] >> FRAME_KIND_SHIFT == FRAME_KERNEL) {
      const KernelSymbol symbol = kernel_.lookup(pairs[i + 1], clock_ns(CLOCK_MONOTONIC));
      columns.add({std::string(symbol.name), "", "", "", 0, 0});
    }
    columns.end_frame(0, pairs[i + 1], true);
  }
  return result;
}

std::vector<std::string> Symbolizer::take_wanted() {
  std::lock_guard<std::mutex> lock(mutex_);
  return namer_.take_wanted();
}

std::vector<uint32_t> Symbolizer::debug_file_arrived(const std::string& build_id) {
  std::lock_guard<std::mutex> lock(mutex_);
  return namer_.debug_file_arrived(build_id);
}

void Symbolizer::add_usage(std::map<std::string, uint64_t, std::less<>>* totals) const {
  /* A call can take seconds; its numbers are then those of the next time. */
  const std::unique_lock<std::mutex> lock(mutex_, std::try_to_lock);
  if (lock.owns_lock()) namer_.add_usage(totals);
}

}  // namespace strobe
