/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Lines and inlined calls worked out by hand from the source below, and what happens when the child that
 * reads them is given hostile files or no peace.
 */
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstring>
#include <random>

#include "dwarf_client.h"
#include "dwarf_messages.h"
#include "dwarf_reader.h"
#include "elf_image.h"
#include "temporary.h"

using namespace strobe;

namespace {

/* Marks stand in the code as labels; the lines below are counted from 1. */
const char* const kSource = R"(#define MARK(name) asm volatile(".globl " #name "\n" #name ": nop")
namespace shop {
template <typename T> struct Cart {
  __attribute__((always_inline)) T add(T x) {
    MARK(in_add);
    return x * 3;
  }
};
}
static __attribute__((always_inline)) inline int middle(int x) {
  shop::Cart<int> cart;
  x += cart.add(x);
  return x;
}
__attribute__((noinline)) int outer(int x) {
  MARK(in_outer);
  if (x > 3) {
    int y = x * 2;
    x += middle(y);
  }
  return x;
}
int main(int argc, char**) { return outer(argc); }
)";

std::string build(const TemporaryFolder& folder, const std::string& compiler, const std::string& flags) {
  std::ofstream(folder / "cart.cc") << kSource;
  run_or_skip("cd " + folder.path() + " && " + compiler + " " + flags + " -o built cart.cc");
  return folder / "built";
}

std::string show(const SourceLines& lines) {
  std::string text;
  for (const SourceLine& line : lines) {
    const size_t slash = line.file.rfind('/');
    text += (text.empty() ? "" : " < ") + (line.linkage_name.empty() ? line.function : line.linkage_name) +
            ":" + std::to_string(line.start_line) + "@" +
            line.file.substr(slash == std::string::npos ? 0 : slash + 1) + ":" + std::to_string(line.line);
  }
  return text;
}

const char* const kInAdd =
    "_ZN4shop4CartIiE3addEi:4@cart.cc:5 < middle:10@cart.cc:12 < _Z5outeri:15@cart.cc:19";

void check_reader(const std::string& compiler, const std::string& flags) {
  TemporaryFolder folder;
  const std::string path = build(folder, compiler, flags);
  auto at = addresses_of(path);
  OwnedFd fd(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  std::string reason;
  auto reader = DwarfReader::open(fd.get(), -1, &reason);
  CHECK_EQUAL(reason, "");
  /* clang writes linkage names of what is local to the file, too. */
  std::string expected = kInAdd;
  if (compiler != "g++") expected.replace(expected.find("middle"), 6, "_ZL6middlei");
  CHECK_EQUAL(show(reader->lookup(at.at("in_add"))), expected);
  CHECK_EQUAL(show(reader->lookup(at.at("in_outer"))), "_Z5outeri:15@cart.cc:16");
  CHECK_EQUAL(reader->lookup(at.at("in_outer")).at(0).start_file, folder / "cart.cc");
  CHECK_EQUAL(show(reader->lookup(at.at("main"))), "main:23@cart.cc:23");
  CHECK_EQUAL(reader->lookup(0).size(), size_t{0});
  CHECK_EQUAL(reader->lookup(UINT64_MAX).size(), size_t{0});
}

struct Asked {
  std::unordered_map<uint64_t, SourceLines> lines;
  bool is_worth_asking;
};

Asked ask(DwarfClient& client, uint32_t key, int fd, const std::vector<uint64_t>& addresses,
          uint64_t patience_ms = 20'000) {
  auto lines = client.lookup(
      key, addresses, [&] { return std::vector<int>{fd}; },
      clock_ns(CLOCK_MONOTONIC) + patience_ms * 1'000'000);
  return {std::move(lines), client.is_worth_asking(key)};
}

uint64_t counted(const Counters& counters, const char* name) {
  const auto totals = counters.totals();
  const auto found = totals.find(name);
  return found == totals.end() ? 0 : found->second;
}

OwnedFd file_of(const std::string& bytes) {
  OwnedFd fd(memfd_create("dwarf-test", MFD_CLOEXEC));
  if (write(fd.get(), bytes.data(), bytes.size()) != static_cast<ssize_t>(bytes.size()))
    check::fail(__FILE__, __LINE__, "write");
  return fd;
}

DwarfLimits limits_of(size_t memory_bytes) {
  DwarfLimits limits;
  limits.memory_bytes = memory_bytes;
  return limits;
}

}  // namespace

