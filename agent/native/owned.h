/* SPDX-License-Identifier: Apache-2.0 */
#ifndef STROBE_OWNED_H
#define STROBE_OWNED_H

#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <utility>

namespace strobe {

/* A file descriptor, closed when it goes. */
class OwnedFd {
 public:
  explicit OwnedFd(int fd = -1) : fd_(fd) {}
  OwnedFd(OwnedFd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  OwnedFd& operator=(OwnedFd&& other) noexcept {
    if (this != &other) {
      reset();
      fd_ = std::exchange(other.fd_, -1);
    }
    return *this;
  }
  ~OwnedFd() { reset(); }
  int get() const { return fd_; }
  explicit operator bool() const { return fd_ >= 0; }
  /* The caller closes it from here on. */
  int release() { return std::exchange(fd_, -1); }
  void reset() {
    if (fd_ >= 0) ::close(fd_);
    fd_ = -1;
  }

 private:
  int fd_;
};

/* A memory mapping, unmapped when it goes. */
class OwnedMapping {
 public:
  OwnedMapping() = default;
  OwnedMapping(void* at, size_t bytes) : at_(at == MAP_FAILED ? nullptr : at), bytes_(bytes) {}
  OwnedMapping(OwnedMapping&& other) noexcept
      : at_(std::exchange(other.at_, nullptr)), bytes_(std::exchange(other.bytes_, 0)) {}
  OwnedMapping& operator=(OwnedMapping&& other) noexcept {
    if (this != &other) {
      if (at_) ::munmap(at_, bytes_);
      at_ = std::exchange(other.at_, nullptr);
      bytes_ = std::exchange(other.bytes_, 0);
    }
    return *this;
  }
  ~OwnedMapping() {
    if (at_) ::munmap(at_, bytes_);
  }
  void* get() const { return at_; }
  size_t bytes() const { return bytes_; }
  explicit operator bool() const { return at_ != nullptr; }

 private:
  void* at_ = nullptr;
  size_t bytes_ = 0;
};

inline uint64_t clock_ns(clockid_t clock) {
  timespec now;
  clock_gettime(clock, &now);
  return static_cast<uint64_t>(now.tv_sec) * 1000000000ULL + static_cast<uint64_t>(now.tv_nsec);
}

}  // namespace strobe

#endif
