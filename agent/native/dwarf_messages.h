/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the agent and its DWARF child say to each other over a stream socket: a length and as many bytes.
 *
 *   OPEN    op:u8 key:u32 has_alternate:u8, the descriptors beside it    -> status:u8 reason:text
 *   LOOKUP  op:u8 key:u32 count:u32 address:u64...                       -> status:u8, then for each address
 *           count:u32 and lines: function linkage_name file start_file:text line:u32 start_line:u32
 *   text = length:u32 and bytes
 *
 * The agent reads answers as hostile bytes: the child has read a foreign file.
 */
#ifndef STROBE_DWARF_MESSAGES_H
#define STROBE_DWARF_MESSAGES_H

#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

#include "owned.h"
#include "source_line.h"

namespace strobe {

enum DwarfOp : uint8_t { kDwarfOpen = 1, kDwarfLookup = 2 };
enum DwarfStatus : uint8_t {
  kDwarfOk = 0,
  kDwarfNone = 1,   /* the file has none, or none that can be read; the reason says */
  kDwarfClosed = 2, /* the child let go of the file to stay within its memory: open it again */
};
/* Exit code of a child that met its limit of memory. */
inline constexpr int kDwarfExitMemory = 3;
inline constexpr size_t kMaxDwarfRequestBytes = 64u << 10;
inline constexpr size_t kMaxDwarfAnswerBytes = 16u << 20;

class ByteWriter {
 public:
  void u8(uint8_t value) { bytes_.push_back(value); }
  void u32(uint32_t value) { raw(&value, sizeof value); }
  void u64(uint64_t value) { raw(&value, sizeof value); }
  void text(std::string_view value) {
    u32(static_cast<uint32_t>(value.size()));
    raw(value.data(), value.size());
  }
  void lines(const SourceLines& lines);
  const std::vector<uint8_t>& bytes() const { return bytes_; }

 private:
  void raw(const void* from, size_t length) {
    const auto* first = static_cast<const uint8_t*>(from);
    bytes_.insert(bytes_.end(), first, first + length);
  }
  std::vector<uint8_t> bytes_;
};

/* Reads give zeros and '' past the end, after which ok() is false. */
class ByteReader {
 public:
  explicit ByteReader(const std::vector<uint8_t>& bytes) : bytes_(bytes) {}
  uint8_t u8() { return number<uint8_t>(); }
  uint32_t u32() { return number<uint32_t>(); }
  uint64_t u64() { return number<uint64_t>(); }
  std::string text(size_t limit);
  bool lines(SourceLines* lines);
  bool ok() const { return ok_; }
  bool at_end() const { return ok_ && at_ == bytes_.size(); }

 private:
  template <typename T>
  T number() {
    T value{};
    if (sizeof value > bytes_.size() - at_) {
      ok_ = false;
      return value;
    }
    memcpy(&value, bytes_.data() + at_, sizeof value);
    at_ += sizeof value;
    return value;
  }
  const std::vector<uint8_t>& bytes_;
  size_t at_ = 0;
  bool ok_ = true;
};

/* Sends all of it. Descriptors travel with the first byte. */
bool send_message(int socket, const std::vector<uint8_t>& bytes, const std::vector<int>& fds);
enum class Received { kMessage, kTimeout, kClosed };
/* deadline_ns: CLOCK_MONOTONIC until which the first byte may come, 0 waits without end. kClosed: the other
 * end is gone, sends more than max_bytes, or stops in the middle of a message. */
Received receive_message(int socket, size_t max_bytes, uint64_t deadline_ns, std::vector<uint8_t>* bytes,
                         std::vector<OwnedFd>* fds);

}  // namespace strobe

#endif
