/* SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstring>
#include <fstream>
#include <random>

#include "check.h"
#include "elf_image.h"

using strobe::ElfImage;

namespace {

std::vector<uint8_t> own_bytes() {
  std::ifstream file("/proc/self/exe", std::ios::binary);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

/* Header, then program headers, then nothing: an executable as small as the loader takes them. */
std::vector<uint8_t> tiny_elf(const std::vector<Elf64_Phdr>& segments, uint64_t size) {
  std::vector<uint8_t> bytes(
      std::max<uint64_t>(size, sizeof(Elf64_Ehdr) + segments.size() * sizeof(Elf64_Phdr)));
  Elf64_Ehdr header = {};
  memcpy(header.e_ident, ELFMAG, SELFMAG);
  header.e_ident[EI_CLASS] = ELFCLASS64;
  header.e_ident[EI_DATA] = ELFDATA2LSB;
  header.e_type = ET_DYN;
  header.e_machine = strobe::kNativeMachine;
  header.e_phoff = sizeof(header);
  header.e_phentsize = sizeof(Elf64_Phdr);
  header.e_phnum = static_cast<uint16_t>(segments.size());
  memcpy(bytes.data(), &header, sizeof(header));
  if (!segments.empty()) {
    memcpy(bytes.data() + sizeof(header), segments.data(), segments.size() * sizeof(Elf64_Phdr));
  }
  return bytes;
}

Elf64_Phdr load_segment(uint32_t flags, uint64_t offset, uint64_t vaddr, uint64_t size) {
  Elf64_Phdr segment = {};
  segment.p_type = PT_LOAD;
  segment.p_flags = flags;
  segment.p_offset = offset;
  segment.p_vaddr = vaddr;
  segment.p_filesz = size;
  segment.p_memsz = size;
  return segment;
}

std::unique_ptr<ElfImage> parse(const std::vector<uint8_t>& bytes, std::string* reason) {
  return ElfImage::from_memory(bytes.data(), bytes.size(), reason);
}

std::string reason_of(const std::vector<uint8_t>& bytes) {
  std::string reason;
  if (parse(bytes, &reason)) return "opened";
  return reason.substr(0, reason.find(':'));
}

/* Reads all that the agent reads from an image. */
void touch(const ElfImage& image) {
  for (const char* name : {".symtab", ".dynsym", ".strtab", ".eh_frame", ".text"}) {
    (void)image.read_section(name, 8u << 20);
  }
  (void)image.exec_bias(0x7f0000000000, 0);
  (void)image.exec_bias(0x7f0000000000, UINT64_MAX & ~0xfffULL);
  (void)image.is_executable(image.entry());
  (void)image.read_vaddr(image.entry(), 16);
}

}  // namespace

TEST("this program, by descriptor: type, entry, sections, a section's bytes") {
  const int fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
  std::string reason;
  auto image = ElfImage::open(fd, &reason);
  CHECK_EQUAL(reason, std::string());
  CHECK_EQUAL(image->type(), ET_DYN);
  CHECK(image->is_executable(image->entry()));
  CHECK(image->find_section(".text") != nullptr);
  CHECK(image->find_section(".no_such_section") == nullptr);
  const auto* text = image->find_section(".text");
  auto bytes = image->read_section(".text", 64u << 20);
  CHECK(bytes.has_value());
  CHECK_EQUAL(bytes->size(), text->size);
  CHECK(*bytes == *image->read_vaddr(text->vaddr, text->size));
  CHECK(!image->read_section(".text", text->size - 1).has_value());
  CHECK(!image->read_section(".bss", 64u << 20).has_value());
  close(fd);
}

TEST("a directory and a pipe are refused, not read") {
  std::string reason;
  const int directory = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  CHECK(ElfImage::open(directory, &reason) == nullptr);
  CHECK_EQUAL(reason.substr(0, 9), std::string("ELF_READ:"));
  close(directory);
  int ends[2];
  CHECK(pipe(ends) == 0);
  CHECK(ElfImage::open(ends[0], &reason) == nullptr);
  close(ends[0]);
  close(ends[1]);
}

