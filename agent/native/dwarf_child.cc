/* SPDX-License-Identifier: Apache-2.0 */
/*
 * strobe-dwarf: reads DWARF for the agent, which talks to it on descriptor 3 (dwarf_messages.h).
 *
 *   strobe-dwarf MEMORY_BYTES
 *
 * A file with debug information is somebody else's, and libdw was not written against its author. So this
 * process has no capability, opens nothing (files come as descriptors), may make only the system calls
 * below, holds no more private memory than it is told, and dies rather than work on one question for ever.
 * Whatever becomes of it, the agent only loses lines of source.
 */
#include <errno.h>
#include <linux/audit.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <malloc.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <exception>
#include <list>
#include <new>

#include "dwarf_messages.h"
#include "dwarf_reader.h"

namespace strobe {
namespace {

constexpr int kSocket = 3;
constexpr unsigned kMaxQuestionSeconds = 120;
constexpr size_t kMaxFiles = 64;
constexpr uint32_t kMaxAddresses = 4096;
constexpr int kNice = 5;

struct OpenDwarf {
  uint32_t key;
  OwnedFd fd;
  OwnedFd alternate;
  std::unique_ptr<DwarfReader> reader;
};

bool give_up_privileges() {
  prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
  __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
  __user_cap_data_struct none[2] = {};
  return syscall(SYS_capset, &header, none) == 0 && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0;
}

/* Everything else is refused: a hostile file that takes this process over can compute, and answer. */
[[maybe_unused]] bool allow_few_system_calls() {
  static const int allowed[] = {
      SYS_read,    SYS_pread64,    SYS_recvmsg,       SYS_sendmsg,      SYS_ppoll,
      SYS_close,   SYS_mmap,       SYS_munmap,        SYS_mremap,       SYS_mprotect,
      SYS_madvise, SYS_brk,        SYS_fstat,         SYS_newfstatat,   SYS_lseek,
      SYS_fcntl,   SYS_futex,      SYS_setitimer,     SYS_sysinfo,      SYS_getrandom,
      SYS_exit,    SYS_exit_group, SYS_clock_gettime, SYS_rt_sigreturn, SYS_restart_syscall,
#if defined(__x86_64__)
      SYS_alarm,   SYS_poll,
#endif
  };
  std::vector<sock_filter> filter;
  auto load = [&](size_t offset) {
    filter.push_back(BPF_STMT(BPF_LD | BPF_W | BPF_ABS, static_cast<uint32_t>(offset)));
  };
#if defined(__x86_64__)
  constexpr uint32_t kArchitecture = AUDIT_ARCH_X86_64;
#else
  constexpr uint32_t kArchitecture = AUDIT_ARCH_AARCH64;
#endif
  load(offsetof(seccomp_data, arch));
  filter.push_back(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, kArchitecture, 1, 0));
  filter.push_back(BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS));
  load(offsetof(seccomp_data, nr));
  for (const int number : allowed) {
    filter.push_back(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, static_cast<uint32_t>(number), 0, 1));
    filter.push_back(BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW));
  }
  filter.push_back(BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EACCES));
  sock_fprog program = {static_cast<unsigned short>(filter.size()), filter.data()};
  return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program, 0, 0) == 0;
}

[[maybe_unused]] void limit(__rlimit_resource resource, rlim_t value) {
  const rlimit limits = {value, value};
  setrlimit(resource, &limits);
}

[[noreturn]] void out_of_memory() { _exit(kDwarfExitMemory); }

class Service {
 public:
  explicit Service(size_t memory_bytes) : memory_bytes_(memory_bytes) {}

  std::vector<uint8_t> answer(const std::vector<uint8_t>& request, std::vector<OwnedFd> fds) {
    ByteReader reader(request);
    const uint8_t op = reader.u8();
    const uint32_t key = reader.u32();
    ByteWriter writer;
    if (op == kDwarfOpen) {
      open(key, std::move(fds), &writer);
    } else if (op == kDwarfLookup) {
      lookup(key, &reader, &writer);
    }
    return writer.bytes();
  }

 private:
  void open(uint32_t key, std::vector<OwnedFd> fds, ByteWriter* writer) {
    files_.remove_if([&](const OpenDwarf& one) { return one.key == key; });
    OpenDwarf file{key, fds.empty() ? OwnedFd() : std::move(fds[0]),
                   fds.size() > 1 ? std::move(fds[1]) : OwnedFd(), nullptr};
    std::string reason;
    file.reader = DwarfReader::open(file.fd.get(), file.alternate.get(), &reason);
    writer->u8(file.reader ? kDwarfOk : kDwarfNone);
    writer->text(reason);
    if (file.reader) files_.push_front(std::move(file));
    shed();
  }

  void lookup(uint32_t key, ByteReader* reader, ByteWriter* writer) {
    auto found = files_.begin();
    while (found != files_.end() && found->key != key) ++found;
    const uint32_t count = reader->u32();
    if (found == files_.end() || count > kMaxAddresses) {
      writer->u8(kDwarfClosed);
      return;
    }
    files_.splice(files_.begin(), files_, found);
    writer->u8(kDwarfOk);
    for (uint32_t i = 0; i < count; i++) writer->lines(found->reader->lookup(reader->u64()));
    shed();
  }

  /* libdw keeps all it ever read of a file: lets go of files, those asked for longest ago first. */
  void shed() {
    while (!files_.empty() && (files_.size() > kMaxFiles || mallinfo2().uordblks > memory_bytes_ / 2)) {
      files_.pop_back();
      malloc_trim(0);
    }
  }

  const size_t memory_bytes_;
  std::list<OpenDwarf> files_; /* the most recently used first */
};

int serve(size_t memory_bytes) {
  Service service(memory_bytes);
  for (;;) {
    std::vector<uint8_t> request;
    std::vector<OwnedFd> fds;
    if (receive_message(kSocket, kMaxDwarfRequestBytes, 0, &request, &fds) != Received::kMessage) return 0;
    alarm(kMaxQuestionSeconds);
    const std::vector<uint8_t> answer = service.answer(request, std::move(fds));
    alarm(0);
    if (answer.size() > kMaxDwarfAnswerBytes || !send_message(kSocket, answer, {})) return 1;
  }
}

}  // namespace
}  // namespace strobe

int main(int argc, char** argv) {
  using namespace strobe;
  const size_t memory_bytes = argc > 1 ? strtoull(argv[1], nullptr, 10) : 0;
  if (memory_bytes == 0) {
    fprintf(stderr,
            "usage: strobe-dwarf MEMORY_BYTES (started by the agent, with a socket on descriptor 3)\n");
    return 2;
  }
  /* The agent's descriptors are closed on exec; one that was forgotten ends here. */
  syscall(SYS_close_range, kSocket + 1, ~0U, 0);
  std::set_new_handler(out_of_memory);
  if (FILE* score = fopen("/proc/self/oom_score_adj", "we")) {
    fputs("1000", score);
    fclose(score);
  }
  setpriority(PRIO_PROCESS, 0, kNice);
  limit(RLIMIT_CORE, 0);
  if (!give_up_privileges()) return 1;
#if !defined(__SANITIZE_ADDRESS__)
  /* Private writable memory, brk included. Pages of the files are the page cache's and not counted. */
  limit(RLIMIT_DATA, memory_bytes);
  if (!allow_few_system_calls()) return 1;
#endif
  try {
    return serve(memory_bytes);
  } catch (const std::bad_alloc&) {
    return kDwarfExitMemory;
  }
}
