/* SPDX-License-Identifier: Apache-2.0 */
#include "plt.h"

#include <algorithm>
#include <cstring>
#include <unordered_map>

namespace strobe {

#if defined(__x86_64__)

namespace {

constexpr uint64_t kMaxPltBytes = 4u << 20;
constexpr uint64_t kMaxRelocationBytes = 64u << 20;
constexpr uint64_t kMaxDynamicBytes = 64u << 20;
constexpr uint64_t kChunk = 32768;

/* GOT slot -> index into .dynsym. */
void read_slots(const ElfImage& image, const char* name, std::unordered_map<uint64_t, uint32_t>* slots) {
  const ElfSection* section = image.find_section(name);
  if (section == nullptr || section->entry_size != sizeof(Elf64_Rela) ||
      section->size > kMaxRelocationBytes) {
    return;
  }
  const uint64_t count = section->size / sizeof(Elf64_Rela);
  for (uint64_t first = 0; first < count; first += kChunk) {
    const uint64_t chunk = std::min(kChunk, count - first);
    auto bytes = image.read(section->offset + first * sizeof(Elf64_Rela), chunk * sizeof(Elf64_Rela));
    if (!bytes) return;
    for (uint64_t i = 0; i < chunk; i++) {
      Elf64_Rela entry;
      memcpy(&entry, bytes->data() + i * sizeof(entry), sizeof(entry));
      const uint64_t type = ELF64_R_TYPE(entry.r_info);
      const uint64_t symbol = ELF64_R_SYM(entry.r_info);
      if ((type == R_X86_64_JUMP_SLOT || type == R_X86_64_GLOB_DAT) && symbol != 0) {
        slots->emplace(entry.r_offset, static_cast<uint32_t>(symbol));
      }
    }
  }
}

/* Offset of 'jmp *disp32(%rip)' in an entry, after an endbr64 and a bnd prefix if there are. */
bool find_jump(const uint8_t* code, size_t length, size_t* after, int32_t* displacement) {
  static const uint8_t endbr64[] = {0xf3, 0x0f, 0x1e, 0xfa};
  size_t at = 0;
  if (length >= 4 && memcmp(code, endbr64, 4) == 0) at += 4;
  if (at < length && code[at] == 0xf2) at++;
  if (length < at + 6 || code[at] != 0xff || code[at + 1] != 0x25) return false;
  memcpy(displacement, code + at + 2, 4);
  *after = at + 6;
  return true;
}

}  // namespace

/* Decoding the jump instead of counting entries works for .plt, .plt.sec (CET), .plt.got and lld's
 * and gold's orders alike; the slot must be one that a relocation fills, so no other code matches. */
std::vector<PltEntry> read_plt(const ElfImage& image) {
  std::vector<PltEntry> entries;
  std::unordered_map<uint64_t, uint32_t> slots;
  read_slots(image, ".rela.plt", &slots);
  if (image.find_section(".plt.got") != nullptr) read_slots(image, ".rela.dyn", &slots);
  const ElfSection* table = image.find_section(".dynsym");
  if (slots.empty() || table == nullptr || table->link >= image.sections().size()) return entries;
  auto symbols = image.read_section(*table, kMaxDynamicBytes);
  auto strings = image.read_section(image.sections()[table->link], kMaxDynamicBytes);
  if (!symbols || !strings) return entries;

  for (const char* name : {".plt", ".plt.sec", ".plt.got"}) {
    const ElfSection* section = image.find_section(name);
    if (section == nullptr) continue;
    auto code = image.read_section(*section, kMaxPltBytes);
    if (!code) continue;
    const uint64_t entry_bytes = section->entry_size == 8 ? 8 : 16;
    for (uint64_t at = 0; at + entry_bytes <= code->size(); at += entry_bytes) {
      size_t after = 0;
      int32_t displacement = 0;
      if (!find_jump(code->data() + at, entry_bytes, &after, &displacement)) continue;
      const uint64_t start = section->vaddr + at;
      const auto slot = slots.find(start + after + static_cast<uint64_t>(static_cast<int64_t>(displacement)));
      if (slot == slots.end()) continue;
      const uint64_t symbol_at = static_cast<uint64_t>(slot->second) * sizeof(Elf64_Sym);
      if (symbol_at + sizeof(Elf64_Sym) > symbols->size()) continue;
      Elf64_Sym symbol;
      memcpy(&symbol, symbols->data() + symbol_at, sizeof(symbol));
      if (symbol.st_name >= strings->size()) continue;
      const char* text = reinterpret_cast<const char*>(strings->data()) + symbol.st_name;
      const size_t length = strnlen(text, std::min<size_t>(4096, strings->size() - symbol.st_name));
      if (length == 0) continue;
      entries.push_back({start, start + entry_bytes, std::string(text, length) + "@plt"});
    }
  }
  return entries;
}

#else

std::vector<PltEntry> read_plt(const ElfImage&) { return {}; }

#endif

}  // namespace strobe
