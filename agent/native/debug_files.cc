/* SPDX-License-Identifier: Apache-2.0 */
#include "debug_files.h"

#include <lzma.h>
#include <string.h>
#include <zlib.h>

#include <algorithm>
#include <array>
#include <optional>

#include "file_open.h"

namespace strobe {

namespace {

constexpr uint64_t kMaxLinkBytes = 4096;
/* A checksum reads the file once: half a second for the largest one. */
constexpr uint64_t kMaxChecksumBytes = 512u << 20;
constexpr uint64_t kChecksumChunk = 1u << 20;
constexpr uint64_t kMaxPackedBytes = 32u << 20;
constexpr size_t kMaxUnpackedBytes = 64u << 20;
constexpr uint64_t kUnpackMemory = 96u << 20;

bool has_bytes(const ElfImage& image, const char* name) {
  const ElfSection* section = image.find_section(name);
  return section != nullptr && section->type != SHT_NOBITS && section->size > 0;
}

std::string folder_of(const std::string& path) {
  const size_t slash = path.rfind('/');
  return slash == std::string::npos ? "" : path.substr(0, slash);
}

std::string build_id_path(const std::string& build_id) {
  return "/usr/lib/debug/.build-id/" + build_id.substr(0, 2) + "/" + build_id.substr(2) + ".debug";
}

struct DebugLink {
  std::string name;
  uint32_t checksum;
};

/* Name, zero, padding to 4 bytes, checksum. */
std::optional<DebugLink> read_link(const ElfImage& image) {
  const auto bytes = image.read_section(".gnu_debuglink", kMaxLinkBytes);
  if (!bytes) return std::nullopt;
  const size_t length = strnlen(reinterpret_cast<const char*>(bytes->data()), bytes->size());
  const size_t at = (length + 4) & ~size_t{3};
  if (length == 0 || at + 4 > bytes->size()) return std::nullopt;
  DebugLink link{std::string(reinterpret_cast<const char*>(bytes->data()), length), 0};
  memcpy(&link.checksum, bytes->data() + at, 4);
  if (link.name.find('/') != std::string::npos || link.name == "..") return std::nullopt;
  return link;
}

bool has_checksum(const ElfImage& image, uint32_t expected) {
  if (image.size() > kMaxChecksumBytes) return false;
  uLong sum = crc32(0, nullptr, 0);
  for (uint64_t at = 0; at < image.size(); at += kChecksumChunk) {
    const auto bytes = image.read(at, std::min(kChecksumChunk, image.size() - at));
    if (!bytes) return false;
    sum = crc32(sum, bytes->data(), static_cast<uInt>(bytes->size()));
  }
  return sum == expected;
}

std::shared_ptr<OpenFile> open_at(const std::string& root, const std::string& path) {
  auto file = std::make_shared<OpenFile>();
  std::string reason;
  file->fd = open_in_root(root, path, &reason);
  if (!file->fd) return nullptr;
  file->image = ElfImage::open(file->fd.get(), &reason);
  file->root = root;
  file->path = path;
  return file->image ? file : nullptr;
}

std::vector<std::string> roots_of(const OpenFile& file) {
  std::vector<std::string> roots;
  if (!file.root.empty() && file.root != "/") roots.push_back(file.root);
  roots.push_back("/");
  return roots;
}

}  // namespace

bool has_dwarf(const ElfImage& image) {
  return has_bytes(image, ".debug_info") || has_bytes(image, ".zdebug_info");
}

bool has_symbol_table(const ElfImage& image) { return has_bytes(image, ".symtab"); }

std::shared_ptr<const OpenFile> DebugFiles::find(const OpenFile& file) const {
  const std::string& build_id = file.image->build_id();
  std::shared_ptr<const OpenFile> with_symbols;
  /* True: nothing better can come. */
  auto consider = [&](std::shared_ptr<const OpenFile> found, const uint32_t* checksum) {
    if (!found) return false;
    const std::string& other = found->image->build_id();
    const bool is_same = !build_id.empty() && !other.empty()
                             ? build_id == other
                             : checksum != nullptr && has_checksum(*found->image, *checksum);
    if (!is_same) return false;
    if (has_dwarf(*found->image)) {
      with_symbols = std::move(found);
      return true;
    }
    if (!with_symbols && has_symbol_table(*found->image)) with_symbols = std::move(found);
    return false;
  };
  if (build_id.size() > 2) {
    for (const std::string& root : roots_of(file))
      if (consider(open_at(root, build_id_path(build_id)), nullptr)) return with_symbols;
  }
  if (const auto link = read_link(*file.image)) {
    const std::string folder = folder_of(file.path);
    const std::array<std::string, 4> paths = {folder + "/" + link->name, folder + "/.debug/" + link->name,
                                              "/usr/lib/debug" + folder + "/" + link->name,
                                              "/usr/lib/debug/" + link->name};
    for (const std::string& root : roots_of(file)) {
      for (const std::string& path : paths) {
        /* Many a link names the file it stands in. */
        if (path == file.path) continue;
        if (consider(open_at(root, path), &link->checksum)) return with_symbols;
      }
    }
  }
  if (!folder_.empty() && !build_id.empty())
    consider(open_at("/", folder_ + "/" + build_id + "/debuginfo"), nullptr);
  return with_symbols;
}

std::shared_ptr<const OpenFile> DebugFiles::find_alternate(const OpenFile& file) const {
  const auto bytes = file.image->read_section(".gnu_debugaltlink", kMaxLinkBytes);
  if (!bytes) return nullptr;
  const size_t length = strnlen(reinterpret_cast<const char*>(bytes->data()), bytes->size());
  if (length == 0 || length + 1 >= bytes->size()) return nullptr;
  const std::string name(reinterpret_cast<const char*>(bytes->data()), length);
  std::string build_id;
  static const char digits[] = "0123456789abcdef";
  for (size_t i = length + 1; i < bytes->size(); i++) {
    build_id.push_back(digits[(*bytes)[i] >> 4]);
    build_id.push_back(digits[(*bytes)[i] & 15]);
  }
  const std::string path = name.front() == '/' ? name : folder_of(file.path) + "/" + name;
  for (const std::string& root : roots_of(file)) {
    for (const std::string& one : {path, build_id_path(build_id)}) {
      auto found = open_at(root, one);
      if (found && found->image->build_id() == build_id) return found;
    }
  }
  return nullptr;
}

std::unique_ptr<ElfImage> read_mini_debug_info(const ElfImage& image) {
  const auto packed = image.read_section(".gnu_debugdata", kMaxPackedBytes);
  if (!packed) return nullptr;
  lzma_stream stream = LZMA_STREAM_INIT;
  if (lzma_stream_decoder(&stream, kUnpackMemory, 0) != LZMA_OK) return nullptr;
  std::vector<uint8_t> bytes;
  stream.next_in = packed->data();
  stream.avail_in = packed->size();
  lzma_ret result = LZMA_OK;
  while (result == LZMA_OK && bytes.size() < kMaxUnpackedBytes) {
    const size_t filled = bytes.size();
    bytes.resize(std::min(kMaxUnpackedBytes, std::max<size_t>(filled * 2, 256u << 10)));
    stream.next_out = bytes.data() + filled;
    stream.avail_out = bytes.size() - filled;
    result = lzma_code(&stream, LZMA_FINISH);
    bytes.resize(bytes.size() - stream.avail_out);
  }
  lzma_end(&stream);
  if (result != LZMA_STREAM_END) return nullptr;
  std::string reason;
  return ElfImage::from_memory(bytes.data(), bytes.size(), &reason);
}

}  // namespace strobe
