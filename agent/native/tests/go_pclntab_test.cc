/* SPDX-License-Identifier: Apache-2.0 */
/* Go's own table against 'go tool addr2line', which reads the same table by Go's code; then hostile bytes. */
#include "go_pclntab.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <random>
#include <set>

#include "owned.h"
#include "temporary.h"

using namespace strobe;

namespace {

const char* const kProgram = R"(package main

import "fmt"

func leaf(x int) int { return x*3 + 1 }

//go:noinline
func work(n int) int {
	sum := 0
	for i := 0; i < n; i++ {
		sum += leaf(i)
	}
	return sum
}

func main() {
	fmt.Println(work(10))
}
)";

std::string build_program(const TemporaryFolder& folder, const std::string& flags, const std::string& name) {
  std::ofstream(folder / "main.go") << kProgram;
  if (system("go version >/dev/null 2>&1") != 0) SKIP("there is no Go");
  run_or_skip("cd " + folder.path() + " && GOCACHE=/tmp/strobe-go-cache-$(id -u) GO111MODULE=off go build " +
              flags + " -o " + name + " main.go");
  return folder / name;
}

struct Opened {
  explicit Opened(const std::string& path) : fd(open(path.c_str(), O_RDONLY | O_CLOEXEC)) {
    image = ElfImage::open(fd.get(), &reason);
    if (image) table = GoTable::build(*image, &reason);
  }
  OwnedFd fd;
  std::string reason;
  std::unique_ptr<ElfImage> image;
  std::shared_ptr<const GoTable> table;
};

/* 1,000 addresses spread over the text, the same ones in each run. */
std::vector<uint64_t> text_addresses(const ElfImage& image) {
  const auto* text = image.find_section(".text");
  CHECK(text != nullptr);
  std::mt19937_64 random(7);
  std::vector<uint64_t> addresses(1000);
  for (uint64_t& one : addresses) one = text->vaddr + random() % text->size;
  return addresses;
}

struct Comparison {
  size_t same = 0, inlined = 0, unnamed = 0;
};

/* labelled: the file addr2line can read, the same code as the one that was opened. */
Comparison compare(const Opened& opened, const std::string& labelled, const TemporaryFolder& folder) {
  const auto addresses = text_addresses(*opened.image);
  {
    std::ofstream list(folder / "addresses");
    for (uint64_t one : addresses) list << "0x" << std::hex << one << "\n";
  }
  const auto answers = output_of("go tool addr2line " + labelled + " <" + (folder / "addresses"));
  CHECK_EQUAL(answers.size(), 2 * addresses.size());
  Comparison comparison;
  for (size_t i = 0; i < addresses.size(); i++) {
    const std::string &name = answers[2 * i], &place = answers[2 * i + 1];
    const SourceLines lines = opened.table->lookup(*opened.image, addresses[i]);
    if (name == "?" || lines.empty()) {
      comparison.unnamed++;
      continue;
    }
    /* addr2line tells the function around inlined calls, and the line of the innermost. */
    CHECK_EQUAL(lines.back().function, name);
    if (place == ":-1") {
      CHECK_EQUAL(lines.front().line, 0u); /* generated code */
    } else {
      CHECK_EQUAL(lines.front().file + ":" + std::to_string(lines.front().line), place);
    }
    (lines.size() > 1 ? comparison.inlined : comparison.same)++;
  }
  return comparison;
}

std::string show(const SourceLines& lines) {
  std::string text;
  for (const SourceLine& line : lines)
    text += (text.empty() ? "" : " < ") + line.function + " " +
            std::filesystem::path(line.file).filename().string() + ":" + std::to_string(line.line);
  return text;
}

std::string places(const SourceLines& lines) {
  std::string text;
  for (const SourceLine& line : lines)
    text += (text.empty() ? "" : " < ") + std::filesystem::path(line.file).filename().string() + ":" +
            std::to_string(line.line);
  return text;
}

}  // namespace

TEST("names and lines are those of go tool addr2line, stripped or not") {
  TemporaryFolder folder;
  const std::string plain = build_program(folder, "", "plain");
  const std::string stripped = build_program(folder, "-ldflags='-s -w'", "stripped");
  for (const std::string& path : {plain, stripped}) {
    Opened opened(path);
    CHECK_EQUAL(opened.reason, "");
    CHECK(opened.table != nullptr);
    CHECK(opened.table->has_inline_trees());
    const Comparison seen = compare(opened, plain, folder);
    printf("        %s: %zu same, %zu in an inlined call, %zu without a function\n",
           path == plain ? "plain" : "stripped", seen.same, seen.inlined, seen.unnamed);
    CHECK(seen.same > 500);
    CHECK(seen.inlined > 20);
    CHECK_EQUAL(seen.unnamed, size_t{0});
  }
}

