/* SPDX-License-Identifier: Apache-2.0 */
#include "kallsyms.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <unordered_map>

#include "symbols.h"

namespace strobe {

namespace {

constexpr size_t kMaxTextBytes = 128u << 20;
constexpr size_t kMaxNameBytes = 1024; /* KSYM_NAME_LEN is 512 */
constexpr uint64_t kMaxFunctionBytes = 1u << 20;
constexpr uint64_t kMaxPauseNs = 60'000'000'000;
constexpr size_t kMaxUnknown = 65536;

struct Line {
  uint64_t address;
  uint32_t name; /* offset into the blob; 0: data, which only ends a function */
  uint16_t module;
  bool exported;
};

bool read_all(int fd, std::string* text, std::string* reason) {
  std::vector<char> buffer(256u << 10);
  off_t offset = 0;
  for (;;) {
    const ssize_t got = pread(fd, buffer.data(), buffer.size(), offset);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) {
      *reason = std::string("KALLSYMS_READ: ") + strerror(errno);
      return false;
    }
    if (got == 0) return true;
    if (text->size() + static_cast<size_t>(got) > kMaxTextBytes) {
      *reason = "KALLSYMS_READ: more than " + std::to_string(kMaxTextBytes) + " bytes";
      return false;
    }
    text->append(buffer.data(), static_cast<size_t>(got));
    offset += got;
  }
}

}  // namespace

std::unique_ptr<const KernelSymbols> KernelSymbols::build(int fd, std::string* reason) {
  std::string text;
  if (!read_all(fd, &text, reason)) return nullptr;
  std::unique_ptr<KernelSymbols> symbols(new KernelSymbols());
  symbols->names_.push_back('\0');
  symbols->module_names_.emplace_back();
  std::unordered_map<std::string_view, uint16_t> modules;
  std::vector<Line> lines;
  bool any_address = false;

  /* ffffffff81000000 T name<TAB>[module] */
  for (size_t at = 0; at < text.size();) {
    size_t end = text.find('\n', at);
    if (end == std::string::npos) end = text.size();
    const std::string_view line(text.data() + at, end - at);
    at = end + 1;
    uint64_t address = 0;
    const auto parsed = std::from_chars(line.data(), line.data() + line.size(), address, 16);
    const auto digits = static_cast<size_t>(parsed.ptr - line.data());
    if (parsed.ec != std::errc() || line.size() < digits + 4 || line[digits] != ' ') continue;
    if (address == 0) continue;
    any_address = true;
    const char kind = line[digits + 1];
    std::string_view rest = line.substr(digits + 3);
    const size_t tab = rest.find('\t');
    const std::string_view name = rest.substr(0, std::min(tab, kMaxNameBytes));
    uint16_t module = 0;
    if (tab != std::string_view::npos) {
      std::string_view label = rest.substr(tab + 1);
      if (label.size() > 2 && label.front() == '[') label = label.substr(1, label.find(']') - 1);
      const auto known = modules.find(label);
      if (known != modules.end()) {
        module = known->second;
      } else if (symbols->module_names_.size() < UINT16_MAX) {
        module = static_cast<uint16_t>(symbols->module_names_.size());
        symbols->module_names_.emplace_back(label);
        modules.emplace(label, module);
      }
    }
    const bool is_code = kind == 't' || kind == 'T' || kind == 'w' || kind == 'W';
    /* _etext and _einittext mark ends of code; they are text symbols themselves. */
    const bool is_end = name == "_etext" || name == "_einittext" || name == "__end_rodata";
    uint32_t offset = 0;
    if (is_code && !is_end && !name.empty()) {
      offset = static_cast<uint32_t>(symbols->names_.size());
      symbols->names_.append(name);
      symbols->names_.push_back('\0');
    }
    lines.push_back({address, offset, module, kind == 'T' || kind == 'W'});
  }
  if (!any_address) {
    *reason = text.empty() ? "KALLSYMS_READ: the text is empty"
                           : "KALLSYMS_HIDDEN: the kernel shows only zeros; it takes CAP_SYSLOG and "
                             "kernel.kptr_restrict below 2";
    return nullptr;
  }

  const std::string& names = symbols->names_;
  std::sort(lines.begin(), lines.end(), [&](const Line& a, const Line& b) {
    if (a.address != b.address) return a.address < b.address;
    if ((a.name != 0) != (b.name != 0)) return a.name != 0;
    if (a.name == b.name) return false;
    return is_better_alias(names.data() + a.name, a.exported, names.data() + b.name, b.exported);
  });
  auto emit = [&](uint64_t start, uint32_t name, uint16_t module) {
    if (name == 0 && (symbols->name_offsets_.empty() || symbols->name_offsets_.back() == 0)) return;
    symbols->starts_.push_back(start);
    symbols->name_offsets_.push_back(name);
    symbols->modules_.push_back(module);
    if (name != 0) symbols->symbol_count_++;
  };
  for (size_t i = 0; i < lines.size(); i++) {
    if (i > 0 && lines[i].address == lines[i - 1].address) continue;
    emit(lines[i].address, lines[i].name, lines[i].module);
    size_t next = i + 1;
    while (next < lines.size() && lines[next].address == lines[i].address) next++;
    const uint64_t limit = lines[i].address + kMaxFunctionBytes;
    if (limit > lines[i].address && (next == lines.size() || lines[next].address > limit)) emit(limit, 0, 0);
  }
  symbols->starts_.shrink_to_fit();
  symbols->name_offsets_.shrink_to_fit();
  symbols->modules_.shrink_to_fit();
  return symbols;
}

KernelSymbol KernelSymbols::lookup(uint64_t address) const {
  const auto after = std::upper_bound(starts_.begin(), starts_.end(), address);
  if (after == starts_.begin()) return {};
  const size_t i = static_cast<size_t>(after - starts_.begin()) - 1;
  if (name_offsets_[i] == 0) return {};
  return {names_.data() + name_offsets_[i], module_names_[modules_[i]]};
}

size_t KernelSymbols::memory_bytes() const {
  return sizeof(*this) + names_.capacity() +
         starts_.capacity() * (sizeof(uint64_t) + sizeof(uint32_t) + sizeof(uint16_t));
}

void KernelNamer::read(uint64_t now_ns) {
  if (read_ns_ != 0) {
    pause_ns_ = std::min(pause_ns_ * 2, kMaxPauseNs);
    counters_.add("kallsyms_read_again");
  }
  read_ns_ = now_ns;
  unknown_.clear();
  std::string reason = "KALLSYMS_READ: no descriptor";
  auto symbols = fd_ < 0 ? nullptr : KernelSymbols::build(fd_, &reason);
  if (symbols) {
    symbols_ = std::move(symbols);
  } else {
    counters_.add("kallsyms_unreadable");
  }
}

KernelSymbol KernelNamer::lookup(uint64_t address, uint64_t now_ns) {
  if (read_ns_ == 0) read(now_ns);
  if (!symbols_) return {};
  KernelSymbol symbol = symbols_->lookup(address);
  if (!symbol.name.empty() || unknown_.count(address) != 0) return symbol;
  if (now_ns - read_ns_ < pause_ns_) return symbol;
  read(now_ns);
  symbol = symbols_->lookup(address);
  if (symbol.name.empty() && unknown_.size() < kMaxUnknown) unknown_.insert(address);
  return symbol;
}

}  // namespace strobe
