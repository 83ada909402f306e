/* SPDX-License-Identifier: Apache-2.0 */
/*
 * name-addresses FILE...: names addresses as the agent would.
 *
 * Reads lines 'INDEX OF FILE' 'HEX ADDRESS' from stdin; for each prints its lines, innermost first, as
 * 'function<TAB>linkage name<TAB>file<TAB>line<TAB>start line', then an empty line. Used by npm run oracle.
 */
#include <fcntl.h>
#include <stdio.h>

#include <map>
#include <string>
#include <vector>

#include "file_namer.h"

using namespace strobe;

int main(int argc, char** argv) {
  auto counters = std::make_shared<Counters>();
  FileNamer namer({512u << 20, 2048u << 20, ""}, counters);
  std::map<uint32_t, std::vector<uint64_t>> addresses;
  unsigned index = 0;
  unsigned long long address = 0;
  std::vector<std::pair<unsigned, size_t>> order;
  while (scanf("%u %llx", &index, &address) == 2) {
    if (index + 1 >= static_cast<unsigned>(argc)) return 2;
    order.emplace_back(index, addresses[index].size());
    addresses[index].push_back(address);
  }
  std::map<uint32_t, std::vector<NamedAddress>> named;
  for (const auto& [file, list] : addresses) {
    const char* path = argv[file + 1];
    auto open_file = [path]() -> std::shared_ptr<const OpenFile> {
      auto opened = std::make_shared<OpenFile>();
      std::string reason;
      opened->fd = OwnedFd(open(path, O_RDONLY | O_CLOEXEC));
      opened->image = ElfImage::open(opened->fd.get(), &reason);
      opened->root = "/";
      opened->path = path;
      if (opened->image) return opened;
      fprintf(stderr, "%s: %s\n", path, reason.c_str());
      return nullptr;
    };
    const uint64_t started = clock_ns(CLOCK_MONOTONIC);
    named[file] = namer.name(file, list, open_file, started + 600'000'000'000ULL);
    fprintf(stderr, "%s: %zu addresses in %.0f ms\n", path, list.size(),
            static_cast<double>(clock_ns(CLOCK_MONOTONIC) - started) / 1e6);
  }
  for (const auto& [file, at] : order) {
    for (const SourceLine& line : named[file][at].lines)
      printf("%s\t%s\t%s\t%u\t%u\n", line.function.c_str(), line.linkage_name.c_str(), line.file.c_str(),
             line.line, line.start_line);
    printf("\n");
  }
  for (const auto& [name, count] : counters->totals())
    fprintf(stderr, "%s %llu\n", name.c_str(), static_cast<unsigned long long>(count));
}
