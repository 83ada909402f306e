/* SPDX-License-Identifier: Apache-2.0 */
#include "process_files.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <list>
#include <string_view>

#include "elf_image.h"
#include "owned.h"
#include "process_metadata.h"

namespace strobe {

namespace {

constexpr auto kPatience = std::chrono::seconds(2);
constexpr size_t kMaxNames = 4096;
constexpr size_t kMaxStatusBytes = 16384;
constexpr size_t kMaxPackageLists = 20000;
constexpr size_t kMaxListBytes = 8u << 20;
constexpr size_t kMaxPackageBytes = 96u << 20;
constexpr size_t kMaxPackageRoots = 8;

const char* open_reason(int error) {
  if (error == ENOENT || error == ENOTDIR) return "FILE_MISSING";
  if (error == ESRCH) return "PROCESS_GONE";
  return "FILE_DENIED";
}

OwnedFd open_below(int root, const char* path, uint64_t flags, uint64_t resolve) {
  open_how how{};
  how.flags = flags | O_CLOEXEC;
  how.resolve = resolve | RESOLVE_NO_MAGICLINKS;
  return OwnedFd(static_cast<int>(syscall(SYS_openat2, root, path, &how, sizeof how)));
}

/* Opens what an O_PATH descriptor names: a device or a pipe would act on being opened. */
OwnedFd reopen(const OwnedFd& path_fd, int flags) {
  char name[40];
  snprintf(name, sizeof name, "/proc/self/fd/%d", path_fd.get());
  return OwnedFd(::open(name, O_RDONLY | O_NONBLOCK | O_CLOEXEC | O_NOCTTY | flags));
}

OwnedFd root_of(const OwnedFd& process) {
  return OwnedFd(openat(process.get(), "root", O_PATH | O_DIRECTORY | O_CLOEXEC));
}

bool may_read(const OwnedFd& process, const struct stat& status) {
  uint32_t uid, gid;
  if (!process_ids("\n" + process_read(process, "status", kMaxStatusBytes), &uid, &gid)) return false;
  if (uid == 0 || (status.st_mode & S_IROTH) != 0) return true;
  if (status.st_uid == uid) return (status.st_mode & S_IRUSR) != 0;
  return status.st_gid == gid && (status.st_mode & S_IRGRP) != 0;
}

/* path inside the process's root; the type is S_IFREG or S_IFDIR. */
OwnedFd open_of_process(const OwnedFd& process, const std::string& path, mode_t type, std::string* reason) {
  OwnedFd root = root_of(process);
  if (!root) {
    *reason = open_reason(errno);
    return OwnedFd();
  }
  OwnedFd found = open_below(root.get(), path.c_str(), O_PATH, RESOLVE_IN_ROOT);
  struct stat status;
  if (!found || fstat(found.get(), &status) != 0) {
    *reason = open_reason(errno);
    return OwnedFd();
  }
  if ((status.st_mode & S_IFMT) != type) {
    *reason = "FILE_NOT_REGULAR";
    return OwnedFd();
  }
  if (!may_read(process, status)) {
    *reason = "FILE_DENIED";
    return OwnedFd();
  }
  OwnedFd fd = reopen(found, type == S_IFDIR ? O_DIRECTORY : 0);
  if (!fd) *reason = open_reason(errno);
  return fd;
}

std::vector<uint8_t> read_start(int fd, size_t max_bytes) {
  std::vector<uint8_t> bytes;
  struct stat status;
  if (fstat(fd, &status) != 0) return bytes;
  bytes.resize(std::min(max_bytes, static_cast<size_t>(std::max<off_t>(status.st_size, 0))));
  size_t at = 0;
  while (at < bytes.size()) {
    ssize_t got = pread(fd, bytes.data() + at, bytes.size() - at, static_cast<off_t>(at));
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) break;
    at += static_cast<size_t>(got);
  }
  bytes.resize(at);
  return bytes;
}

template <typename Each>
void each_name(const OwnedFd& folder, Each each) {
  OwnedFd copy(fcntl(folder.get(), F_DUPFD_CLOEXEC, 0));
  DIR* dir = copy ? fdopendir(copy.get()) : nullptr;
  if (!dir) return;
  copy.release(); /* closed by closedir */
  while (const dirent* entry = readdir(dir)) {
    if (!each(std::string_view(entry->d_name))) break;
  }
  closedir(dir);
}

uint64_t hash_path(std::string_view path) {
  /* Since the merge of /usr, packages list /bin/x where the process runs /usr/bin/x. */
  if (path.substr(0, 5) == "/usr/") path.remove_prefix(4);
  uint64_t hash = 0xcbf29ce484222325ULL;
  for (char byte : path) hash = (hash ^ static_cast<uint8_t>(byte)) * 0x100000001b3ULL;
  return hash;
}

bool is_never_executed(std::string_view path) {
  for (std::string_view prefix : {"/usr/share/", "/usr/include/", "/etc/", "/var/"})
    if (path.substr(0, prefix.size()) == prefix) return true;
  return false;
}

}  // namespace

/* Paths of all packages of a root, as sorted hashes. */
struct ProcessFiles::Packages {
  struct Root {
    dev_t dev;
    ino_t inode;
    int64_t changed_ns;
    std::vector<uint64_t> paths;
  };
  std::mutex mutex;
  std::list<std::shared_ptr<const Root>> roots; /* last used first */

