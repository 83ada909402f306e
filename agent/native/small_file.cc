/* SPDX-License-Identifier: Apache-2.0 */
#include "small_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "owned.h"

namespace strobe {

std::string read_small_file(int folder_fd, const char* name, size_t limit) {
  OwnedFd fd(openat(folder_fd, name, O_RDONLY | O_CLOEXEC));
  std::string text;
  if (!fd) return text;
  char buffer[16384];
  while (text.size() < limit) {
    ssize_t got = read(fd.get(), buffer, std::min(sizeof buffer, limit - text.size()));
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) break;
    text.append(buffer, static_cast<size_t>(got));
  }
  return text;
}

}  // namespace strobe
