/* SPDX-License-Identifier: Apache-2.0 */
#ifndef STROBE_GO_PCLNTAB_H
#define STROBE_GO_PCLNTAB_H

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "elf_image.h"
#include "source_line.h"

namespace strobe {

/*
 * Names and lines of Go functions, from the table that the runtime itself keeps: stripping leaves it.
 *
 *   pclntab: header, function names, cu (file numbers of a package), file names, pctab, functab
 *   functab: (pc, offset of func), sorted by pc -> func: name, cu, offsets of pc tables (file, line, ...)
 *
 * Go 1.16 to 1.17 (pcs are addresses), 1.18 to 1.19 (pcs are offsets from the text's start) and 1.20 on
 * (the same, with the line where a function starts). Layouts checked with Go's debug/gosym/pclntab.go and
 * runtime/symtab.go at go1.19, and with programs of go1.19, go1.26 and go1.27.
 *
 * An inlined call: the innermost file and line stand at the address itself, its function in the inline tree
 * of the function around it, and the call at another address of that function (parentPc), where it goes on.
 * From 1.18 on the trees lie at an address that only the runtime's moduledata tells; where that is not found,
 * an address in an inlined call is named by the function around it, without a line.
 *
 * Only the header is kept; lookups read the file, some 20 small reads each.
 */
class GoTable {
 public:
  /* nullptr: no Go file, or *reason (GO_TABLE_VERSION, GO_TABLE_INVALID, GO_TABLE_RELOCATED). */
  static std::shared_ptr<const GoTable> build(const ElfImage& image, std::string* reason);

  /* image: of the same file as in build. Innermost first; empty when no Go function covers vaddr. Before 1.20
   * the lines where functions start are not known. */
  SourceLines lookup(const ElfImage& image, uint64_t vaddr) const;
  /* Whether inlined calls can be told. */
  bool has_inline_trees() const { return !has_short_entries_ || inline_base_ != 0; }

 private:
  GoTable() = default;
  std::optional<std::vector<uint8_t>> bytes(const ElfImage& image, uint64_t at, uint64_t length) const;
  std::optional<uint32_t> word(const ElfImage& image, uint64_t at) const;
  std::string text(const ElfImage& image, uint64_t at) const;
  bool entry(const ElfImage& image, uint64_t index, uint64_t* pc, uint64_t* function) const;
  std::optional<int64_t> value_at(const ElfImage& image, uint64_t table, uint64_t entry_pc,
                                  uint64_t pc) const;
  std::string file_name(const ElfImage& image, uint64_t unit, int64_t number) const;
  uint64_t find_inline_base(const ElfImage& image, uint64_t table_vaddr) const;
  struct Function;
  bool read_function(const ElfImage& image, uint64_t vaddr, Function* function) const;
  std::optional<SourceLine> read_inlined(const ElfImage& image, const Function& function, int64_t index,
                                         uint64_t* parent_pc) const;

  uint64_t offset_ = 0; /* of the table in the file */
  uint64_t size_ = 0;
  uint64_t function_count_ = 0;
  uint64_t text_start_ = 0;
  uint64_t names_ = 0, units_ = 0, files_ = 0, pc_tables_ = 0, functions_ = 0; /* offsets in the table */
  uint64_t inline_base_ = 0; /* virtual address that offsets of inline trees count from; 0: not known */
  uint32_t quantum_ = 1;
  bool has_short_entries_ = false; /* 1.18 on: 4-byte functab entries */
  bool has_start_line_ = false;    /* 1.20 on */
};

}  // namespace strobe

#endif
