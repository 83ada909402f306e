/* SPDX-License-Identifier: Apache-2.0 */
#ifndef STROBE_DWARF_READER_H
#define STROBE_DWARF_READER_H

#include <elfutils/libdw.h>
#include <libelf.h>

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "source_line.h"

namespace strobe {

/*
 * Functions, inlined calls and lines of one file, from its DWARF (2 to 5) by libdw.
 *
 *   address -> unit (ranges of all units, read at open) -> function (table of a unit, read when first
 *   asked for) -> inlined calls around the address; the line table gives the innermost line, each
 *   inlined call the line of its caller
 *
 * Only the process that exists for it may use this: libdw maps the file, which its owner may truncate
 * (SIGBUS), and a hostile file can make it run and allocate without end (dwarf_child.cc).
 * Limitations: no split DWARF (.dwo, .dwp). Where the linker folded equal functions, one of them answers.
 */
class DwarfReader {
 public:
  /* fd is borrowed. alternate: of the file that .gnu_debugaltlink names, or -1. nullptr: *reason says why
   * (DWARF_NONE, DWARF_INVALID). */
  static std::unique_ptr<DwarfReader> open(int fd, int alternate, std::string* reason);
  ~DwarfReader();
  DwarfReader(const DwarfReader&) = delete;
  DwarfReader& operator=(const DwarfReader&) = delete;

  /* Innermost first; empty when no unit holds vaddr. One line without a function: only that is known. */
  SourceLines lookup(uint64_t vaddr);

  size_t unit_count() const { return units_.size(); }

 private:
  struct Range {
    uint64_t low;
    uint64_t high;
    Dwarf_Off unit;
  };
  struct Function {
    uint64_t low;
    uint64_t high;
    Dwarf_Off die;
  };
  DwarfReader() = default;
  void load_segments();
  void load_units();
  void collect_functions(Dwarf_Die* parent, unsigned depth, std::vector<Function>* functions);
  const std::vector<Function>& functions_of(Dwarf_Off unit, Dwarf_Die* unit_die);
  void add_ranges(Dwarf_Die* die, Dwarf_Off key, std::vector<Range>* ranges) const;
  SourceLines lookup_in(Dwarf_Off unit, uint64_t vaddr);
  bool is_code(uint64_t vaddr) const;

  Elf* elf_ = nullptr;
  Dwarf* dwarf_ = nullptr;
  Elf* alternate_elf_ = nullptr;
  Dwarf* alternate_ = nullptr;
  std::vector<std::pair<uint64_t, uint64_t>> code_; /* executable segments */
  std::vector<Range> ranges_;                       /* by low */
  std::vector<Dwarf_Off> units_;
  std::map<Dwarf_Off, std::vector<Function>> functions_;
};

}  // namespace strobe

#endif
