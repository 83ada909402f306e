/* SPDX-License-Identifier: Apache-2.0 */
#include "perf_map.h"

#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <random>

#include "process_metadata.h"
#include "temporary.h"

using namespace strobe;

namespace {

std::string path_of(const std::string& name) { return "/tmp/perf-" + name + ".map"; }

/* Of this process, in ns since boot. */
uint64_t own_start() {
  const std::string stat = bytes_of("/proc/self/stat");
  std::istringstream fields(stat.substr(stat.rfind(')') + 2));
  std::string field;
  for (int i = 0; i < 20; i++) fields >> field;
  return std::stoull(field) * 1'000'000'000 / static_cast<uint64_t>(sysconf(_SC_CLK_TCK));
}

struct OwnMap {
  const std::string path = path_of(std::to_string(getpid()));
  OwnMap() { clear(); }
  ~OwnMap() { clear(); }
  void clear() const {
    std::error_code ignored;
    std::filesystem::remove(path, ignored);
  }
  void write(const std::string& text, std::ios::openmode mode = std::ios::app) const {
    std::ofstream(path, mode) << text;
  }
  std::string name(PerfMaps& maps, uint64_t pc) const {
    return maps.name(static_cast<uint32_t>(getpid()), own_start(), static_cast<uint32_t>(getpid()), {pc})[0];
  }
};

}  // namespace

TEST("lines: the latest at an address counts, wrong ones are passed over, names are made harmless") {
  PerfMap map;
  map.append("1000 100 first\n1100 10 second\nnonsense\n2000 zz bad\n3000 0 empty\n1000 80 moved h");
  CHECK_EQUAL(map.lookup(0x1000), "first");
  CHECK_EQUAL(map.lookup(0x10ff), "first");
  map.append("ere\n4000 10 evil\x1b[31m\n5000 10 " + std::string(5000, 'x') + "\n6000 1 after\n");
  CHECK_EQUAL(map.lookup(0x1000), "moved here");
  CHECK_EQUAL(map.lookup(0x10ff), "first");
  CHECK_EQUAL(map.lookup(0x1100), "second");
  CHECK_EQUAL(map.lookup(0x1110), "");
  CHECK_EQUAL(map.lookup(0x3000), "");
  CHECK_EQUAL(map.lookup(0x4000), "evil?[31m");
  CHECK_EQUAL(map.lookup(0x5000), std::string(512, 'x'));
  CHECK_EQUAL(map.lookup(0x6000), "after");
  CHECK_EQUAL(map.lookup(0), "");
  CHECK_EQUAL(map.lookup(UINT64_MAX), "");
}

TEST("the file of a process is read, and again when it grows or is started anew") {
  const OwnMap file;
  PerfMaps maps(1u << 20);
  CHECK_EQUAL(file.name(maps, 0x1000), "");
  file.write("1000 10 one\n");
  CHECK_EQUAL(file.name(maps, 0x1000), "one");
  file.write("2000 10 two\n");
  CHECK_EQUAL(file.name(maps, 0x2000), "two");
  file.write("2000 10 new\n", std::ios::trunc);
  CHECK_EQUAL(file.name(maps, 0x2000), "new");
  CHECK_EQUAL(file.name(maps, 0x1000), "");
  file.clear();
  CHECK_EQUAL(file.name(maps, 0x2000), "new"); /* gone: what was read stays */
}

TEST("a link, a second name, a pipe and somebody else's file are left alone") {
  const OwnMap file;
  TemporaryFolder folder;
  const std::string secret = folder / "secret";
  std::ofstream(secret) << "1000 10 secret\n";
  PerfMaps maps(1u << 20);
  std::filesystem::create_symlink(secret, file.path);
  CHECK_EQUAL(file.name(maps, 0x1000), "");
  file.clear();
  if (link(secret.c_str(), file.path.c_str()) == 0) {
    CHECK_EQUAL(file.name(maps, 0x1000), "");
    file.clear();
  }
  CHECK_EQUAL(mkfifo(file.path.c_str(), 0644), 0);
  CHECK_EQUAL(file.name(maps, 0x1000), "");
  file.clear();
  if (geteuid() != 0) SKIP("only root can give a file to somebody else");
  file.write("1000 10 planted\n");
  CHECK_EQUAL(chown(file.path.c_str(), 65534, 65534), 0);
  CHECK_EQUAL(file.name(maps, 0x1000), "");
  CHECK_EQUAL(chown(file.path.c_str(), 0, 0), 0);
  CHECK_EQUAL(file.name(maps, 0x1000), "planted");
}

TEST("maps stay within their bytes, those asked for longest ago go first") {
  const OwnMap file;
  std::string text;
  for (int i = 0; i < 1000; i++) text += "1000 10 " + std::string(100, 'x') + "\n";
  file.write(text);
  PerfMaps maps(1000);
  CHECK_EQUAL(file.name(maps, 0x1000), std::string(100, 'x'));
  file.clear();
  CHECK_EQUAL(file.name(maps, 0x1000), "");
}

TEST("fuzz: any bytes in any pieces are read within bounds") {
  std::mt19937 random(20261125);
  const std::string good = "1000 10 one\n2000 20 two three\nffffffffffffff00 200 end\n";
  for (int round = 0; round < 5000; round++) {
    PerfMap map;
    std::string text = good + good;
    for (size_t i = random() % 6; i > 0; i--) text[random() % text.size()] = static_cast<char>(random());
    for (size_t at = 0; at < text.size();) {
      const size_t length = std::min<size_t>(1 + random() % 40, text.size() - at);
      map.append(std::string_view(text).substr(at, length));
      at += length;
      map.lookup(0x1008);
      CHECK(map.lookup(random()).size() <= 512);
    }
  }
}
