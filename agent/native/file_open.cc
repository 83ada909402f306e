/* SPDX-License-Identifier: Apache-2.0 */
#include "file_open.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace strobe {

const char* open_error(int error) {
  switch (error) {
    case ENOENT:
    case ESRCH:
    case ENOTDIR:
      return "OPEN_GONE";
    case EACCES:
    case EPERM:
      return "OPEN_DENIED";
    case EMFILE:
    case ENFILE:
      return "OPEN_NO_DESCRIPTORS";
    default:
      return "OPEN_FAILED";
  }
}

OwnedFd reopen_regular(const OwnedFd& path_fd, std::string* reason) {
  struct stat status;
  if (fstat(path_fd.get(), &status) != 0 || !S_ISREG(status.st_mode)) {
    *reason = "OPEN_NOT_REGULAR";
    return OwnedFd();
  }
  char name[40];
  snprintf(name, sizeof name, "/proc/self/fd/%d", path_fd.get());
  OwnedFd fd(::open(name, O_RDONLY | O_NONBLOCK | O_CLOEXEC | O_NOCTTY));
  if (!fd) *reason = open_error(errno);
  return fd;
}

OwnedFd open_in_root(const std::string& root, const std::string& path, std::string* reason) {
  OwnedFd root_fd(::open(root.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!root_fd) {
    *reason = open_error(errno);
    return OwnedFd();
  }
  open_how how{};
  how.flags = O_PATH | O_CLOEXEC;
  how.resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS;
  OwnedFd path_fd(static_cast<int>(syscall(SYS_openat2, root_fd.get(), path.c_str(), &how, sizeof how)));
  if (!path_fd) {
    *reason = open_error(errno);
    return OwnedFd();
  }
  return reopen_regular(path_fd, reason);
}

}  // namespace strobe
