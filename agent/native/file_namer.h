/* SPDX-License-Identifier: Apache-2.0 */
#ifndef STROBE_FILE_NAMER_H
#define STROBE_FILE_NAMER_H

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "counters.h"
#include "dwarf_client.h"
#include "file_table.h"
#include "source_line.h"
#include "symbols.h"

namespace strobe {

struct NamerLimits {
  size_t symbol_cache_bytes = 0;
  size_t dwarf_bytes = 0; /* memory of the DWARF child; 0: no DWARF is read */
};

/* Lines of one address, innermost first; empty: it has no name. */
struct NamedAddress {
  SourceLines lines;
  bool is_final = true; /* false: a better answer may come when it is asked again */
};

/*
 * Names addresses of files: by DWARF where there is some, else by symbol tables.
 *
 * A name in the symbol table helps DWARF out where that has none: assembler has lines without functions,
 * and some compilers leave out linkage names. Not thread-safe.
 */
class FileNamer {
 public:
  FileNamer(const NamerLimits& limits, Counters& counters);

  /* Opens the file, or null; called only when something of it has to be read. */
  using Open = std::function<std::shared_ptr<const OpenFile>()>;

  /* key names the file for the life of this object; addresses: virtual ones in the file. One answer each. */
  std::vector<NamedAddress> name(uint32_t key, const std::vector<uint64_t>& addresses, const Open& open,
                                 uint64_t deadline_ns);
  /* Called now and then: gives back what was not used for a while. */
  void rest() { dwarf_.rest(); }
  void add_usage(std::map<std::string, uint64_t, std::less<>>* totals) const;

 private:
  std::shared_ptr<const SymbolIndex> index_of(uint32_t key, const Open& open);

  Counters& counters_;
  SymbolCache symbol_cache_;
  DwarfClient dwarf_;
  std::unordered_set<uint32_t> unreadable_;
  std::unordered_set<uint32_t> with_dwarf_;
};

}  // namespace strobe

#endif