TEST("the build id is the one readelf prints") {
  FILE* pipe = popen("readelf -n /proc/$PPID/exe 2>/dev/null | sed -n 's/.*Build ID: //p'", "r");
  char line[128] = "";
  const bool have = pipe != nullptr && fgets(line, sizeof(line), pipe) != nullptr;
  if (pipe != nullptr) pclose(pipe);
  if (!have) SKIP("readelf (binutils) is not installed or this program has no build id");
  line[strcspn(line, "\n")] = 0;
  const int fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
  std::string reason;
  auto image = ElfImage::open(fd, &reason);
  close(fd);
  CHECK_EQUAL(image->build_id(), std::string(line));
}

TEST("the vDSO opens from memory and its code is at its bias") {
  const uint64_t at = getauxval(AT_SYSINFO_EHDR);
  if (at == 0) SKIP("this kernel maps no vDSO");
  std::string reason;
  auto image = ElfImage::from_memory(reinterpret_cast<const void*>(at), 4096, &reason);
  CHECK_EQUAL(reason, std::string());
  CHECK(image != nullptr);
  CHECK_EQUAL(*image->exec_bias(at, 0) + image->lowest_vaddr(), at);
}

TEST("bias: a page that belongs to a read-only and an executable segment is the executable one's") {
  /* As lld lays libchdb out: R ends and RX begins within the file page 0x3000; vaddrs differ by a page. */
  const auto bytes =
      tiny_elf({load_segment(PF_R, 0, 0, 0x3240), load_segment(PF_R | PF_X, 0x3240, 0x4240, 0x1000),
                load_segment(PF_R | PF_W, 0x4240, 0x6240, 0x100)},
               0x5000);
  std::string reason;
  auto image = parse(bytes, &reason);
  CHECK_EQUAL(reason, std::string());
  CHECK_EQUAL(*image->exec_bias(0x7f0000004000, 0x3000), 0x7f0000000000u);
  /* the second half of a mapping that mprotect cut in two */
  CHECK_EQUAL(*image->exec_bias(0x7f0000005000, 0x4000), 0x7f0000000000u);
  CHECK(!image->exec_bias(0x7f0000005000, 0x9000).has_value());
  CHECK(image->is_executable(0x4240) && image->is_executable(0x523f));
  CHECK(!image->is_executable(0x5240) && !image->is_executable(0x100));
}

TEST("bias: a fixed-address program maps where it says, so its bias is 0") {
  const auto bytes = tiny_elf(
      {load_segment(PF_R, 0, 0x400000, 0x500), load_segment(PF_R | PF_X, 0x1000, 0x401000, 0x500)}, 0x2000);
  std::string reason;
  auto image = parse(bytes, &reason);
  CHECK_EQUAL(*image->exec_bias(0x401000, 0x1000), 0u);
  CHECK_EQUAL(image->lowest_vaddr(), 0x400000u);
}

TEST("refusals name their cause") {
  const auto good = tiny_elf({load_segment(PF_R | PF_X, 0, 0, 0x100)}, 0x1000);
  CHECK_EQUAL(reason_of(good), std::string("opened"));
  CHECK_EQUAL(reason_of({}), std::string("ELF_READ"));
  CHECK_EQUAL(reason_of(std::vector<uint8_t>(63, 0x7f)), std::string("ELF_READ"));
  CHECK_EQUAL(reason_of(std::vector<uint8_t>(4096, 0)), std::string("ELF_MAGIC"));
  CHECK_EQUAL(reason_of(tiny_elf({}, 0x1000)), std::string("ELF_HEADERS"));
  auto changed = [&](size_t at, uint8_t value) {
    auto bytes = good;
    bytes[at] = value;
    return reason_of(bytes);
  };
  CHECK_EQUAL(changed(EI_CLASS, ELFCLASS32), std::string("ELF_CLASS"));
  CHECK_EQUAL(changed(EI_DATA, ELFDATA2MSB), std::string("ELF_CLASS"));
  CHECK_EQUAL(changed(offsetof(Elf64_Ehdr, e_type), ET_CORE), std::string("ELF_TYPE"));
  CHECK_EQUAL(changed(offsetof(Elf64_Ehdr, e_machine), EM_ARM), std::string("ELF_MACHINE"));
  CHECK_EQUAL(changed(offsetof(Elf64_Ehdr, e_phnum) + 1, 0xff), std::string("ELF_HEADERS"));
  CHECK_EQUAL(changed(offsetof(Elf64_Ehdr, e_phoff) + 7, 0xff), std::string("ELF_HEADERS"));
}

