/* SPDX-License-Identifier: Apache-2.0 */
#ifndef STROBE_KALLSYMS_H
#define STROBE_KALLSYMS_H

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_set>
#include <vector>

#include "counters.h"

namespace strobe {

struct KernelSymbol {
  std::string_view name;   /* '' when no function covers the address */
  std::string_view module; /* '' for the kernel itself, else without brackets: 'kvm_intel', 'bpf' */
};

/*
 * Kernel functions by address, from the text of /proc/kallsyms.
 *
 * The text has no sizes: a function reaches to the next symbol of any kind, and at most 1 MiB, so
 * that an address behind the last function of a module is not named after it. Aliases follow
 * is_better_alias. Modules loaded after the text was taken are not known. Constant once built.
 */
class KernelSymbols {
 public:
  /* fd is borrowed and read from offset 0 (a memfd or the file itself). nullptr: *reason says why:
   * KALLSYMS_READ, KALLSYMS_HIDDEN (all addresses are 0: no CAP_SYSLOG, or kptr_restrict 2). */
  static std::unique_ptr<const KernelSymbols> build(int fd, std::string* reason);

  KernelSymbol lookup(uint64_t address) const;
  size_t symbol_count() const { return symbol_count_; }
  size_t memory_bytes() const;

 private:
  KernelSymbols() = default;
  std::vector<uint64_t> starts_;
  std::vector<uint32_t> name_offsets_; /* 0: not a function */
  std::vector<uint16_t> modules_;      /* index into module_names_ */
  std::string names_;
  std::vector<std::string> module_names_;
  size_t symbol_count_ = 0;
};

/*
 * Names of kernel functions, read again when an address has none: modules and BPF programs come later.
 *
 * /proc/kallsyms shows addresses to whom opened it, so the launcher's descriptor goes on to show them after
 * the capability is gone (kernel/kallsyms.c, kallsyms_open; since 5.8). Reading takes a tenth of a second of
 * CPU: two seconds after the first time at the earliest, then with twice the pause each time, up to a minute;
 * an address that had no name then does not ask again.
 * Limitation: a module loaded where another one was unloaded is known by the first one's names until then.
 */
class KernelNamer {
 public:
  /* fd: borrowed, -1 without. */
  KernelNamer(int fd, Counters& counters) : fd_(fd), counters_(counters) {}
  /* The views live until the next call. */
  KernelSymbol lookup(uint64_t address, uint64_t now_ns);

 private:
  void read(uint64_t now_ns);

  const int fd_;
  Counters& counters_;
  std::unique_ptr<const KernelSymbols> symbols_;
  std::unordered_set<uint64_t> unknown_; /* had no name when it was read last */
  uint64_t read_ns_ = 0;                 /* 0: never */
  uint64_t pause_ns_ = 2'000'000'000;
};

}  // namespace strobe

#endif
