/* SPDX-License-Identifier: Apache-2.0 */
#include "file_table.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/auxv.h>
#include <sys/stat.h>

#include "../../bpf/profiler/types.h"
#include "file_open.h"
#include "unwind_tables.h"

#include <algorithm>

namespace strobe {

namespace {

/* Descriptors kept so that deleted files can still be symbolized; RLIMIT_NOFILE is 1,024 by default. */
constexpr size_t kMaxOpenFiles = 512;
constexpr uint64_t kPage = 4096;
constexpr uint32_t kMaxAttempts = 8;

bool is_same_file(const FileIdentity& identity, int fd, const ElfImage* image) {
  if (!identity.build_id.empty()) return image != nullptr && image->build_id() == identity.build_id;
  struct stat status;
  if (fstat(fd, &status) != 0 || static_cast<uint64_t>(status.st_ino) != identity.inode) return false;
  if (identity.changed_ns == 0) return true;
  return static_cast<uint64_t>(status.st_mtim.tv_sec) * 1000000000ULL +
             static_cast<uint64_t>(status.st_mtim.tv_nsec) ==
         identity.changed_ns;
}

}  // namespace

const char* file_stage_name(FileStage stage) {
  switch (stage) {
    case FileStage::kUnknown:
    case FileStage::kPlaced:
      return "pending";
    case FileStage::kReady:
      return "ready";
    case FileStage::kFramePointers:
      return "frame_pointers";
    case FileStage::kFailed:
    case FileStage::kNotElf:
      return "failed";
  }
  return "failed";
}

std::string FileTable::key_of(const FileIdentity& identity) {
  if (identity.is_vdso) return "vdso";
  if (!identity.build_id.empty()) return "b:" + identity.build_id;
  char text[128];
  snprintf(text, sizeof text, "i:%x:%x:%" PRIu64 ":%" PRIu64 ":%" PRIu64 ":", identity.major, identity.minor,
           identity.inode, identity.inode_generation, identity.changed_ns);
  return text + identity.path;
}

FileTable::Reserved FileTable::reserve(const FileIdentity& identity, const OpenHint& hint) {
  std::string key = key_of(identity);
  std::lock_guard<std::mutex> lock(mutex_);
  /* A file whose first process was gone before it could be opened gets another id with the next: the
   * failed one may be in samples already. */
  uint32_t attempts = 1;
  auto found = by_key_.find(key);
  if (found != by_key_.end()) {
    uint32_t id = found->second;
    const Entry* entry = resolve(&id);
    bool is_worth_a_try = entry && entry->stage == FileStage::kFailed && entry->hint.pid != hint.pid &&
                          entry->attempts < kMaxAttempts && entry->reason.rfind("OPEN_", 0) == 0;
    if (!is_worth_a_try) return {id, false};
    attempts = entry->attempts + 1;
  }
  uint32_t id = tables_->reserve_file();
  if (id == 0) {
    counters_->add("file_table_full");
    return {0, false};
  }
  by_key_[std::move(key)] = id;
  Entry& entry = entries_[id];
  entry.attempts = attempts;
  entry.identity = identity;
  entry.build_id = identity.build_id;
  entry.hint = hint;
  return {id, true};
}

const FileTable::Entry* FileTable::resolve(uint32_t* id) const {
  auto found = entries_.find(*id);
  if (found == entries_.end()) return nullptr;
  /* A failed file can alias one that failed before: chains are short, and bounded here. */
  for (int hop = 0; hop < 8 && found->second.alias_of != 0; hop++) {
    *id = found->second.alias_of;
    found = entries_.find(*id);
    if (found == entries_.end()) return nullptr;
  }
  return &found->second;
}

FilePlace FileTable::place(uint32_t id, uint64_t map_start, uint64_t pgoff) const {
  std::lock_guard<std::mutex> lock(mutex_);
  const Entry* entry = resolve(&id);
  if (!entry) return {0, true, 0};
  switch (entry->stage) {
    case FileStage::kUnknown:
      return {id, false, map_start - pgoff};
    case FileStage::kNotElf:
      return {0, true, 0};
    case FileStage::kFailed:
      return {id, true, map_start - pgoff};
    default:
      break;
  }
  if (entry->identity.is_vdso) return {id, true, map_start};
  /* The rule of ElfImage::exec_bias, over the segments kept here. */
  const ElfSegment* best = nullptr;
  int best_rank = 0;
  for (const ElfSegment& segment : entry->loads) {
    uint64_t first = segment.offset & ~(kPage - 1);
    if (pgoff < first) continue;
    if (pgoff >= segment.offset && pgoff - segment.offset >= segment.file_size) continue;
    int rank = ((segment.flags & PF_X) != 0 ? 2 : 0) + (pgoff == first ? 1 : 0) + 1;
    if (rank > best_rank) {
      best = &segment;
      best_rank = rank;
    }
  }
  if (!best) return {id, true, map_start - pgoff};
  return {id, true, map_start - (best->vaddr + (pgoff - best->offset))};
}

std::shared_ptr<const OpenFile> FileTable::open(uint32_t id, std::string* reason) {
  FileIdentity identity;
  OpenHint hint;
  {
    std::lock_guard<std::mutex> lock(mutex_);
    resolve(&id);
    auto found = entries_.find(id);
    if (found == entries_.end()) {
      *reason = "OPEN_UNKNOWN_ID";
      return nullptr;
    }
    Entry& entry = found->second;
    if (entry.file) {
      if (entry.is_recent) recent_.splice(recent_.begin(), recent_, entry.recent);
      return entry.file;
    }
    identity = entry.identity;
    hint = entry.hint;
  }
  auto file = std::make_shared<OpenFile>();
  if (identity.is_vdso) {
    /* Every process of this kernel has the same 64-bit vDSO as we do. */
    const auto* base = reinterpret_cast<const uint8_t*>(getauxval(AT_SYSINFO_EHDR));
    if (!base) {
      *reason = "OPEN_NO_VDSO";
      return nullptr;
    }
    Elf64_Ehdr header;
    std::copy(base, base + sizeof header, reinterpret_cast<uint8_t*>(&header));
    uint64_t size = header.e_shoff + static_cast<uint64_t>(header.e_shnum) * header.e_shentsize;
    file->image = ElfImage::from_memory(base, size, reason);
    return file->image ? file : nullptr;
  }
  char root[64];
  snprintf(root, sizeof root, "/proc/%u/root", hint.pid);
  std::string first_reason;
  for (int attempt = 0; attempt < 3; attempt++) {
    std::string why;
    OwnedFd fd;
    if (attempt == 0) {
      fd = open_in_root(root, identity.path, &why);
    } else if (attempt == 1) {
      char name[96];
      snprintf(name, sizeof name, "/proc/%u/map_files/%" PRIx64 "-%" PRIx64, hint.pid, hint.start, hint.end);
      OwnedFd path_fd(::open(name, O_PATH | O_CLOEXEC));
      if (path_fd)
        fd = reopen_regular(path_fd, &why);
      else
        why = open_error(errno);
    } else {
      /* The process is gone or its root is closed to us: the same file is often in our own root. */
      fd = open_in_root("/", identity.path, &why);
    }
    if (fd) {
      std::string elf_reason;
      auto image = ElfImage::open(fd.get(), &elf_reason);
      if (is_same_file(identity, fd.get(), image.get())) {
        if (!image) {
          *reason = elf_reason;
          return nullptr;
        }
        file->fd = std::move(fd);
        file->image = std::move(image);
        file->root = attempt == 2 ? "/" : root;
        file->path = identity.path;
        return file;
      }
      why = "OPEN_MISMATCH";
    }
    if (first_reason.empty() || why == "OPEN_MISMATCH") first_reason = why;
  }
  *reason = first_reason;
  return nullptr;
}

void FileTable::keep_open(uint32_t id, Entry& entry, std::shared_ptr<const OpenFile> file) {
  entry.file = std::move(file);
  if (!entry.is_recent) {
    recent_.push_front(id);
    entry.recent = recent_.begin();
    entry.is_recent = true;
  }
  while (recent_.size() > kMaxOpenFiles) {
    Entry& oldest = entries_[recent_.back()];
    oldest.file.reset();
    oldest.is_recent = false;
    recent_.pop_back();
    counters_->add("file_descriptors_dropped");
  }
}

uint32_t FileTable::opened(uint32_t id, std::shared_ptr<const OpenFile> file) {
  struct stat status{};
  if (file->fd) fstat(file->fd.get(), &status);
  const ElfImage& image = *file->image;
  std::lock_guard<std::mutex> lock(mutex_);
  resolve(&id);
  auto found = entries_.find(id);
  if (found == entries_.end()) return 0;
  Entry& entry = found->second;
  if (entry.stage != FileStage::kUnknown) {
    keep_open(id, entry, std::move(file));
    return id;
  }
  std::string content_key;
  if (entry.identity.is_vdso) {
    content_key = "vdso";
  } else if (!image.build_id().empty()) {
    content_key = "b:" + image.build_id();
  } else {
    char text[160];
    snprintf(text, sizeof text, "o:%" PRIx64 ":%" PRIu64 ":%" PRId64 ".%09" PRId64 ":%" PRId64,
             static_cast<uint64_t>(status.st_dev), static_cast<uint64_t>(status.st_ino),
             static_cast<int64_t>(status.st_mtim.tv_sec), static_cast<int64_t>(status.st_mtim.tv_nsec),
             static_cast<int64_t>(status.st_size));
    content_key = text;
  }
  auto [known, is_first] = by_key_.emplace(content_key, id);
  uint32_t owner = known->second;
  resolve(&owner);
  if (!is_first && owner != id) {
    /* A known file that could not be opened then may be opened now, by this other way in. */
    Entry& other = entries_[owner];
    if (other.stage != FileStage::kFailed && other.stage != FileStage::kUnknown) {
      entry.alias_of = owner;
      counters_->add("file_aliases");
      return owner;
    }
    other.alias_of = id;
    known->second = id;
  }
  entry.stage = FileStage::kPlaced;
  entry.lowest_vaddr = image.lowest_vaddr();
  entry.build_id = image.build_id();
  entry.size = image.size();
  for (const ElfSegment& segment : image.segments())
    if (segment.type == PT_LOAD && segment.file_size != 0) entry.loads.push_back(segment);
  keep_open(id, entry, std::move(file));
  return id;
}

void FileTable::failed(uint32_t id, FileStage stage, const std::string& reason) {
  std::lock_guard<std::mutex> lock(mutex_);
  Entry& entry = entries_[id];
  entry.stage = stage;
  entry.reason = reason;
}

void FileTable::built(uint32_t id, FileStage stage, const std::string& reason) { failed(id, stage, reason); }

std::vector<FileInfo> FileTable::list() const {
  std::lock_guard<std::mutex> lock(mutex_);
  std::vector<FileInfo> files;
  files.reserve(entries_.size());
  for (const auto& [id, entry] : entries_) {
    if (entry.alias_of != 0 || entry.stage == FileStage::kNotElf) continue;
    files.push_back(
        {id, entry.identity.path, entry.build_id, entry.lowest_vaddr, entry.size, entry.stage, entry.reason});
  }
  return files;
}

std::optional<FileInfo> FileTable::find(uint32_t id) const {
  std::lock_guard<std::mutex> lock(mutex_);
  const Entry* entry = resolve(&id);
  if (!entry) return std::nullopt;
  return FileInfo{id,          entry->identity.path, entry->build_id, entry->lowest_vaddr,
                  entry->size, entry->stage,         entry->reason};
}

size_t FileTable::open_descriptors() const {
  std::lock_guard<std::mutex> lock(mutex_);
  return recent_.size();
}

}  // namespace strobe
