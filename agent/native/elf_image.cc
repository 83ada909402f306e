/* SPDX-License-Identifier: Apache-2.0 */
#include "elf_image.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace strobe {

namespace {

/* The kernel refuses program headers beyond 64 KiB (fs/binfmt_elf.c, load_elf_phdrs). */
constexpr uint64_t kMaxSegments = 65536 / sizeof(Elf64_Phdr);
constexpr uint64_t kMaxSections = 65536;
constexpr uint64_t kMaxSectionNameBytes = 4u << 20;
constexpr size_t kMaxNameLength = 255;
constexpr uint64_t kMaxNoteBytes = 64u << 10;
constexpr uint64_t kMaxBuildIdBytes = 64;
constexpr uint64_t kIdentityPage = 4096;

uint64_t page_size() {
  static const uint64_t size = static_cast<uint64_t>(sysconf(_SC_PAGESIZE));
  return size;
}

std::string hex(const uint8_t* bytes, size_t length) {
  static const char digits[] = "0123456789abcdef";
  std::string text;
  text.reserve(length * 2);
  for (size_t i = 0; i < length; i++) {
    text.push_back(digits[bytes[i] >> 4]);
    text.push_back(digits[bytes[i] & 15]);
  }
  return text;
}

}  // namespace

std::unique_ptr<ElfImage> ElfImage::open(int fd, std::string* reason) {
  struct stat status;
  if (fstat(fd, &status) != 0) {
    *reason = std::string("ELF_READ: fstat: ") + strerror(errno);
    return nullptr;
  }
  if (!S_ISREG(status.st_mode)) {
    *reason = "ELF_READ: not a regular file";
    return nullptr;
  }
  std::unique_ptr<ElfImage> image(new ElfImage());
  image->fd_ = fd;
  image->size_ = static_cast<uint64_t>(status.st_size);
  if (!image->load(reason)) return nullptr;
  return image;
}

std::unique_ptr<ElfImage> ElfImage::from_memory(const void* bytes, size_t size, std::string* reason) {
  std::unique_ptr<ElfImage> image(new ElfImage());
  const auto* first = static_cast<const uint8_t*>(bytes);
  image->memory_.assign(first, first + size);
  image->size_ = size;
  if (!image->load(reason)) return nullptr;
  return image;
}

bool ElfImage::read_exact(void* to, uint64_t length, uint64_t offset) const {
  if (offset > size_ || length > size_ - offset) return false;
  if (fd_ < 0) {
    if (length > 0) memcpy(to, memory_.data() + offset, length);
    return true;
  }
  auto* at = static_cast<uint8_t*>(to);
  while (length > 0) {
    const ssize_t got = pread(fd_, at, length, static_cast<off_t>(offset));
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return false; /* cut short since open, or an I/O error */
    at += got;
    offset += static_cast<uint64_t>(got);
    length -= static_cast<uint64_t>(got);
  }
  return true;
}

std::optional<std::vector<uint8_t>> ElfImage::read(uint64_t offset, uint64_t length) const {
  if (offset > size_ || length > size_ - offset) return std::nullopt;
  std::vector<uint8_t> bytes(length);
  if (!read_exact(bytes.data(), length, offset)) return std::nullopt;
  return bytes;
}

std::optional<std::vector<uint8_t>> ElfImage::read_vaddr(uint64_t vaddr, uint64_t length) const {
  for (const ElfSegment& segment : segments_) {
    if (segment.type != PT_LOAD || vaddr < segment.vaddr) continue;
    const uint64_t skip = vaddr - segment.vaddr;
    if (skip > segment.file_size || length > segment.file_size - skip) continue;
    if (segment.offset > size_ || skip > size_ - segment.offset) continue;
    return read(segment.offset + skip, length);
  }
  return std::nullopt;
}

std::optional<std::vector<uint8_t>> ElfImage::read_section(const ElfSection& section,
                                                           uint64_t max_bytes) const {
  if (section.type == SHT_NOBITS || (section.flags & SHF_COMPRESSED) != 0) return std::nullopt;
  if (section.size > max_bytes) return std::nullopt;
  return read(section.offset, section.size);
}

