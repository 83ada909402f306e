/* SPDX-License-Identifier: Apache-2.0 */
#include "function_starts.h"

#include <fcntl.h>

#include <random>

#include "owned.h"
#include "temporary.h"

using namespace strobe;

TEST("a stripped program: each byte of a function leads to its start, padding to none") {
  TemporaryFolder folder;
  std::ofstream(folder / "two.c")
      << "__attribute__((noinline,aligned(64))) int one(int x) { return x * 3 + 1; }\n"
         "__attribute__((noinline,aligned(64))) int two(int x) { return one(x) * 5; }\n"
         "int main(int argc, char **argv) { return two(argc); }\n";
  run_or_skip("cd " + folder.path() + " && gcc -O1 -o whole two.c && objcopy -S whole stripped");
  const OwnedFd fd(open((folder / "stripped").c_str(), O_RDONLY | O_CLOEXEC));
  std::string reason;
  const auto image = ElfImage::open(fd.get(), &reason);
  size_t functions = 0;
  for (const std::string& line : output_of("nm -S " + (folder / "whole"))) {
    std::istringstream fields(line);
    uint64_t start = 0, size = 0;
    std::string kind, name;
    if (!(fields >> std::hex >> start >> size >> kind >> name) || kind != "T") continue;
    functions++;
    for (uint64_t vaddr = start; vaddr < start + size; vaddr++)
      CHECK_EQUAL(find_function_start(*image, vaddr).value_or(0), start);
    if (name == "one") CHECK(!find_function_start(*image, start + size));
  }
  CHECK(functions >= 3);
  CHECK(!find_function_start(*image, 0));
  CHECK(!find_function_start(*image, UINT64_MAX));
}

TEST("fuzz: damaged tables end within the file") {
  const std::string good = bytes_of("/proc/self/exe");
  std::string reason;
  const auto image = ElfImage::from_memory(good.data(), good.size(), &reason);
  const ElfSection* section = image->find_section(".eh_frame_hdr");
  CHECK(section != nullptr);
  std::mt19937_64 random(20261125);
  for (int round = 0; round < 50; round++) {
    std::string bytes = good;
    for (size_t i = 0; i < 4; i++)
      bytes[section->offset + random() % (round % 2 ? 16 : section->size)] = static_cast<char>(random());
    const auto bad = ElfImage::from_memory(bytes.data(), bytes.size(), &reason);
    for (int i = 0; i < 200; i++) find_function_start(*bad, random() % (good.size() * 2));
  }
}
