/* SPDX-License-Identifier: Apache-2.0 */
#ifndef STROBE_ELF_IMAGE_H
#define STROBE_ELF_IMAGE_H

#include <elf.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace strobe {

/* e_machine of the code this host runs; files for another machine are refused. */
#if defined(__x86_64__)
inline constexpr uint16_t kNativeMachine = EM_X86_64;
#elif defined(__aarch64__)
inline constexpr uint16_t kNativeMachine = EM_AARCH64;
#else
#error "only x86-64 and arm64 are supported"
#endif

struct ElfSegment {
  uint32_t type;
  uint32_t flags;
  uint64_t offset;
  uint64_t vaddr;
  uint64_t file_size;
  uint64_t memory_size;
};

/* offset and size as the header claims them; read() checks them against the file. */
struct ElfSection {
  std::string name; /* at most 255 bytes; '' when the name lies outside the string table */
  uint32_t type;
  uint64_t flags;
  uint64_t vaddr;
  uint64_t offset;
  uint64_t size;
  uint64_t entry_size;
  uint32_t link;
  uint32_t info;
};

/*
 * A little-endian 64-bit ELF file of this machine. Only headers and notes are kept in memory.
 *
 * The file belongs to somebody else, who may cut it short or write nonsense at any moment: it is
 * read by pread, never mapped (a truncated mapping is a SIGBUS), and every offset and length is
 * checked against the size seen at open and against a cap before memory is asked for.
 * After open the object is constant; reads from several threads are fine.
 */
class ElfImage {
 public:
  /* fd is borrowed: it must stay open as long as the image is read. nullptr: *reason says why
   * (ELF_READ, ELF_MAGIC, ELF_CLASS, ELF_TYPE, ELF_MACHINE, ELF_HEADERS). */
  static std::unique_ptr<ElfImage> open(int fd, std::string* reason);
  /* The bytes are copied; for the vDSO. */
  static std::unique_ptr<ElfImage> from_memory(const void* bytes, size_t size, std::string* reason);

  uint64_t size() const { return size_; }
  uint16_t type() const { return type_; }   /* ET_EXEC or ET_DYN */
  uint64_t entry() const { return entry_; } /* virtual address, 0 without one */
  const std::vector<ElfSegment>& segments() const { return segments_; }
  /* Empty when the file was stripped of its section headers. */
  const std::vector<ElfSection>& sections() const { return sections_; }
  const ElfSection* find_section(std::string_view name) const;
  /* Lower-case hex of the GNU build id note, '' without one. */
  const std::string& build_id() const { return build_id_; }
  /* Of the lowest PT_LOAD, aligned down to 4 KiB (on every host, so that it names the same byte). */
  uint64_t lowest_vaddr() const { return lowest_vaddr_; }
  bool is_go() const { return is_go_; }

  /*
   * What to subtract from a pc in an executable mapping of this file to get its virtual address.
   *
   * map_start: address of the mapping. pgoff: its file offset in bytes.
   * lld lets two segments share a page of the file, so an offset can belong to a read-only segment
   * too; the one with PF_X is meant. The result wraps (unsigned) for ET_EXEC mapped elsewhere.
   * Nothing when no PT_LOAD holds that offset.
   */
  std::optional<uint64_t> exec_bias(uint64_t map_start, uint64_t pgoff) const;

  /* True when vaddr lies in a PT_LOAD with PF_X. */
  bool is_executable(uint64_t vaddr) const;

  /* Nothing when [offset, offset + length) is not wholly in the file or the file cannot be read. */
  std::optional<std::vector<uint8_t>> read(uint64_t offset, uint64_t length) const;
  /* The same by virtual address, within the file bytes of one PT_LOAD. */
  std::optional<std::vector<uint8_t>> read_vaddr(uint64_t vaddr, uint64_t length) const;
  /* Nothing when there is no such section, it has no bytes in the file (SHT_NOBITS), it is
   * compressed, or it is larger than max_bytes. */
  std::optional<std::vector<uint8_t>> read_section(std::string_view name, uint64_t max_bytes) const;
  std::optional<std::vector<uint8_t>> read_section(const ElfSection& section, uint64_t max_bytes) const;

 private:
  ElfImage() = default;
  bool load(std::string* reason);
  bool load_segments(const Elf64_Ehdr& header, std::string* reason);
  void load_sections(const Elf64_Ehdr& header);
  void load_build_id();
  bool find_build_id(const std::vector<uint8_t>& notes, uint64_t align);
  bool read_exact(void* to, uint64_t length, uint64_t offset) const;

  int fd_ = -1;
  std::vector<uint8_t> memory_;
  uint64_t size_ = 0;
  uint16_t type_ = 0;
  uint64_t entry_ = 0;
  uint64_t lowest_vaddr_ = 0;
  bool is_go_ = false;
  std::vector<ElfSegment> segments_;
  std::vector<ElfSection> sections_;
  std::string build_id_;
};

}  // namespace strobe

#endif