std::optional<std::vector<uint8_t>> ElfImage::read_section(std::string_view name, uint64_t max_bytes) const {
  const ElfSection* section = find_section(name);
  if (section == nullptr) return std::nullopt;
  return read_section(*section, max_bytes);
}

const ElfSection* ElfImage::find_section(std::string_view name) const {
  for (const ElfSection& section : sections_) {
    if (section.type != SHT_NULL && section.name == name) return &section;
  }
  return nullptr;
}

bool ElfImage::load(std::string* reason) {
  Elf64_Ehdr header;
  if (size_ < sizeof(header) || !read_exact(&header, sizeof(header), 0)) {
    *reason = "ELF_READ: " + std::to_string(size_) + " bytes cannot hold an ELF header";
    return false;
  }
  if (memcmp(header.e_ident, ELFMAG, SELFMAG) != 0) {
    *reason = "ELF_MAGIC: not an ELF file";
    return false;
  }
  if (header.e_ident[EI_CLASS] != ELFCLASS64 || header.e_ident[EI_DATA] != ELFDATA2LSB) {
    *reason = "ELF_CLASS: not a 64-bit little-endian file";
    return false;
  }
  if (header.e_type != ET_EXEC && header.e_type != ET_DYN) {
    *reason = "ELF_TYPE: type " + std::to_string(header.e_type) + " is neither an executable nor a library";
    return false;
  }
  if (header.e_machine != kNativeMachine) {
    *reason = "ELF_MACHINE: machine " + std::to_string(header.e_machine) + ", this host is " +
              std::to_string(kNativeMachine);
    return false;
  }
  type_ = header.e_type;
  entry_ = header.e_entry;
  if (!load_segments(header, reason)) return false;
  load_sections(header);
  load_build_id();
  for (const char* name : {".gopclntab", ".data.rel.ro.gopclntab", ".note.go.buildid"}) {
    if (find_section(name) != nullptr) is_go_ = true;
  }
  return true;
}

bool ElfImage::load_segments(const Elf64_Ehdr& header, std::string* reason) {
  const uint64_t count = header.e_phnum;
  if (count == 0 || count > kMaxSegments || header.e_phentsize != sizeof(Elf64_Phdr)) {
    *reason = "ELF_HEADERS: " + std::to_string(count) + " program headers of " +
              std::to_string(header.e_phentsize) + " bytes, at most " + std::to_string(kMaxSegments) +
              " of " + std::to_string(sizeof(Elf64_Phdr)) + " are read";
    return false;
  }
  std::vector<Elf64_Phdr> entries(count);
  if (!read_exact(entries.data(), count * sizeof(Elf64_Phdr), header.e_phoff)) {
    *reason = "ELF_HEADERS: the program headers lie outside the file";
    return false;
  }
  uint64_t lowest = UINT64_MAX;
  segments_.reserve(count);
  for (const Elf64_Phdr& entry : entries) {
    segments_.push_back(
        {entry.p_type, entry.p_flags, entry.p_offset, entry.p_vaddr, entry.p_filesz, entry.p_memsz});
    if (entry.p_type == PT_LOAD) lowest = std::min<uint64_t>(lowest, entry.p_vaddr);
  }
  if (lowest == UINT64_MAX) {
    *reason = "ELF_HEADERS: no PT_LOAD";
    return false;
  }
  lowest_vaddr_ = lowest & ~(kIdentityPage - 1);
  return true;
}

/* Sections are a convenience: a file whose section headers are missing or wrong is still unwound
 * by its segments, so nothing here fails the open. */
