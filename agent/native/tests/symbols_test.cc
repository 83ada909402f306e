/* SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <map>
#include <random>
#include <set>

#include "check.h"
#include "symbols.h"
#include "temporary.h"

using strobe::ElfImage;
using strobe::SymbolCache;
using strobe::SymbolIndex;

namespace {

std::shared_ptr<const SymbolIndex> index_of(const std::string& path, std::string* reason) {
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) check::fail(__FILE__, __LINE__, path + ": " + strerror(errno));
  auto image = ElfImage::open(fd, reason);
  if (image == nullptr) check::fail(__FILE__, __LINE__, path + ": " + *reason);
  auto index = SymbolIndex::build(*image, reason);
  close(fd);
  return index;
}

/* Compiles text to folder/name; SKIPs without a compiler. */
std::string compile(const TemporaryFolder& folder, const std::string& source_name, const std::string& text,
                    const std::string& flags) {
  std::ofstream(folder / source_name) << text;
  const std::string target = folder / "built";
  if (system(("g++ " + flags + " -o " + target + " " + (folder / source_name)).c_str()) != 0) {
    SKIP("g++ cannot build " + source_name);
  }
  return target;
}

struct NmSymbol {
  uint64_t address;
  uint64_t size;
  char kind;
  std::string name;
};

/* 'address size kind name' of sized functions. */
std::vector<NmSymbol> nm_functions(const std::string& arguments) {
  std::vector<NmSymbol> symbols;
  for (const std::string& line : output_of("nm -S --defined-only " + arguments)) {
    std::istringstream fields(line);
    NmSymbol one;
    if (!(fields >> std::hex >> one.address >> one.size >> one.kind >> one.name)) continue;
    if (strchr("tTwWi", one.kind) == nullptr || one.size == 0) continue;
    one.name = one.name.substr(0, one.name.find('@'));
    symbols.push_back(one);
  }
  return symbols;
}

/* Every sized function that nm lists must be found at its first byte, under one of its aliases there. */
size_t compare_with_nm(const SymbolIndex& index, const std::vector<NmSymbol>& symbols) {
  std::map<uint64_t, std::set<std::string>> aliases;
  for (const NmSymbol& one : symbols) aliases[one.address].insert(one.name);
  for (const auto& [address, names] : aliases) {
    const std::string name(index.lookup(address));
    if (names.count(name) == 0) {
      check::fail(__FILE__, __LINE__, check::show(address) + " is '" + name + "', nm says " + *names.begin());
    }
  }
  return aliases.size();
}

std::string libc_path() {
  for (const std::string& line : output_of("cat /proc/self/maps")) {
    const size_t slash = line.find('/');
    if (slash != std::string::npos && line.find("/libc.so.6") != std::string::npos) return line.substr(slash);
  }
  return "";
}

#if defined(__x86_64__)
const char* const kRules = R"(
  .text
  .globl write, __write, outer, unsized, after_unsized
  .type write, @function
  .type __write, @function
  .type outer, @function
  .type inner, @function
  .type unsized, @function
  .type after_unsized, @function
  .weak write
__GI___write:
__write:
write:
  .zero 16
  .size write, 16
  .size __write, 16
outer:
  .zero 16
inner:
  .zero 16
  .size inner, 16
  .zero 16
  .size outer, 48
unsized:
  .zero 16
after_unsized:
  .zero 4
label_in_sized:
  .zero 12
  .size after_unsized, 16
)";
#endif

}  // namespace