TEST("every inlined level with its line: g++, DWARF 5") { check_reader("g++", "-O2 -gdwarf-5"); }
TEST("every inlined level with its line: g++, DWARF 4, not position-independent") {
  check_reader("g++", "-O2 -gdwarf-4 -no-pie");
}
TEST("every inlined level with its line: g++, compressed sections") { check_reader("g++", "-O2 -g -gz"); }
TEST("every inlined level with its line: clang, DWARF 5") { check_reader("clang++-19", "-O2 -gdwarf-5"); }
TEST("every inlined level with its line: clang, DWARF 4") { check_reader("clang++-19", "-O2 -gdwarf-4"); }

TEST("a file without DWARF says so") {
  TemporaryFolder folder;
  OwnedFd fd(open(build(folder, "g++", "-O2 -s").c_str(), O_RDONLY | O_CLOEXEC));
  std::string reason;
  CHECK(DwarfReader::open(fd.get(), -1, &reason) == nullptr);
  CHECK(reason.starts_with("DWARF_NONE:"));
}

TEST("the child answers, has no capability and cannot open a file") {
  TemporaryFolder folder;
  const std::string path = build(folder, "g++", "-O2 -g");
  OwnedFd fd(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  Counters counters;
  DwarfClient client(DwarfClient::default_program(), limits_of(256u << 20), counters);
  const uint64_t address = addresses_of(path).at("in_add");
  CHECK_EQUAL(show(ask(client, 1, fd.get(), {address, address}).lines[address]), kInAdd);
  const std::string status = bytes_of("/proc/" + std::to_string(client.child_pid()) + "/status");
  CHECK(status.find("CapPrm:\t0000000000000000") != std::string::npos);
  CHECK(status.find("NoNewPrivs:\t1") != std::string::npos);
#if !defined(__SANITIZE_ADDRESS__)
  CHECK(status.find("Seccomp:\t2") != std::string::npos);
#endif
  CHECK(client.child_bytes() > 0);
  CHECK_EQUAL(counted(counters, "dwarf_starts"), 1u);
}

TEST("a child that is killed costs the file one strike, and the next one answers") {
  TemporaryFolder folder;
  const std::string path = build(folder, "g++", "-O2 -g");
  OwnedFd fd(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  Counters counters;
  DwarfClient client(DwarfClient::default_program(), limits_of(256u << 20), counters);
  const auto at = addresses_of(path);
  ask(client, 1, fd.get(), {at.at("in_outer")});
  kill(client.child_pid(), SIGKILL);
  const Asked asked = ask(client, 1, fd.get(), {at.at("in_add")});
  CHECK_EQUAL(asked.lines.size(), size_t{1});
  CHECK(asked.is_worth_asking);
  CHECK_EQUAL(counted(counters, "dwarf_crashes"), 1u);
  CHECK_EQUAL(counted(counters, "dwarf_starts"), 2u);
}

TEST("a file that needs more memory than allowed is refused, others are read on") {
#if defined(__SANITIZE_ADDRESS__)
  SKIP("the sanitizer needs more address space than the limit");
#endif
  TemporaryFolder folder;
  const std::string small = build(folder, "g++", "-O2 -g");
  Counters counters;
  DwarfClient client(DwarfClient::default_program(), limits_of(2u << 20), counters);
  /* Itself: some 10 MB of DWARF. */
  OwnedFd large(open("/proc/self/exe", O_RDONLY | O_CLOEXEC));
  std::vector<uint64_t> addresses;
  for (const auto& [name, address] : addresses_of("/proc/" + std::to_string(getpid()) + "/exe"))
    addresses.push_back(address);
  CHECK(addresses.size() > 100);
  const Asked asked = ask(client, 1, large.get(), addresses);
  CHECK(!asked.is_worth_asking);
  CHECK_EQUAL(counted(counters, "dwarf_over_memory"), 2u);
  CHECK_EQUAL(counted(counters, "dwarf_files_refused"), 1u);
  OwnedFd fd(open(small.c_str(), O_RDONLY | O_CLOEXEC));
  const uint64_t address = addresses_of(small).at("in_add");
  CHECK_EQUAL(show(ask(client, 2, fd.get(), {address}).lines[address]), kInAdd);
}

TEST("a child that does not answer delays nobody and is ended; starts are bounded") {
  TemporaryFolder folder;
  const std::string program = folder / "hang";
  std::ofstream(program) << "#!/bin/sh\nexec sleep 1000\n";
  std::filesystem::permissions(program, std::filesystem::perms::owner_all);
  Counters counters;
  DwarfLimits limits = limits_of(1u << 20);
  limits.question_ns = 50'000'000;
  limits.max_starts = 3;
  DwarfClient client(program, limits, counters);
  OwnedFd fd(open("/proc/self/exe", O_RDONLY | O_CLOEXEC));
  const uint64_t before = clock_ns(CLOCK_MONOTONIC);
  for (uint32_t key = 1; counted(counters, "dwarf_starts_refused") == 0; key++)
    ask(client, key / 4, fd.get(), {1}, 20);
  CHECK(clock_ns(CLOCK_MONOTONIC) - before < 5'000'000'000);
  CHECK_EQUAL(counted(counters, "dwarf_timeouts"), 3u);
  CHECK_EQUAL(counted(counters, "dwarf_starts"), 3u);
}

TEST("an answer that is late is there the next time, and a child without questions is let go") {
  TemporaryFolder folder;
  const std::string path = build(folder, "g++", "-O2 -g");
  OwnedFd fd(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  Counters counters;
  DwarfLimits limits = limits_of(256u << 20);
  limits.rest_ns = 1;
  DwarfClient client(DwarfClient::default_program(), limits, counters);
  const auto at = addresses_of(path);
  ask(client, 1, fd.get(), {at.at("in_outer")});
  kill(client.child_pid(), SIGSTOP);
  CHECK(ask(client, 1, fd.get(), {at.at("in_add")}, 5).lines.empty());
  kill(client.child_pid(), SIGCONT);
  CHECK_EQUAL(show(ask(client, 1, fd.get(), {at.at("in_add")}).lines[at.at("in_add")]), kInAdd);
  CHECK_EQUAL(counted(counters, "dwarf_questions"), 2u);
  CHECK(client.child_pid() > 0);
  client.rest();
  CHECK_EQUAL(client.child_pid(), -1);
}

TEST("fuzz: no file hurts the agent, and a good one is read after all of them") {
  TemporaryFolder folder;
  const std::string path = build(folder, "g++", "-O2 -g");
  const auto at = addresses_of(path);
  const std::string good = bytes_of(path);
  std::string reason;
  OwnedFd own(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  auto image = ElfImage::open(own.get(), &reason);
  std::vector<std::pair<size_t, size_t>> targets; /* offset and size of what is read */
  for (const ElfSection& section : image->sections())
    if (section.name.starts_with(".debug_") && section.size > 0)
      targets.emplace_back(section.offset, section.size);
  CHECK(targets.size() >= 5);
  Counters counters;
  DwarfLimits limits = limits_of(64u << 20);
  limits.question_ns = 2'000'000'000;
  limits.max_starts = 10'000;
  DwarfClient client(DwarfClient::default_program(), limits, counters);
  std::mt19937 random(20261125);
  size_t answered = 0;
  for (uint32_t round = 1; round <= 400; round++) {
    std::string bytes = good;
    const size_t changes = 1 + random() % 8;
    for (size_t i = 0; i < changes; i++) {
      const auto [offset, size] = targets[random() % targets.size()];
      bytes[offset + random() % size] = static_cast<char>(random());
    }
    if (round % 16 == 0) bytes.resize(targets[0].first + random() % targets[0].second);
    OwnedFd fd = file_of(bytes);
    answered +=
        ask(client, round, fd.get(), {at.at("in_add"), at.at("in_outer"), at.at("main")}, 5000).lines.size();
  }
  CHECK(answered > 400); /* most changes spoil one unit's names, not the file */
  const Asked asked = ask(client, 100'000, own.get(), {at.at("in_add")});
  CHECK_EQUAL(show(asked.lines.at(at.at("in_add"))), kInAdd);
}

TEST("fuzz: answers are read within their bytes") {
  SourceLines lines(3);
  lines[0].function = "f";
  lines[1].file = "/a/b.c";
  lines[2].linkage_name = "_Z1fv";
  lines[2].line = 7;
  ByteWriter writer;
  writer.lines(lines);
  std::mt19937 random(20261125);
  size_t read_whole = 0;
  for (int round = 0; round < 20'000; round++) {
    std::vector<uint8_t> bytes = writer.bytes();
    for (size_t i = random() % 4; i > 0; i--) bytes[random() % bytes.size()] = static_cast<uint8_t>(random());
    if (random() % 2 == 0) bytes.resize(random() % (bytes.size() + 1));
    ByteReader reader(bytes);
    SourceLines seen;
    if (reader.lines(&seen) && reader.at_end()) read_whole++;
    CHECK(seen.size() <= 1024);
  }
  CHECK(read_whole > 1000);
}
