/* SPDX-License-Identifier: Apache-2.0 */
#ifndef STROBE_SYMBOLS_H
#define STROBE_SYMBOLS_H

#include <cstdint>
#include <list>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "elf_image.h"

namespace strobe {

/* True when a is the better name of two symbols at one address. exported: not STB_LOCAL.
 * An exported name wins, then the fewer leading underscores, then the shorter, then the alphabet:
 * write over __write over __GI___write, malloc over __libc_malloc. */
bool is_better_alias(std::string_view a, bool a_exported, std::string_view b, bool b_exported);

/*
 * Function names of one file, by virtual address in it.
 *
 * Taken from .symtab and .dynsym: STT_FUNC and STT_GNU_IFUNC, STT_NOTYPE in executable sections
 * (assembler without .type), and 'name@plt' for PLT entries where this machine's form is known.
 *   - A symbol without a size reaches to the next symbol or the end of its section, and counts only
 *     where no symbol with a size covers it.
 *   - Symbols that overlap: the one that starts last wins, and the outer one goes on after its end.
 *   - Aliases: FUNC before NOTYPE, sized before unsized, then is_better_alias.
 * Symbol versions (@GLIBC_2.2.5) are cut off. Constant once built; reads need no lock.
 */
class SymbolIndex {
 public:
  /* Never null. A file without symbols gives an index that is empty; *reason is then
   * SYMBOLS_NONE (stripped) or SYMBOLS_TOO_LARGE, and '' otherwise. */
  static std::shared_ptr<const SymbolIndex> build(const ElfImage& image, std::string* reason) {
    return build({&image}, reason);
  }
  /* Of one file and what belongs to it: its debug file, its mini debug info. The file stands first. */
  static std::shared_ptr<const SymbolIndex> build(const std::vector<const ElfImage*>& images,
                                                  std::string* reason);

  /* The mangled name, '' when no symbol covers vaddr. The view lives as long as the index.
   * For a caller's frame give the return address less 1: a call can be a function's last byte. */
  std::string_view lookup(uint64_t vaddr) const;

  /* Names held, aliases left out. */
  size_t symbol_count() const { return symbol_count_; }
  size_t memory_bytes() const;

 private:
  SymbolIndex() = default;

  /* starts_[i] .. starts_[i + 1] has the name at names_[name_offsets_[i]]; offset 0 is no name. */
  std::vector<uint64_t> starts_;
  std::vector<uint32_t> name_offsets_;
  std::string names_; /* zero-terminated, one after the other */
  size_t symbol_count_ = 0;
};

/* Indexes by file id, the least recently used dropped above max_bytes. Thread-safe. */
class SymbolCache {
 public:
  explicit SymbolCache(size_t max_bytes) : max_bytes_(max_bytes) {}

  /* nullptr when it is not held (any more). */
  std::shared_ptr<const SymbolIndex> find(uint32_t file);
  /* Replaces an index of the same file. One larger than max_bytes is not kept: the caller's pointer
   * still works. */
  void insert(uint32_t file, std::shared_ptr<const SymbolIndex> index);
  void erase(uint32_t file);

  size_t memory_bytes() const;
  uint64_t evictions() const;

 private:
  struct Entry {
    uint32_t file;
    std::shared_ptr<const SymbolIndex> index;
    size_t bytes;
  };
  void remove(std::list<Entry>::iterator entry);

  mutable std::mutex mutex_;
  const size_t max_bytes_;
  size_t bytes_ = 0;
  uint64_t evictions_ = 0;
  std::list<Entry> entries_; /* the most recently used first */
  std::unordered_map<uint32_t, std::list<Entry>::iterator> by_file_;
};

}  // namespace strobe

#endif
