/* SPDX-License-Identifier: Apache-2.0 */
#include "privileges.h"

#include <grp.h>
#include <linux/audit.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <linux/securebits.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstring>

namespace strobe {

namespace {

constexpr int kLastCapability = 63;

struct CapabilitySets {
  uint64_t effective = 0;
  uint64_t permitted = 0;
  uint64_t inheritable = 0;
};

uint64_t bit(int capability) { return 1ULL << capability; }

bool get_sets(CapabilitySets* sets) {
  __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
  __user_cap_data_struct data[2] = {};
  if (syscall(SYS_capget, &header, data) != 0) return false;
  sets->effective = data[0].effective | static_cast<uint64_t>(data[1].effective) << 32;
  sets->permitted = data[0].permitted | static_cast<uint64_t>(data[1].permitted) << 32;
  sets->inheritable = data[0].inheritable | static_cast<uint64_t>(data[1].inheritable) << 32;
  return true;
}

bool set_sets(const CapabilitySets& sets) {
  __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
  __user_cap_data_struct data[2] = {};
  for (int word = 0; word < 2; word++) {
    data[word].effective = static_cast<uint32_t>(sets.effective >> (32 * word));
    data[word].permitted = static_cast<uint32_t>(sets.permitted >> (32 * word));
    data[word].inheritable = static_cast<uint32_t>(sets.inheritable >> (32 * word));
  }
  return syscall(SYS_capset, &header, data) == 0;
}

}  // namespace

std::string capability_name(int capability) {
  switch (capability) {
    case CAP_DAC_READ_SEARCH:
      return "CAP_DAC_READ_SEARCH";
    case CAP_SETUID:
      return "CAP_SETUID";
    case CAP_SYS_PTRACE:
      return "CAP_SYS_PTRACE";
    case CAP_SYS_ADMIN:
      return "CAP_SYS_ADMIN";
    case CAP_SYS_NICE:
      return "CAP_SYS_NICE";
    case CAP_SYSLOG:
      return "CAP_SYSLOG";
    case CAP_PERFMON:
      return "CAP_PERFMON";
    case CAP_BPF:
      return "CAP_BPF";
    case CAP_CHECKPOINT_RESTORE:
      return "CAP_CHECKPOINT_RESTORE";
    default:
      return "CAP_" + std::to_string(capability);
  }
}

bool has_capability(int capability) {
  CapabilitySets sets;
  return get_sets(&sets) && (sets.effective & bit(capability)) != 0;
}

bool drop_privileges(const DropPlan& plan, std::string* reason) {
  auto failed = [&](const std::string& step) {
    *reason = "DROP_FAILED: " + step + ": " + strerror(errno);
    return false;
  };
  const rlimit no_core = {0, 0};
  if (setrlimit(RLIMIT_CORE, &no_core) != 0) return failed("RLIMIT_CORE 0");

  uint64_t keep = 0;
  for (const int capability : plan.keep) keep |= bit(capability);
  CapabilitySets sets;
  if (!get_sets(&sets)) return failed("capget");
  const bool may_set_ids = (sets.effective & bit(CAP_SETUID)) != 0 && (sets.effective & bit(CAP_SETGID)) != 0;
  const bool may_set_bounds = (sets.effective & bit(CAP_SETPCAP)) != 0;

  if (may_set_ids) {
    /* Otherwise leaving uid 0 would clear the permitted set. */
    if (prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) != 0) return failed("PR_SET_KEEPCAPS");
    if (setgroups(0, nullptr) != 0) return failed("setgroups");
    if (setresgid(plan.gid, plan.gid, plan.gid) != 0) return failed("setresgid " + std::to_string(plan.gid));
    if (setresuid(plan.uid, plan.uid, plan.uid) != 0) return failed("setresuid " + std::to_string(plan.uid));
  }