TEST("rules: aliases, overlap, labels and sizeless symbols") {
#if defined(__x86_64__)
  TemporaryFolder folder;
  const std::string path = compile(folder, "rules.s", kRules, "-shared -nostdlib");
  std::map<std::string, uint64_t> at;
  for (const std::string& line : output_of("nm " + path)) {
    std::istringstream fields(line);
    uint64_t address = 0;
    std::string kind, name;
    if (fields >> std::hex >> address >> kind >> name) at[name] = address;
  }
  std::string reason;
  auto index = index_of(path, &reason);
  CHECK_EQUAL(reason, std::string());
  auto name = [&](const char* symbol, uint64_t offset) {
    return std::string(index->lookup(at[symbol] + offset));
  };
  CHECK_EQUAL(name("write", 0), "write"); /* over __write and __GI___write */
  CHECK_EQUAL(name("write", 15), "write");
  CHECK_EQUAL(name("outer", 0), "outer");
  CHECK_EQUAL(name("inner", 0), "inner");
  CHECK_EQUAL(name("inner", 15), "inner");
  CHECK_EQUAL(name("inner", 16), "outer"); /* goes on after the inner one */
  CHECK_EQUAL(name("outer", 47), "outer");
  CHECK_EQUAL(name("unsized", 0), "unsized");
  CHECK_EQUAL(name("unsized", 15), "unsized");
  CHECK_EQUAL(name("after_unsized", 4), "after_unsized"); /* not the label inside it */
  CHECK_EQUAL(name("after_unsized", 16), "");
  CHECK_EQUAL(name("write", static_cast<uint64_t>(-1)), "");
#else
  SKIP("the assembler text is for x86-64");
#endif
}

TEST("every dynamic function of libc is found as nm -D lists it") {
  const std::string path = libc_path();
  const auto symbols = nm_functions("-D " + path);
  if (symbols.empty()) SKIP("nm (binutils) or libc is not there");
  std::string reason;
  auto index = index_of(path, &reason);
  CHECK(compare_with_nm(*index, symbols) > 1500);
  /* 12 bytes a range and its name: far below the table's 24 bytes a symbol. */
  CHECK(index->memory_bytes() < 200 * index->symbol_count());
  std::set<std::string> names;
  for (const NmSymbol& one : symbols) names.insert(std::string(index->lookup(one.address)));
  for (const char* expected : {"malloc", "write", "puts", "qsort"}) CHECK(names.count(expected) == 1);
}

TEST("a C++ program: nm's functions, and addr2line at 400 random addresses") {
  TemporaryFolder folder;
  const std::string path = compile(folder, "program.cc", R"(
    #include <map>
    #include <string>
    #include <vector>
    namespace shop { template <class T> struct Cart { std::vector<T> items; T sum() { T s{}; for (auto& i : items) s += i; return s; } }; }
    static int __attribute__((noinline)) local_helper(int x) { return x * 3; }
    int main(int argc, char**) {
      std::map<std::string, int> counts; counts["a"] += local_helper(argc);
      shop::Cart<std::string> cart; cart.items.push_back("x");
      return static_cast<int>(cart.sum().size()) + counts.begin()->second;
    })",
                                   "-O0");
  std::string reason;
  auto index = index_of(path, &reason);
  const auto symbols = nm_functions(path);
  if (symbols.empty()) SKIP("nm (binutils) is not there");
  CHECK(compare_with_nm(*index, symbols) > 50);

  std::map<uint64_t, std::set<std::string>> aliases;
  std::map<std::string, uint64_t> start_of;
  for (const NmSymbol& one : symbols) {
    aliases[one.address].insert(one.name);
    start_of[one.name] = one.address;
  }
  std::mt19937_64 random(7);
  std::string addresses;
  std::vector<uint64_t> asked;
  for (int i = 0; i < 400; i++) {
    const NmSymbol& one = symbols[random() % symbols.size()];
    asked.push_back(one.address + random() % one.size);
    std::ostringstream text;
    text << " 0x" << std::hex << asked.back();
    addresses += text.str();
  }
  const auto answers = output_of("addr2line -f -e " + path + addresses); /* name, then file:line */
  if (answers.size() != 2 * asked.size()) SKIP("addr2line (binutils) is not there");
  for (size_t i = 0; i < asked.size(); i++) {
    const std::string ours(index->lookup(asked[i]));
    const auto& same = aliases[start_of[answers[2 * i]]];
    if (ours != answers[2 * i] && same.count(ours) == 0) {
      check::fail(__FILE__, __LINE__,
                  check::show(asked[i]) + " is '" + ours + "', addr2line says " + answers[2 * i]);
    }
  }
}