void ElfImage::load_sections(const Elf64_Ehdr& header) {
  if (header.e_shoff == 0 || header.e_shentsize != sizeof(Elf64_Shdr)) return;
  uint64_t count = header.e_shnum;
  uint32_t names_index = header.e_shstrndx;
  if (count == 0 || names_index == SHN_XINDEX) {
    /* More than 65,279 sections: the true numbers stand in section 0. */
    Elf64_Shdr first;
    if (!read_exact(&first, sizeof(first), header.e_shoff)) return;
    if (count == 0) count = first.sh_size;
    if (names_index == SHN_XINDEX) names_index = first.sh_link;
  }
  if (count == 0 || count > kMaxSections) return;
  if (header.e_shoff > size_ || count * sizeof(Elf64_Shdr) > size_ - header.e_shoff) return;
  std::vector<Elf64_Shdr> entries(count);
  if (!read_exact(entries.data(), count * sizeof(Elf64_Shdr), header.e_shoff)) return;

  std::vector<uint8_t> names;
  if (names_index < count && entries[names_index].sh_type == SHT_STRTAB &&
      entries[names_index].sh_size <= kMaxSectionNameBytes) {
    if (auto bytes = read(entries[names_index].sh_offset, entries[names_index].sh_size)) {
      names = std::move(*bytes);
    }
  }
  sections_.reserve(count);
  for (const Elf64_Shdr& entry : entries) {
    std::string name;
    if (entry.sh_name < names.size()) {
      const char* text = reinterpret_cast<const char*>(names.data()) + entry.sh_name;
      name.assign(text, strnlen(text, std::min(kMaxNameLength, names.size() - entry.sh_name)));
    }
    sections_.push_back({std::move(name), entry.sh_type, entry.sh_flags, entry.sh_addr, entry.sh_offset,
                         entry.sh_size, entry.sh_entsize, entry.sh_link, entry.sh_info});
  }
}

void ElfImage::load_build_id() {
  for (const ElfSegment& segment : segments_) {
    if (segment.type != PT_NOTE) continue;
    auto notes = read(segment.offset, std::min(segment.file_size, kMaxNoteBytes));
    /* p_align 8 is used by .note.gnu.property alone; entries there are padded to 8. */
    if (notes && (find_build_id(*notes, 4) || find_build_id(*notes, 8))) return;
  }
  for (const ElfSection& section : sections_) {
    if (section.type != SHT_NOTE) continue;
    auto notes = read_section(section, kMaxNoteBytes);
    if (notes && find_build_id(*notes, 4)) return;
  }
}

bool ElfImage::find_build_id(const std::vector<uint8_t>& notes, uint64_t align) {
  uint64_t at = 0;
  while (notes.size() - at >= sizeof(Elf64_Nhdr)) {
    Elf64_Nhdr note;
    memcpy(&note, notes.data() + at, sizeof(note));
    at += sizeof(note);
    const uint64_t name_bytes = (note.n_namesz + align - 1) & ~(align - 1);
    const uint64_t value_bytes = (note.n_descsz + align - 1) & ~(align - 1);
    if (name_bytes > notes.size() - at) return false;
    const uint64_t value_at = at + name_bytes;
    if (note.n_descsz > notes.size() - value_at) return false;
    if (note.n_type == NT_GNU_BUILD_ID && note.n_namesz == 4 && memcmp(notes.data() + at, "GNU", 4) == 0 &&
        note.n_descsz > 0 && note.n_descsz <= kMaxBuildIdBytes) {
      build_id_ = hex(notes.data() + value_at, note.n_descsz);
      return true;
    }
    if (value_bytes > notes.size() - value_at) return false;
    at = value_at + value_bytes;
  }
  return false;
}

std::optional<uint64_t> ElfImage::exec_bias(uint64_t map_start, uint64_t pgoff) const {
  const uint64_t page = page_size();
  const ElfSegment* best = nullptr;
  int best_rank = 0;
  for (const ElfSegment& segment : segments_) {
    if (segment.type != PT_LOAD || segment.file_size == 0) continue;
    const uint64_t first = segment.offset & ~(page - 1);
    if (pgoff < first) continue;
    if (pgoff >= segment.offset && pgoff - segment.offset >= segment.file_size) continue;
    /* The loader maps a segment from its first page on: that start is the better witness when two
     * executable segments share a page. */
    const int rank = ((segment.flags & PF_X) != 0 ? 2 : 0) + (pgoff == first ? 1 : 0) + 1;
    if (rank > best_rank) {
      best = &segment;
      best_rank = rank;
    }
  }
  if (best == nullptr) return std::nullopt;
  return map_start - (best->vaddr + (pgoff - best->offset));
}

bool ElfImage::is_executable(uint64_t vaddr) const {
  for (const ElfSegment& segment : segments_) {
    if (segment.type == PT_LOAD && (segment.flags & PF_X) != 0 && vaddr >= segment.vaddr &&
        vaddr - segment.vaddr < segment.memory_size) {
      return true;
    }
  }
  return false;
}

}  // namespace strobe
