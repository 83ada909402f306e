/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The files that executable mappings come from.
 *
 *   mapping (build id, or device and inode) -> key -> file id -> descriptor, segments, state
 *
 * One file is seen under several keys: a side-band record has a build id or (device, inode), a scan
 * has (device, inode, change time), and on overlayfs and btrfs the device differs between
 * /proc/PID/maps and stat. So the first key seen reserves an id at once, and when the file is open
 * and turns out to be a known one (build id, or device, inode, time and size of the open file), the
 * new id becomes an alias of the known one.
 */
#ifndef STROBE_FILE_TABLE_H
#define STROBE_FILE_TABLE_H

#include <cstdint>
#include <list>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "counters.h"
#include "elf_image.h"
#include "owned.h"

namespace strobe {

class UnwindTables;

/* How a mapping names its file. */
struct FileIdentity {
  std::string path;     /* as the process sees it, without ' (deleted)' */
  std::string build_id; /* lower-case hex; '' when the record has none */
  uint32_t major = 0;
  uint32_t minor = 0;
  uint64_t inode = 0;            /* 0 when the record has a build id instead */
  uint64_t inode_generation = 0; /* side-band records */
  uint64_t changed_ns = 0;       /* scans: st_mtim, 0 when unknown */
  bool is_vdso = false;
};

/* Where to open a file from. */
struct OpenHint {
  uint32_t pid = 0;
  uint64_t start = 0;
  uint64_t end = 0;
};

enum class FileStage : uint8_t {
  kUnknown,       /* reserved, not opened */
  kPlaced,        /* segments known: mappings can get their bias */
  kReady,         /* has a table */
  kFramePointers, /* open, no table */
  kFailed,        /* could not be opened */
  kNotElf,        /* opened and no ELF file: mappings count as anonymous memory */
};
const char* file_stage_name(FileStage stage);

struct FileInfo {
  uint32_t id = 0;
  std::string path;
  std::string build_id;
  uint64_t lowest_vaddr = 0;
  uint64_t size = 0; /* bytes, 0 until it was opened */
  FileStage stage = FileStage::kUnknown;
  std::string reason;
};

/* What a mapping needs of its file. */
struct FilePlace {
  uint32_t id = 0; /* aliases followed; 0: treat as anonymous memory */
  bool is_known = false;
  uint64_t bias = 0;
};

/* A file opened for reading, with the image on top of its descriptor. */
struct OpenFile {
  OwnedFd fd; /* -1 for the vDSO */
  std::unique_ptr<ElfImage> image;
  /* Where files that belong to it are looked for: its process's root (or "/"), and its path there. */
  std::string root;
  std::string path;
};

class FileTable {
 public:
  FileTable(std::shared_ptr<UnwindTables> tables, std::shared_ptr<Counters> counters)
      : tables_(std::move(tables)), counters_(std::move(counters)) {}

  struct Reserved {
    uint32_t id; /* 0: the table is full, publish as anonymous memory */
    bool is_new; /* the caller queues it for the builder */
  };
  Reserved reserve(const FileIdentity& identity, const OpenHint& hint);

  FilePlace place(uint32_t id, uint64_t map_start, uint64_t pgoff) const;
  /* Opens the file for the first time, or again when its descriptor was dropped. May block on
   * foreign file systems: worker threads only. nullptr: *reason (OPEN_GONE, OPEN_DENIED,
   * OPEN_NOT_REGULAR, OPEN_MISMATCH, ELF_...). */
  std::shared_ptr<const OpenFile> open(uint32_t id, std::string* reason);

  /* Records what open found. Returns the id that mappings shall carry: id, or the known file it
   * turned out to be. */
  uint32_t opened(uint32_t id, std::shared_ptr<const OpenFile> file);
  void failed(uint32_t id, FileStage stage, const std::string& reason);
  void built(uint32_t id, FileStage stage, const std::string& reason);

  std::vector<FileInfo> list() const;
  std::optional<FileInfo> find(uint32_t id) const;
  size_t open_descriptors() const;

 private:
  struct Entry {
    FileIdentity identity;
    OpenHint hint;
    FileStage stage = FileStage::kUnknown;
    std::string reason;
    uint32_t alias_of = 0;
    uint32_t attempts = 1; /* ids that its key had, this one included */
    uint64_t lowest_vaddr = 0;
    std::string build_id;
    uint64_t size = 0;
    uint64_t changed_ns = 0;
    std::vector<ElfSegment> loads;
    std::shared_ptr<const OpenFile> file;
    std::list<uint32_t>::iterator recent;
    bool is_recent = false;
  };
  static std::string key_of(const FileIdentity& identity);
  void keep_open(uint32_t id, Entry& entry, std::shared_ptr<const OpenFile> file);
  const Entry* resolve(uint32_t* id) const;

  std::shared_ptr<UnwindTables> tables_;
  std::shared_ptr<Counters> counters_;
  mutable std::mutex mutex_;
  std::unordered_map<std::string, uint32_t> by_key_;
  std::unordered_map<uint32_t, Entry> entries_;
  std::list<uint32_t> recent_; /* ids with a descriptor, the most recently used first */
};

}  // namespace strobe

#endif
