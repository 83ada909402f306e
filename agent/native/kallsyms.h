/* SPDX-License-Identifier: Apache-2.0 */
#ifndef STROBE_KALLSYMS_H
#define STROBE_KALLSYMS_H

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

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

}  // namespace strobe

#endif
