/* SPDX-License-Identifier: Apache-2.0 */
#ifndef STROBE_SMALL_FILE_H
#define STROBE_SMALL_FILE_H

#include <cstddef>
#include <string>

namespace strobe {

/* Text of a file of /proc below an open folder, cut at limit bytes; '' when it cannot be read. */
std::string read_small_file(int folder_fd, const char* name, size_t limit);

}  // namespace strobe

#endif