/* go tool addr2line of 1.19 knows no position-independent file; binutils reads its DWARF. It names the
 * innermost function after the symbol around it, so places are compared. */
TEST("chains of a position-independent program are those of its DWARF, stripped or not") {
  TemporaryFolder folder;
  const std::string plain = build_program(folder, "-buildmode=pie", "plain");
  const std::string stripped = build_program(folder, "-buildmode=pie -ldflags='-s -w'", "stripped");
  Opened opened(plain), without(stripped);
  CHECK(opened.table != nullptr && without.table != nullptr && without.table->has_inline_trees());
  std::string list;
  const auto addresses = text_addresses(*opened.image);
  for (uint64_t one : addresses) {
    std::ostringstream hex;
    hex << std::hex << one;
    list += " 0x" + hex.str();
  }
  std::vector<std::string> chains;
  const auto output = output_of("addr2line -a -f -i -e " + plain + list);
  for (size_t i = 0; i < output.size(); i++) {
    if (output[i].starts_with("0x")) {
      chains.emplace_back();
      continue;
    }
    const std::string place = output[i + 1].substr(0, output[i + 1].find(" ("));
    chains.back() += (chains.back().empty() ? "" : " < ") + std::filesystem::path(place).filename().string();
    i++;
  }
  CHECK_EQUAL(chains.size(), addresses.size());
  size_t same = 0;
  for (size_t i = 0; i < addresses.size(); i++) {
    const SourceLines lines = opened.table->lookup(*opened.image, addresses[i]);
    CHECK_EQUAL(show(without.table->lookup(*without.image, addresses[i])), show(lines));
    const bool is_generated = std::any_of(lines.begin(), lines.end(), [](const SourceLine& line) {
      return line.line == 0 || line.file == "<autogenerated>";
    });
    if (is_generated) continue;
    CHECK_EQUAL(places(lines), chains[i]);
    same++;
  }
  printf("        %zu chains are the same\n", same);
  CHECK(same > 900);
}

TEST("an inlined call has its own line and that of its caller, in a stripped program") {
  TemporaryFolder folder;
  Opened opened(build_program(folder, "-ldflags='-s -w'", "stripped"));
  CHECK(opened.table != nullptr);
  const auto* text = opened.image->find_section(".text");
  std::set<std::string> seen;
  for (uint64_t at = text->vaddr; at < text->vaddr + text->size; at++) {
    const SourceLines lines = opened.table->lookup(*opened.image, at);
    if (!lines.empty() && lines.back().function == "main.work") seen.insert(show(lines));
  }
  CHECK(seen.count("main.leaf main.go:5 < main.work main.go:11") == 1);
  CHECK(seen.count("main.work main.go:10") == 1);
  CHECK(opened.table->lookup(*opened.image, 0).empty());
  CHECK(opened.table->lookup(*opened.image, UINT64_MAX).empty());
}

TEST("fuzz: a table full of nonsense gives wrong names or none, and ends") {
  TemporaryFolder folder;
  const std::string path = build_program(folder, "-ldflags='-s -w'", "stripped");
  const std::string good = bytes_of(path);
  Opened opened(path);
  const auto* section = opened.image->find_section(".gopclntab");
  const auto* data = opened.image->find_section(".noptrdata");
  const auto* read_only = opened.image->find_section(".rodata");
  CHECK(section != nullptr && data != nullptr && read_only != nullptr);
  const auto addresses = text_addresses(*opened.image);
  std::mt19937_64 random(11);
  size_t refused = 0;
  auto spoil = [&](std::string* bytes, const ElfSection& target, uint64_t first, uint64_t reach,
                   int changes) {
    for (int i = 0; i < changes; i++)
      (*bytes)[target.offset + first + random() % (reach - first)] = static_cast<char>(random());
  };
  for (int round = 0; round < 60; round++) {
    std::string bad = good;
    if (round % 3 == 0) {
      spoil(&bad, *section, 8, 72, 2);
    } else if (round % 3 == 1) {
      spoil(&bad, *section, 8, section->size, 20000);
    } else {
      spoil(&bad, *data, 0, data->size, 2000);
      spoil(&bad, *read_only, 0, read_only->size, 20000);
    }
    std::string reason;
    auto image = ElfImage::from_memory(bad.data(), bad.size(), &reason);
    CHECK(image != nullptr);
    auto table = GoTable::build(*image, &reason);
    if (!table) {
      CHECK(reason.starts_with("GO_TABLE_"));
      refused++;
      continue;
    }
    for (size_t i = 0; i < 100; i++) (void)table->lookup(*image, addresses[i]);
  }
  CHECK(refused > 0);
}

TEST("a file that is not Go's has no table") {
  Opened opened("/proc/self/exe");
  CHECK(opened.image != nullptr);
  CHECK(opened.table == nullptr);
  CHECK_EQUAL(opened.reason, "");
}
