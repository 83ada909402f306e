/* SPDX-License-Identifier: Apache-2.0 */
#ifndef STROBE_TESTS_UNWIND_FIXTURE_H
#define STROBE_TESTS_UNWIND_FIXTURE_H

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cinttypes>
#include <fstream>
#include <map>
#include <memory>
#include <sstream>
#include <string>
#include <vector>

#include "../elf_image.h"
#include "../unwind_tables.h"
#include "check.h"

/* A file and its image; the image reads through the descriptor. */
struct OpenImage {
  OpenImage() = default;
  OpenImage(OpenImage&& other) noexcept : fd(other.fd), image(std::move(other.image)) { other.fd = -1; }
  OpenImage(const OpenImage&) = delete;
  OpenImage& operator=(OpenImage&& other) noexcept {
    std::swap(fd, other.fd);
    std::swap(image, other.image);
    return *this;
  }
  ~OpenImage() {
    image.reset();
    if (fd >= 0) close(fd);
  }
  int fd = -1;
  std::unique_ptr<strobe::ElfImage> image;
};

inline OpenImage open_image(const std::string& path) {
  OpenImage opened;
  std::string reason;
  opened.fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (opened.fd >= 0) opened.image = strobe::ElfImage::open(opened.fd, &reason);
  return opened;
}

/* Tables over anonymous files instead of BPF arrays: no privilege needed. */
struct ArrayFixture {
  explicit ArrayFixture(uint32_t segments) {
    strobe::UnwindTableFds fds{make(uint64_t{segments} * sizeof(unwind_segment)),
                               make(MAX_PAGES * sizeof(unwind_page)), make(MAX_RULES * sizeof(unwind_rule)),
                               make(uint64_t{MAX_FILES} * sizeof(unwind_file))};
    std::string error;
    tables = strobe::UnwindTables::open(fds, segments, &error);
    for (int fd : {fds.segments, fds.pages, fds.rules, fds.files}) close(fd);
    if (tables == nullptr) throw std::runtime_error(error);
  }
  static int make(uint64_t bytes) {
    int fd = memfd_create("strobe-test", MFD_CLOEXEC);
    if (fd < 0 || ftruncate(fd, static_cast<off_t>(bytes)) != 0) throw std::runtime_error("memfd");
    return fd;
  }
  std::unique_ptr<strobe::UnwindTables> tables;
};

/* This process's vDSO; its size is only in the maps. Empty when there is none. */
inline std::vector<uint8_t> vdso_bytes() {
  std::ifstream maps("/proc/self/maps");
  for (std::string line; std::getline(maps, line);) {
    uintptr_t start = 0, end = 0;
    if (line.find("[vdso]") == std::string::npos) continue;
    if (std::sscanf(line.c_str(), "%" SCNxPTR "-%" SCNxPTR, &start, &end) != 2) continue;
    const auto* bytes = reinterpret_cast<const uint8_t*>(start);
    return {bytes, bytes + (end - start)};
  }
  return {};
}

/* Files by path, each built at first sight. */
class FileBook {
 public:
  explicit FileBook(strobe::UnwindTables& tables) : tables_(tables) {}

  /* Executable mappings of a process now, as the tracker publishes them. */
  std::vector<mapping_entry> mappings_of(int pid, uint32_t generation) {
    std::vector<mapping_entry> run;
    std::ifstream maps("/proc/" + std::to_string(pid) + "/maps");
    for (std::string line; std::getline(maps, line);) {
      uint64_t start = 0, end = 0, offset = 0;
      char flags[5] = "";
      int path_at = 0;
      if (std::sscanf(line.c_str(), "%" SCNx64 "-%" SCNx64 " %4s %" SCNx64 " %*s %*s %n", &start, &end, flags,
                      &offset, &path_at) < 4)
        continue;
      std::string path = path_at > 0 ? line.substr(static_cast<size_t>(path_at)) : "";
      if (flags[2] != 'x' || path == "[vsyscall]") continue;
      mapping_entry entry{start, end, 0, 0, generation};
      if (path == "[vdso]" || (!path.empty() && path[0] == '/')) {
        File& file = file_of(path);
        entry.file = file.id;
        entry.bias = start;
        if (path[0] == '/' && file.opened.image != nullptr)
          entry.bias = file.opened.image->exec_bias(start, offset).value_or(start - offset);
      }
      run.push_back(entry);
    }
    return run;
  }
  uint32_t id_of(const std::string& path) { return file_of(path).id; }
  std::string path_of(uint32_t id) const {
    for (const auto& [path, file] : files_)
      if (file.id == id) return path;
    return "?";
  }

 private:
  struct File {
    uint32_t id = 0;
    OpenImage opened;
  };
  File& file_of(const std::string& path) {
    auto found = files_.find(path);
    if (found != files_.end()) return found->second;
    File file;
    file.id = tables_.reserve_file();
    std::string reason;
    if (path == "[vdso]") {
      std::vector<uint8_t> vdso = vdso_bytes();
      file.opened.image = strobe::ElfImage::from_memory(vdso.data(), vdso.size(), &reason);
    } else {
      file.opened = open_image(path);
    }
    if (file.opened.image != nullptr)
      tables_.build(file.id, *file.opened.image);
    else
      tables_.mark_frame_pointers(file.id, 0, strobe::UnwindReason::kOpenFailed);
    return files_.emplace(path, std::move(file)).first->second;
  }
  strobe::UnwindTables& tables_;
  std::map<std::string, File> files_;
};

#endif