TEST("PLT entries have the name of what they call") {
#if defined(__x86_64__)
  for (const char* flags : {"-O2", "-O2 -fcf-protection=full -Wl,-z,ibtplt", "-O2 -no-pie -Wl,-z,lazy"}) {
    TemporaryFolder folder;
    const std::string path = compile(folder, "plt.c", R"(
      extern "C" int puts(const char*); extern "C" int abs(int); extern "C" long random();
      int main() { puts("x"); return (int)random(); })",
                                     flags);
    std::string reason;
    auto index = index_of(path, &reason);
    std::set<std::string> called;
    for (const std::string& line : output_of("objdump -d " + path)) {
      const size_t call = line.find("call ");
      const size_t plt = line.find("@plt>");
      if (call == std::string::npos || plt == std::string::npos) continue;
      uint64_t address = 0;
      std::istringstream(line.substr(call + 5)) >> std::hex >> address;
      const size_t open = line.find('<', call);
      const std::string expected = line.substr(open + 1, plt + 4 - open - 1);
      CHECK_EQUAL(std::string(index->lookup(address)), expected);
      called.insert(expected);
    }
    if (called.empty()) SKIP("objdump (binutils) is not there");
    CHECK(called.count("puts@plt") == 1 && called.count("random@plt") == 1);
  }
#else
  SKIP("PLT entries are read on x86-64");
#endif
}

TEST("a stripped static program says that it has no symbols") {
  TemporaryFolder folder;
  const std::string path = compile(folder, "stripped.cc", "int main() { return 0; }", "-static -s");
  std::string reason;
  auto index = index_of(path, &reason);
  CHECK_EQUAL(index->symbol_count(), 0u);
  CHECK_EQUAL(reason.substr(0, 13), "SYMBOLS_NONE:");
  CHECK_EQUAL(index->lookup(0x401000), "");
}

TEST("broken symbol tables are survived (3,000 mutations, fixed seed)") {
  TemporaryFolder folder;
  const std::string path = compile(folder, "small.c", "int main() { return 0; }", "-O2");
  std::ifstream small_file(path, std::ios::binary);
  const std::vector<uint8_t> small{std::istreambuf_iterator<char>(small_file),
                                   std::istreambuf_iterator<char>()};
  std::string reason;
  auto good = ElfImage::from_memory(small.data(), small.size(), &reason);
  const auto* table = good->find_section(".symtab");
  Elf64_Ehdr header;
  memcpy(&header, small.data(), sizeof(header));
  std::mt19937_64 random(11);
  size_t named = 0;
  for (int i = 0; i < 3000; i++) {
    auto bytes = small;
    for (int edit = 0; edit < 6; edit++) {
      const bool in_table = random() % 2 == 0;
      const uint64_t base = in_table ? table->offset : header.e_shoff;
      const uint64_t span = in_table ? table->size : header.e_shnum * sizeof(Elf64_Shdr);
      const uint64_t values[] = {0, 1, UINT64_MAX, random(), 1ULL << 63, bytes.size()};
      memcpy(bytes.data() + base + random() % (span - 8), &values[random() % 6], 1 + random() % 8);
    }
    auto image = ElfImage::from_memory(bytes.data(), bytes.size(), &reason);
    if (image == nullptr) continue;
    auto index = SymbolIndex::build(*image, &reason);
    for (int k = 0; k < 64; k++) named += index->lookup(random() % 0x5000).empty() ? 0 : 1;
    (void)index->lookup(UINT64_MAX);
  }
  CHECK(named > 1000);
}

TEST("the cache drops what was not used for longest and keeps what is in use") {
  std::string reason;
  auto index = index_of("/proc/self/exe", &reason);
  const size_t one = index->memory_bytes();
  SymbolCache cache(2 * one);
  cache.insert(1, index);
  cache.insert(2, index);
  CHECK(cache.find(1) != nullptr); /* now 2 is the older */
  cache.insert(3, index);
  CHECK(cache.find(2) == nullptr);
  CHECK(cache.find(1) != nullptr && cache.find(3) != nullptr);
  CHECK_EQUAL(cache.memory_bytes(), 2 * one);
  CHECK_EQUAL(cache.evictions(), 1u);
  cache.insert(3, index);
  CHECK_EQUAL(cache.memory_bytes(), 2 * one);
  cache.erase(1);
  CHECK_EQUAL(cache.memory_bytes(), one);
  SymbolCache tiny(one - 1);
  tiny.insert(1, index);
  CHECK(tiny.find(1) == nullptr);
  CHECK_EQUAL(tiny.memory_bytes(), 0u);
}
