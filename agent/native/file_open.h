/* SPDX-License-Identifier: Apache-2.0 */
#ifndef STROBE_FILE_OPEN_H
#define STROBE_FILE_OPEN_H

#include <string>

#include "owned.h"

namespace strobe {

/* OPEN_GONE, OPEN_DENIED, OPEN_NO_DESCRIPTORS or OPEN_FAILED. */
const char* open_error(int error);

/* Opens what an O_PATH descriptor names, if it is a regular file: a device or a pipe is never opened.
 * Without one *reason says why (OPEN_NOT_REGULAR or an open_error). */
OwnedFd reopen_regular(const OwnedFd& path_fd, std::string* reason);

/* A regular file by its path inside root, '/proc/PID/root' or '/': an absolute symlink in a process's root
 * must not lead to ours. */
OwnedFd open_in_root(const std::string& root, const std::string& path, std::string* reason);

}  // namespace strobe

#endif