TEST("a file cut short at any of 4,000 places is read or refused, never beyond its end") {
  const auto whole = own_bytes();
  CHECK(whole.size() > 4000);
  int opened = 0;
  for (size_t i = 0; i < 4000; i++) {
    /* every header byte, then spread over the file */
    const size_t length = i < 2000 ? i : whole.size() / 2000 * (i - 2000);
    std::string reason;
    auto image = ElfImage::from_memory(whole.data(), length, &reason);
    if (image == nullptr) {
      CHECK(!reason.empty());
      continue;
    }
    opened++;
    touch(*image);
  }
  CHECK(opened > 100);
}

TEST("garbage in the headers and section table is survived (20,000 mutations, fixed seed)") {
  const auto whole = own_bytes();
  std::string reason;
  auto good = ElfImage::from_memory(whole.data(), whole.size(), &reason);
  Elf64_Ehdr header;
  memcpy(&header, whole.data(), sizeof(header));
  std::mt19937_64 random(20260725);
  /* A small copy keeps it fast: the front of the file, and the section table moved behind it. */
  const size_t front = std::min<size_t>(whole.size(), 16384);
  std::vector<uint8_t> small(whole.begin(), whole.begin() + static_cast<long>(front));
  const size_t table_bytes = header.e_shnum * sizeof(Elf64_Shdr);
  small.insert(small.end(), whole.begin() + static_cast<long>(header.e_shoff),
               whole.begin() + static_cast<long>(header.e_shoff + table_bytes));
  memcpy(small.data() + offsetof(Elf64_Ehdr, e_shoff), &front, sizeof(front));
  int opened = 0;
  for (int i = 0; i < 20000; i++) {
    auto bytes = small;
    const int edits = 1 + static_cast<int>(random() % 8);
    for (int edit = 0; edit < edits; edit++) {
      const size_t span = random() % 2 == 0 ? 1024 : table_bytes;
      const size_t base = span == 1024 ? 16 : front;
      const size_t at = base + random() % (span - 8);
      const uint64_t values[] = {0, 1, UINT64_MAX, random(), bytes.size(), bytes.size() - 1, 1ULL << 63};
      memcpy(bytes.data() + at, &values[random() % 7], 1 + random() % 8);
    }
    auto image = ElfImage::from_memory(bytes.data(), bytes.size(), &reason);
    if (image == nullptr) continue;
    opened++;
    touch(*image);
    for (const auto& section : image->sections()) (void)image->read_section(section, 1u << 20);
  }
  CHECK(opened > 1000);
}

TEST("a file cut short after it was opened gives nothing, not a SIGBUS") {
  const int fd = memfd_create("elf", MFD_CLOEXEC);
  const auto whole = own_bytes();
  CHECK(write(fd, whole.data(), whole.size()) == static_cast<ssize_t>(whole.size()));
  std::string reason;
  auto image = ElfImage::open(fd, &reason);
  CHECK(image != nullptr);
  CHECK(ftruncate(fd, 4096) == 0);
  CHECK(!image->read_section(".text", 64u << 20).has_value());
  close(fd);
}
