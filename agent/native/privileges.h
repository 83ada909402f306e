/* SPDX-License-Identifier: Apache-2.0 */
#ifndef STROBE_PRIVILEGES_H
#define STROBE_PRIVILEGES_H

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <vector>

namespace strobe {

/* 'CAP_BPF' for 39; 'CAP_57' for numbers without a name here. */
std::string capability_name(int capability);
/* True when the calling thread has it effective. */
bool has_capability(int capability);

struct DropPlan {
  uid_t uid;
  gid_t gid;
  std::vector<int> keep; /* capabilities that survive the exec, as ambient; others are gone for good */
};

/*
 * Gives up everything but plan.keep, for this thread: the process must still be single-threaded.
 *
 * Afterwards: real, effective and saved ids are plan's, no supplementary groups, permitted =
 * effective = inheritable = ambient = bounding = keep, no way back by exec of a set-id or capable
 * file (no_new_privs, locked securebits), no core dumps (they would hold other processes' memory).
 * Without CAP_SETUID (started with file capabilities) the ids stay; without CAP_SETPCAP the bounding
 * set and securebits stay, which no_new_privs makes harmless.
 * False: *reason is DROP_FAILED with the step; the caller must exit.
 */
bool drop_privileges(const DropPlan& plan, std::string* reason);

/*
 * Refuses (EPERM), for this process and what it execs, the system calls that CAP_SYS_PTRACE would
 * turn into control over others: ptrace, process_vm_writev, pidfd_getfd, and mounts, modules, kexec.
 * Reading stays allowed. Needs no_new_privs. exec itself stays possible: the agent starts by one.
 */
bool deny_system_calls(std::string* reason);

}  // namespace strobe

#endif
