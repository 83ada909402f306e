/* SPDX-License-Identifier: Apache-2.0 */
#ifndef STROBE_DEBUG_FILES_H
#define STROBE_DEBUG_FILES_H

#include <memory>
#include <string>

#include "elf_image.h"
#include "file_table.h"

namespace strobe {

/* True when the file itself has DWARF. */
bool has_dwarf(const ElfImage& image);
bool has_symbol_table(const ElfImage& image);

/*
 * Where the names of a stripped file went: the file that debuggers would find.
 *
 *   1. /usr/lib/debug/.build-id/ab/cdef.debug      in the process's root, then in ours
 *   2. what .gnu_debuglink names: beside the file, in .debug there, in /usr/lib/debug and its folder
 *   3. FOLDER/BUILDID/debuginfo, where debuginfod's answers are kept
 *
 * A file counts only with the same build id or, when one of the two has none, with the checksum that the link
 * tells. All paths may hang: call it on a PatientThread.
 */
class DebugFiles {
 public:
  /* folder: of 3; '' for none. */
  explicit DebugFiles(std::string folder) : folder_(std::move(folder)) {}

  /* The first of them with DWARF, else the first with symbols; null when there is none. */
  std::shared_ptr<const OpenFile> find(const OpenFile& file) const;
  /* The file that .gnu_debugaltlink of `file` names (dwz moves what files share to it); null without. */
  std::shared_ptr<const OpenFile> find_alternate(const OpenFile& file) const;

 private:
  const std::string folder_;
};

/* .gnu_debugdata: the symbols that a distribution left in a stripped file, an ELF file packed by xz. Null
 * without, or when it is not sound or larger than 64 MiB. */
std::unique_ptr<ElfImage> read_mini_debug_info(const ElfImage& image);

}  // namespace strobe

#endif
