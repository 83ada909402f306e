/* SPDX-License-Identifier: Apache-2.0 */
#ifndef STROBE_PLT_H
#define STROBE_PLT_H

#include <cstdint>
#include <string>
#include <vector>

#include "elf_image.h"

namespace strobe {

struct PltEntry {
  uint64_t start;
  uint64_t end;
  std::string name; /* 'malloc@plt' */
};

/* The entries of a file's procedure linkage tables, in no order; empty on machines other than
 * x86-64 (plt_x86_64.cc), where such frames stay unnamed. */
std::vector<PltEntry> read_plt(const ElfImage& image);

}  // namespace strobe

#endif
