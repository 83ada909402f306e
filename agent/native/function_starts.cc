/* SPDX-License-Identifier: Apache-2.0 */
#include "function_starts.h"

#include <cstring>

namespace strobe {

namespace {

/* Version, encodings of the pointer to .eh_frame (any of 4 bytes), of the count and of the table, as every
 * linker writes them: signed 4 bytes from the section's start. */
constexpr uint8_t kVersion = 1;
constexpr uint8_t kUnsigned4 = 0x03;
constexpr uint8_t kFromSection4 = 0x3b;
constexpr uint64_t kHeaderBytes = 12;

template <typename T>
T at(const std::vector<uint8_t>& bytes, size_t offset) {
  T value;
  memcpy(&value, bytes.data() + offset, sizeof value);
  return value;
}

}  // namespace

std::optional<uint64_t> find_function_start(const ElfImage& image, uint64_t vaddr) {
  const ElfSegment* table = nullptr;
  for (const ElfSegment& segment : image.segments())
    if (segment.type == PT_GNU_EH_FRAME) table = &segment;
  if (table == nullptr || table->file_size < kHeaderBytes) return std::nullopt;
  const auto header = image.read(table->offset, kHeaderBytes);
  if (!header || (*header)[0] != kVersion || ((*header)[1] & 0x0f) != 0x0b || (*header)[2] != kUnsigned4 ||
      (*header)[3] != kFromSection4)
    return std::nullopt;
  const uint64_t count = at<uint32_t>(*header, 8);
  if (count == 0 || count > (table->file_size - kHeaderBytes) / 8) return std::nullopt;
  auto entry = [&](uint64_t index, uint64_t* start, uint64_t* description) {
    const auto bytes = image.read(table->offset + kHeaderBytes + index * 8, 8);
    if (!bytes) return false;
    *start = table->vaddr + static_cast<uint64_t>(static_cast<int64_t>(at<int32_t>(*bytes, 0)));
    *description = table->vaddr + static_cast<uint64_t>(static_cast<int64_t>(at<int32_t>(*bytes, 4)));
    return true;
  };
  uint64_t low = 0, high = count; /* the last entry that starts at or before vaddr */
  uint64_t start = 0, description = 0;
  while (high - low > 1) {
    const uint64_t middle = low + (high - low) / 2;
    if (!entry(middle, &start, &description)) return std::nullopt;
    (vaddr < start ? high : low) = middle;
  }
  if (!entry(low, &start, &description) || vaddr < start) return std::nullopt;
  /* Length, CIE, start and size: of 4 bytes each where the start is relative to itself, as compilers write
   * it. */
  const auto bytes = image.read_vaddr(description, 16);
  if (!bytes) return std::nullopt;
  const uint64_t stated =
      description + 8 + static_cast<uint64_t>(static_cast<int64_t>(at<int32_t>(*bytes, 8)));
  if (stated != start || vaddr - start >= at<uint32_t>(*bytes, 12)) return std::nullopt;
  return start;
}

}  // namespace strobe
