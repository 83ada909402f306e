/* SPDX-License-Identifier: Apache-2.0 */
#ifndef STROBE_PROCESS_FILES_H
#define STROBE_PROCESS_FILES_H

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "patient_thread.h"

namespace strobe {

struct ProcessFile {
  /* '' when the bytes were read; else PROCESS_GONE, FILE_MISSING, FILE_DENIED, FILE_NOT_REGULAR or FILE_HUNG.
   */
  std::string reason;
  std::vector<uint8_t> bytes;
};

enum class PackageOwner { kUnknown, kNone, kPackage };

struct ExecutableFacts {
  std::string reason; /* as in ProcessFile */
  std::string build_id;
  /* Unknown where the root has no package database of dpkg. */
  PackageOwner owner = PackageOwner::kUnknown;
};

/*
 * Files of other processes, as those processes see them.
 *
 * The path is resolved inside the process's own root (a symlink of a container cannot lead to a file of
 * the host), only regular files are opened, and only those that the process itself may read by owner and
 * mode: the agent can read every file, and must not be led to one by a link. A file system of a user can
 * hang a reader for ever: reads run on a thread of their own, which is given up after two seconds; with
 * four given up everything is refused until one comes back.
 * Limitation: rights by ACL and by the folders above are not looked at.
 */
class ProcessFiles {
 public:
  ProcessFiles();
  /* Waits up to two seconds: call it from a worker. path: absolute. */
  ProcessFile read(uint32_t pid, uint64_t start_boottime, const std::string& path, size_t max_bytes);
  /* Names in a folder, '\n' between them, at most 4,096 of them. */
  ProcessFile list(uint32_t pid, uint64_t start_boottime, const std::string& path);
  /* path: of the executable as the process sees it, '' skips the packages. */
  ExecutableFacts executable(uint32_t pid, uint64_t start_boottime, const std::string& path);

 private:
  struct Packages;

  PatientThread thread_;
  std::shared_ptr<Packages> packages_;
};

}  // namespace strobe

#endif
