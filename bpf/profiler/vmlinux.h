/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/*
 * The kernel's types that the programs use, and no others. Fields are found by CO-RE at load, so
 * only names and types count here, neither order nor offsets.
 */
#ifndef __VMLINUX_H__
#define __VMLINUX_H__

typedef unsigned char __u8;
typedef signed char __s8;
typedef unsigned short __u16;
typedef short __s16;
typedef unsigned int __u32;
typedef int __s32;
typedef unsigned long long __u64;
typedef long long __s64;
typedef __u8 u8;
typedef __u16 u16;
typedef __u32 u32;
typedef __s32 s32;
typedef __u64 u64;
typedef __s64 s64;
typedef __u16 __be16;
typedef __u32 __be32;
typedef __u32 __wsum;
typedef _Bool bool;

enum { false = 0, true = 1 };

enum bpf_map_type {
  BPF_MAP_TYPE_HASH = 1,
  BPF_MAP_TYPE_ARRAY = 2,
  BPF_MAP_TYPE_PERCPU_ARRAY = 6,
  BPF_MAP_TYPE_LRU_HASH = 9,
  BPF_MAP_TYPE_RINGBUF = 27,
};

enum {
  BPF_ANY = 0,
  BPF_NOEXIST = 1,
  BPF_F_MMAPABLE = 1 << 10,
  BPF_RB_NO_WAKEUP = 1,
};

/* The number of the helper, present in the kernel's BTF since 5.15. */
enum bpf_func_id___probe {
  BPF_FUNC_task_pt_regs___probe = 175,
};

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

struct mm_struct;

struct task_struct {
  void* stack;
  unsigned int flags;
  int tgid;
  u64 start_boottime;
  u64 self_exec_id; /* u32 before 5.7 */
  struct mm_struct* mm;
  struct task_struct* real_parent;
  struct task_struct* group_leader;
};

#pragma clang attribute pop

/* x86-64's struct pt_regs: its layout is ABI. Without CO-RE: `cs` became 16 bits wide in 6.9, and
 * the verifier refuses 2-byte reads of the context (seen on 6.18). */
struct user_registers {
  u64 r15, r14, r13, r12, bp, bx, r11, r10, r9, r8, ax, cx, dx, si, di;
  u64 orig_ax, ip, cs, flags, sp, ss;
};

struct bpf_perf_event_data {
  struct user_registers regs;
  u64 sample_period;
  u64 addr;
};

#endif