  PackageOwner owner(int root, const std::string& path);
};

PackageOwner ProcessFiles::Packages::owner(int root, const std::string& path) {
  OwnedFd info = open_below(root, "var/lib/dpkg/info", O_RDONLY | O_DIRECTORY, RESOLVE_IN_ROOT);
  struct stat status;
  if (!info || fstat(info.get(), &status) != 0) return PackageOwner::kUnknown;
  int64_t changed_ns = status.st_mtim.tv_sec * 1000000000LL + status.st_mtim.tv_nsec;
  std::shared_ptr<const Root> found;
  std::lock_guard<std::mutex> lock(mutex);
  for (auto at = roots.begin(); at != roots.end(); ++at) {
    if ((*at)->dev != status.st_dev || (*at)->inode != status.st_ino || (*at)->changed_ns != changed_ns)
      continue;
    found = *at;
    roots.splice(roots.begin(), roots, at);
    break;
  }
  if (!found) {
    auto made = std::make_shared<Root>(Root{status.st_dev, status.st_ino, changed_ns, {}});
    size_t lists = 0, bytes = 0;
    int folder = info.get();
    std::vector<std::string> names;
    each_name(info, [&](std::string_view name) {
      if (name.size() > 5 && name.substr(name.size() - 5) == ".list") names.emplace_back(name);
      return ++lists < kMaxPackageLists;
    });
    for (const std::string& name : names) {
      OwnedFd list =
          open_below(folder, name.c_str(), O_RDONLY | O_NONBLOCK, RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS);
      struct stat entry;
      if (!list || fstat(list.get(), &entry) != 0 || !S_ISREG(entry.st_mode)) continue;
      std::vector<uint8_t> text = read_start(list.get(), std::min(kMaxListBytes, kMaxPackageBytes - bytes));
      bytes += text.size();
      std::string_view rest(reinterpret_cast<const char*>(text.data()), text.size());
      while (!rest.empty()) {
        size_t end = std::min(rest.find('\n'), rest.size());
        std::string_view line = rest.substr(0, end);
        if (!line.empty() && !is_never_executed(line)) made->paths.push_back(hash_path(line));
        rest.remove_prefix(std::min(end + 1, rest.size()));
      }
    }
    if (made->paths.empty()) return PackageOwner::kUnknown;
    std::sort(made->paths.begin(), made->paths.end());
    made->paths.shrink_to_fit();
    roots.push_front(made);
    if (roots.size() > kMaxPackageRoots) roots.pop_back();
    found = made;
  }
  bool is_listed = std::binary_search(found->paths.begin(), found->paths.end(), hash_path(path));
  return is_listed ? PackageOwner::kPackage : PackageOwner::kNone;
}

ProcessFiles::ProcessFiles() : packages_(std::make_shared<Packages>()) {}

ProcessFile ProcessFiles::read(uint32_t pid, uint64_t start_boottime, const std::string& path,
                               size_t max_bytes) {
  auto file = std::make_shared<ProcessFile>();
  bool is_done = thread_.run(kPatience, [=] {
    OwnedFd process = process_open(pid, start_boottime);
    if (!process) {
      file->reason = "PROCESS_GONE";
      return;
    }
    OwnedFd fd = open_of_process(process, path, S_IFREG, &file->reason);
    if (fd) file->bytes = read_start(fd.get(), max_bytes);
  });
  return is_done ? std::move(*file) : ProcessFile{"FILE_HUNG", {}};
}

ProcessFile ProcessFiles::list(uint32_t pid, uint64_t start_boottime, const std::string& path) {
  auto file = std::make_shared<ProcessFile>();
  bool is_done = thread_.run(kPatience, [=] {
    OwnedFd process = process_open(pid, start_boottime);
    if (!process) {
      file->reason = "PROCESS_GONE";
      return;
    }
    OwnedFd fd = open_of_process(process, path, S_IFDIR, &file->reason);
    if (!fd) return;
    size_t names = 0;
    each_name(fd, [&](std::string_view name) {
      file->bytes.insert(file->bytes.end(), name.begin(), name.end());
      file->bytes.push_back('\n');
      return ++names < kMaxNames;
    });
  });
  return is_done ? std::move(*file) : ProcessFile{"FILE_HUNG", {}};
}

ExecutableFacts ProcessFiles::executable(uint32_t pid, uint64_t start_boottime, const std::string& path) {
  auto facts = std::make_shared<ExecutableFacts>();
  auto packages = packages_;
  bool is_done = thread_.run(kPatience, [=] {
    OwnedFd process = process_open(pid, start_boottime);
    OwnedFd root = process ? root_of(process) : OwnedFd();
    if (!root) {
      facts->reason = "PROCESS_GONE";
      return;
    }
    /* The link leads to the file that runs, also when its path was deleted or replaced. */
    OwnedFd fd(openat(process.get(), "exe", O_RDONLY | O_NONBLOCK | O_CLOEXEC));
    std::string ignored;
    auto image = fd ? ElfImage::open(fd.get(), &ignored) : nullptr;
    if (image) facts->build_id = image->build_id();
    if (!path.empty()) facts->owner = packages->owner(root.get(), path);
  });
  return is_done ? std::move(*facts) : ExecutableFacts{"FILE_HUNG", "", PackageOwner::kUnknown};
}

}  // namespace strobe
