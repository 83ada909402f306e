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
#include "debug_files.h"
#include "dwarf_client.h"
#include "file_table.h"
#include "go_pclntab.h"
#include "patient_thread.h"
#include "source_line.h"
#include "symbols.h"

namespace strobe {

struct NamerOptions {
  size_t symbol_cache_bytes = 0;
  size_t dwarf_bytes = 0;   /* memory of the DWARF child; 0: no DWARF is read */
  std::string debug_folder; /* of debug files by build id, '' for none */
};

/* The best source of names that a file has, worst first. */
enum class SymbolQuality : uint8_t { kNone, kDynamic, kSymbols, kDwarf };
const char* symbol_quality_name(SymbolQuality quality);

/* Lines of one address, innermost first; empty: it has no name. */
struct NamedAddress {
  SourceLines lines;
  uint64_t start = 0;   /* without a name: where the function starts, 0 when that is not known */
  bool is_final = true; /* false: a better answer may come when it is asked again */
};

/*
 * Names addresses of files: by Go's own table in Go programs, by DWARF where there is some, else by symbol
 * tables; of the file itself, of the debug file that belongs to it, and of the mini debug info in it.
 *
 * A name in the symbol table helps DWARF out where that has none: assembler has lines without functions,
 * and some compilers leave out linkage names. Not thread-safe.
 */
class FileNamer {
 public:
  FileNamer(const NamerOptions& options, std::shared_ptr<Counters> counters);

  /* Opens the file, or null; called only when something of it has to be read, and on a thread that is given
   * up when it hangs: it holds no references. */
  using Open = std::function<std::shared_ptr<const OpenFile>()>;

  /* key names the file for the life of this object; addresses: virtual ones in the file. One answer each. */
  std::vector<NamedAddress> name(uint32_t key, const std::vector<uint64_t>& addresses, const Open& open,
                                 uint64_t deadline_ns);
  /* Called now and then: gives back what was not used for a while. */
  void rest() { dwarf_.rest(); }
  void add_usage(std::map<std::string, uint64_t, std::less<>>* totals) const;
  /* Build ids of files that were asked about and have no DWARF, each once. */
  std::vector<std::string> take_wanted();
  /* A debug file of this build id came into the folder: files with it are looked at again. Their keys. */
  std::vector<uint32_t> debug_file_arrived(const std::string& build_id);

 private:
  /* What was found about a file. */
  struct File {
    bool is_readable = false;
    std::string build_id;
    SymbolQuality quality = SymbolQuality::kNone;
    std::shared_ptr<const GoTable> go;
  };
  using Lines = std::unordered_map<uint64_t, SourceLines>;
  Lines ask_go(const File& file, const std::vector<uint64_t>& addresses, const Open& open);
  std::shared_ptr<const SymbolIndex> index_of(uint32_t key, const Open& open);
  std::vector<int> lend_dwarf(const Open& open);
  void find_starts(const std::vector<uint64_t>& addresses, const Open& open,
                   std::vector<NamedAddress>* named);

  std::shared_ptr<Counters> counters_;
  std::shared_ptr<const DebugFiles> debug_files_;
  SymbolCache symbol_cache_;
  DwarfClient dwarf_;
  PatientThread thread_;
  std::unordered_map<uint32_t, File> files_;
  std::vector<std::string> wanted_;
  std::unordered_set<std::string> ever_wanted_;
  std::vector<std::shared_ptr<const OpenFile>> lent_; /* open while the child is handed their descriptors */
};

}  // namespace strobe

#endif