  const uint64_t until_bounded = keep | (may_set_bounds ? bit(CAP_SETPCAP) : 0);
  if (!set_sets({until_bounded, until_bounded, keep})) return failed("capset");
  if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) != 0)
    return failed("PR_CAP_AMBIENT_CLEAR_ALL");
  for (const int capability : plan.keep) {
    if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, capability, 0, 0) != 0) {
      return failed("PR_CAP_AMBIENT_RAISE " + capability_name(capability));
    }
  }
  if (may_set_bounds) {
    for (int capability = 0; capability <= kLastCapability; capability++) {
      if ((keep & bit(capability)) != 0) continue;
      /* EINVAL: past the last one this kernel has. */
      if (prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) != 0 && errno != EINVAL) {
        return failed("PR_CAPBSET_DROP " + capability_name(capability));
      }
    }
    const unsigned long bits = SECBIT_NOROOT | SECBIT_NOROOT_LOCKED | SECBIT_NO_SETUID_FIXUP |
                               SECBIT_NO_SETUID_FIXUP_LOCKED | SECBIT_KEEP_CAPS_LOCKED |
                               SECBIT_NO_CAP_AMBIENT_RAISE | SECBIT_NO_CAP_AMBIENT_RAISE_LOCKED;
    if (prctl(PR_SET_SECUREBITS, bits, 0, 0, 0) != 0) return failed("PR_SET_SECUREBITS");
  }
  if (!set_sets({keep, keep, keep})) return failed("capset");
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return failed("PR_SET_NO_NEW_PRIVS");

  CapabilitySets now;
  if (!get_sets(&now) || now.permitted != keep || now.effective != keep)
    return failed("capget after the drop");
  if (may_set_ids && (geteuid() != plan.uid || getuid() != plan.uid)) return failed("uid after the drop");
  return true;
}

bool deny_system_calls(std::string* reason) {
  static const int denied[] = {
      SYS_ptrace,       SYS_process_vm_writev,
      SYS_mount,        SYS_umount2,
      SYS_pivot_root,   SYS_chroot,
      SYS_move_mount,   SYS_open_tree,
      SYS_fsopen,       SYS_fsmount,
      SYS_fsconfig,     SYS_init_module,
      SYS_finit_module, SYS_delete_module,
      SYS_kexec_load,   SYS_pidfd_getfd,
      SYS_setns,        SYS_swapon,
      SYS_swapoff,      SYS_reboot,
  };
#if defined(__x86_64__)
  constexpr uint32_t kArchitecture = AUDIT_ARCH_X86_64;
#else
  constexpr uint32_t kArchitecture = AUDIT_ARCH_AARCH64;
#endif
  const uint32_t refuse = SECCOMP_RET_ERRNO | EPERM;
  std::vector<sock_filter> filter;
  auto load = [&](size_t offset) {
    filter.push_back(BPF_STMT(BPF_LD | BPF_W | BPF_ABS, static_cast<uint32_t>(offset)));
  };
  /* Another architecture's calls (32-bit) have other numbers: none is allowed. */
  load(offsetof(seccomp_data, arch));
  filter.push_back(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, kArchitecture, 1, 0));
  filter.push_back(BPF_STMT(BPF_RET | BPF_K, refuse));
  load(offsetof(seccomp_data, nr));
#if defined(__x86_64__)
  constexpr uint32_t kX32Bit = 0x40000000;
  filter.push_back(BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, kX32Bit, 0, 1));
  filter.push_back(BPF_STMT(BPF_RET | BPF_K, refuse));
#endif
  for (const int number : denied) {
    filter.push_back(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, static_cast<uint32_t>(number), 0, 1));
    filter.push_back(BPF_STMT(BPF_RET | BPF_K, refuse));
  }
  filter.push_back(BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW));
  sock_fprog program = {static_cast<unsigned short>(filter.size()), filter.data()};
  /* SPEC_ALLOW: without it older kernels turn on speculation barriers for every thread. */
  if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_SPEC_ALLOW, &program) != 0) {
    *reason = std::string("SECCOMP_FAILED: ") + strerror(errno);
    return false;
  }
  return true;
}

}  // namespace strobe
