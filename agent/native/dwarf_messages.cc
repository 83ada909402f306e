/* SPDX-License-Identifier: Apache-2.0 */
#include "dwarf_messages.h"

#include <poll.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include <algorithm>
#include <cerrno>

namespace strobe {

namespace {

constexpr size_t kMaxLines = 1024;
constexpr size_t kMaxTextBytes = 64u << 10;
constexpr size_t kMaxFds = 2;
constexpr uint64_t kRestNs = 2'000'000'000ULL;

/* -1 without a deadline. */
int milliseconds_until(uint64_t deadline_ns) {
  if (deadline_ns == 0) return -1;
  const uint64_t now = clock_ns(CLOCK_MONOTONIC);
  return now >= deadline_ns
             ? 0
             : static_cast<int>(std::min<uint64_t>((deadline_ns - now) / 1'000'000 + 1, 1'000'000));
}

/* Reads length bytes; descriptors that come along are kept. */
Received read_exact(int socket, uint8_t* to, size_t length, uint64_t deadline_ns, std::vector<OwnedFd>* fds) {
  while (length > 0) {
    pollfd wait{socket, POLLIN, 0};
    const int ready = poll(&wait, 1, milliseconds_until(deadline_ns));
    if (ready < 0 && errno == EINTR) continue;
    if (ready == 0) return Received::kTimeout;
    if (ready < 0) return Received::kClosed;
    iovec part{to, length};
    alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int) * kMaxFds)];
    msghdr message{};
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    message.msg_control = control;
    message.msg_controllen = sizeof control;
    const ssize_t got = recvmsg(socket, &message, MSG_CMSG_CLOEXEC);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return Received::kClosed;
    for (cmsghdr* header = CMSG_FIRSTHDR(&message); header != nullptr;
         header = CMSG_NXTHDR(&message, header)) {
      if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS) continue;
      const size_t count = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
      for (size_t i = 0; i < count; i++) {
        int fd = -1;
        memcpy(&fd, CMSG_DATA(header) + i * sizeof(int), sizeof fd);
        OwnedFd owned(fd);
        if (fds != nullptr) fds->push_back(std::move(owned));
      }
    }
    to += got;
    length -= static_cast<size_t>(got);
  }
  return Received::kMessage;
}

}  // namespace

void ByteWriter::lines(const SourceLines& lines) {
  u32(static_cast<uint32_t>(lines.size()));
  for (const SourceLine& line : lines) {
    for (const std::string* one : {&line.function, &line.linkage_name, &line.file, &line.start_file})
      text(*one);
    u32(line.line);
    u32(line.start_line);
  }
}

std::string ByteReader::text(size_t limit) {
  const uint32_t length = u32();
  if (!ok_ || length > limit || length > bytes_.size() - at_) {
    ok_ = false;
    return "";
  }
  std::string value(reinterpret_cast<const char*>(bytes_.data()) + at_, length);
  at_ += length;
  return value;
}

bool ByteReader::lines(SourceLines* lines) {
  const uint32_t count = u32();
  if (count > kMaxLines) ok_ = false;
  for (uint32_t i = 0; ok_ && i < count; i++) {
    SourceLine& line = lines->emplace_back();
    for (std::string* one : {&line.function, &line.linkage_name, &line.file, &line.start_file})
      *one = text(kMaxTextBytes);
    line.line = u32();
    line.start_line = u32();
  }
  return ok_;
}

bool send_message(int socket, const std::vector<uint8_t>& bytes, const std::vector<int>& fds) {
  if (fds.size() > kMaxFds) return false;
  uint32_t length = static_cast<uint32_t>(bytes.size());
  std::vector<uint8_t> whole(sizeof length + bytes.size());
  memcpy(whole.data(), &length, sizeof length);
  std::copy(bytes.begin(), bytes.end(), whole.begin() + sizeof length);
  size_t sent = 0;
  while (sent < whole.size()) {
    iovec part{whole.data() + sent, whole.size() - sent};
    alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int) * kMaxFds)] = {};
    msghdr message{};
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    if (sent == 0 && !fds.empty()) {
      message.msg_control = control;
      message.msg_controllen = CMSG_SPACE(sizeof(int) * fds.size());
      cmsghdr* header = CMSG_FIRSTHDR(&message);
      header->cmsg_level = SOL_SOCKET;
      header->cmsg_type = SCM_RIGHTS;
      header->cmsg_len = CMSG_LEN(sizeof(int) * fds.size());
      memcpy(CMSG_DATA(header), fds.data(), sizeof(int) * fds.size());
    }
    const ssize_t done = sendmsg(socket, &message, MSG_NOSIGNAL);
    if (done < 0 && errno == EINTR) continue;
    if (done <= 0) return false;
    sent += static_cast<size_t>(done);
  }
  return true;
}

Received receive_message(int socket, size_t max_bytes, uint64_t deadline_ns, std::vector<uint8_t>* bytes,
                         std::vector<OwnedFd>* fds) {
  uint32_t length = 0;
  auto* first = reinterpret_cast<uint8_t*>(&length);
  const Received started = read_exact(socket, first, 1, deadline_ns, fds);
  if (started != Received::kMessage) return started;
  const uint64_t rest_ns = clock_ns(CLOCK_MONOTONIC) + kRestNs;
  if (read_exact(socket, first + 1, sizeof length - 1, rest_ns, fds) != Received::kMessage ||
      length > max_bytes)
    return Received::kClosed;
  bytes->resize(length);
  return read_exact(socket, bytes->data(), length, rest_ns, fds) == Received::kMessage ? Received::kMessage
                                                                                       : Received::kClosed;
}

}  // namespace strobe
