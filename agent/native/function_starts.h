/* SPDX-License-Identifier: Apache-2.0 */
#ifndef STROBE_FUNCTION_STARTS_H
#define STROBE_FUNCTION_STARTS_H

#include <cstdint>
#include <optional>

#include "elf_image.h"

namespace strobe {

/*
 * Where the function around vaddr starts, by .eh_frame_hdr, which stripping leaves: a sorted table of
 * functions that is searched in the file, some 20 small reads. Nothing without a table, or where no entry
 * covers vaddr.
 */
std::optional<uint64_t> find_function_start(const ElfImage& image, uint64_t vaddr);

}  // namespace strobe

#endif
