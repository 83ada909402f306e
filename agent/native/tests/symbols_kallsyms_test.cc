/* SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstring>
#include <fstream>

#include "check.h"
#include "kallsyms.h"

using strobe::KernelSymbols;

namespace {

std::unique_ptr<const KernelSymbols> parse(const std::string& text, std::string* reason) {
  const int fd = memfd_create("kallsyms", MFD_CLOEXEC);
  if (write(fd, text.data(), text.size()) != static_cast<ssize_t>(text.size())) SKIP("memfd");
  auto symbols = KernelSymbols::build(fd, reason);
  close(fd);
  return symbols;
}

const char* const kText =
    "0000000000000000 A fixed_percpu_data\n"
    "ffffffff81000000 T _stext\n"
    "ffffffff81000000 T _text\n"
    "ffffffff81000100 t __do_sys_read\n"
    "ffffffff81000100 T ksys_read\n"
    "ffffffff81000200 T last_of_text\n"
    "ffffffff81000300 T _etext\n"
    "ffffffff82000000 D some_data\n"
    "ffffffffc0001000 t vmx_run\t[kvm_intel]\n"
    "ffffffffc0002000 t vmx_exit\t[kvm_intel]\n"
    "ffffffffc0900000 t bpf_prog_6deef7357e7b4530_sample_cpu\t[bpf]\n";

}  // namespace

TEST("lookup: functions, aliases, modules, ends") {
  std::string reason;
  auto symbols = parse(kText, &reason);
  CHECK(symbols != nullptr);
  auto name = [&](uint64_t address) {
    const auto found = symbols->lookup(address);
    return std::string(found.name) + (found.module.empty() ? "" : "@" + std::string(found.module));
  };
  CHECK_EQUAL(name(0xffffffff81000100), "ksys_read"); /* exported, over the local alias */
  CHECK_EQUAL(name(0xffffffff810001ff), "ksys_read");
  CHECK_EQUAL(name(0xffffffff81000200), "last_of_text");
  CHECK_EQUAL(name(0xffffffff81000300), "");
  CHECK_EQUAL(name(0xffffffff82000000), ""); /* data */
  CHECK_EQUAL(name(0xffffffffc0001fff), "vmx_run@kvm_intel");
  CHECK_EQUAL(name(0xffffffffc00fffff), "vmx_exit@kvm_intel");
  CHECK_EQUAL(name(0xffffffffc0200000), ""); /* more than 1 MiB behind */
  CHECK_EQUAL(name(0xffffffffc0900010), "bpf_prog_6deef7357e7b4530_sample_cpu@bpf");
  CHECK_EQUAL(name(0x1000), "");
  CHECK_EQUAL(name(UINT64_MAX), "");
  CHECK_EQUAL(symbols->symbol_count(), 6u);
}

TEST("only zeros: unavailable, with the reason") {
  std::string reason;
  CHECK(parse("0000000000000000 T _text\n0000000000000000 T ksys_read\n", &reason) == nullptr);
  CHECK_EQUAL(reason.substr(0, 16), "KALLSYMS_HIDDEN:");
  CHECK(parse("", &reason) == nullptr);
  CHECK_EQUAL(reason.substr(0, 14), "KALLSYMS_READ:");
}

TEST("lines that are no symbols are passed over") {
  std::string reason;
  auto symbols =
      parse("\n\nffffffff81000000\nzzz T x\nffffffff81000000 T\nffffffff81000000 T good\n" +
                std::string(100000, 'f') + " T long\nffffffff81000010 T " + std::string(100000, 'n'),
            &reason);
  CHECK(symbols != nullptr);
  CHECK_EQUAL(std::string(symbols->lookup(0xffffffff81000000).name), "good");
  CHECK_EQUAL(symbols->lookup(0xffffffff81000010).name.size(), 1024u);
}

TEST("this kernel: every function of the file is found under an alias of its address") {
  const int fd = open("/proc/kallsyms", O_RDONLY | O_CLOEXEC);
  if (fd < 0) SKIP("/proc/kallsyms cannot be opened");
  std::string reason;
  auto symbols = KernelSymbols::build(fd, &reason);
  close(fd);
  if (symbols == nullptr) SKIP(reason);
  CHECK(symbols->symbol_count() > 5000);
  std::ifstream file("/proc/kallsyms");
  uint64_t address = 0;
  std::string kind, name, line;
  size_t found = 0, wrong = 0;
  while (file >> std::hex >> address >> kind >> name) {
    std::getline(file, line);
    if (name == "ksys_read" || name == "do_syscall_64" || name == "schedule") {
      found++;
      if (symbols->lookup(address + 1).name != name) wrong++;
    }
  }
  CHECK(found >= 2);
  CHECK_EQUAL(wrong, 0u);
}

TEST("what was loaded later is found, and what is not there does not ask each time") {
  const int fd = memfd_create("kallsyms", MFD_CLOEXEC);
  const std::string text = kText, later = "ffffffffc0a00000 t late_function\t[late]\n";
  CHECK_EQUAL(write(fd, text.data(), text.size()), static_cast<ssize_t>(text.size()));
  strobe::Counters counters;
  strobe::KernelNamer namer(fd, counters);
  const uint64_t second = 1'000'000'000, address = 0xffffffffc0a00010;
  auto reads = [&] { return counters.totals()["kallsyms_read_again"]; };
  CHECK_EQUAL(namer.lookup(address, second).name, "");
  CHECK_EQUAL(write(fd, later.data(), later.size()), static_cast<ssize_t>(later.size()));
  CHECK_EQUAL(namer.lookup(address, 2 * second).name, ""); /* too soon */
  CHECK_EQUAL(reads(), 0u);
  CHECK_EQUAL(namer.lookup(address, 4 * second).name, "late_function");
  CHECK_EQUAL(reads(), 1u);
  CHECK_EQUAL(namer.lookup(0x1000, 100 * second).name, "");
  CHECK_EQUAL(namer.lookup(0x1000, 200 * second).name, "");
  CHECK_EQUAL(reads(), 2u);
  CHECK_EQUAL(namer.lookup(0x2000, 101 * second).name, ""); /* the pause has grown */
  CHECK_EQUAL(reads(), 2u);
  close(fd);
}
