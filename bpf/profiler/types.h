/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/*
 * The contract between the BPF programs, the addon (agent/native) and, through
 * generated offsets, TypeScript. Fixed-width fields, explicit padding; every size
 * and offset that user space reads is asserted below. Little endian, 64 bit.
 *
 * A stack travels as 64-bit frame words, leaf first. A header word says the kind,
 * and the kind alone fixes how many payload words follow:
 *
 *   NATIVE  kind:4 | file:24 | (vaddr - lowest PT_LOAD vaddr of the file):36
 *   KERNEL  kind:4 | 0                      , address
 *   JIT     kind:4 | 0                      , pc                  (anonymous executable memory)
 *   INTERP  kind:4 | language:8 | 0         , code pointer , checksum:32 | position:32
 */
#ifndef STROBE_TYPES_H
#define STROBE_TYPES_H

#ifndef __VMLINUX_H__
#include <linux/types.h>
#endif

enum frame_kind {
  FRAME_NATIVE = 1,
  FRAME_KERNEL = 2,
  FRAME_JIT = 3,
  FRAME_INTERP = 4,
};
#define FRAME_KIND_SHIFT 60
#define FRAME_FILE_SHIFT 36
#define FRAME_FILE_MASK 0xffffffULL
#define FRAME_VADDR_MASK 0xfffffffffULL

/* Why a walk ended. COMPLETE_* are the only whole stacks; names are in result_names. */
enum unwind_result {
  RESULT_COMPLETE_STOP = 0, /* reached a rule that ends the stack (_start, clone3) */
  RESULT_COMPLETE_ZERO = 1, /* return address 0 */
  RESULT_KERNEL_THREAD = 2, /* no user stack at all; whole by nature */
  RESULT_TRUNCATED = 3,     /* more than MAX_STACK_WORDS: the leaf side is kept */
  RESULT_NO_PROCESS = 4,    /* the process is not yet in `processes` */
  RESULT_NO_MAPPING = 5,    /* pc in no known executable mapping */
  RESULT_TABLE_PENDING = 6, /* file known, its table still being built */
  RESULT_NO_PAGE = 7,
  RESULT_NO_ROW = 8,
  RESULT_RULE_INVALID = 9, /* code without unwind information */
  RESULT_EXPRESSION = 10,  /* DWARF expression outside the supported forms */
  RESULT_READ_FAULT = 11,  /* stack memory could not be read */
  RESULT_REGISTER = 12,    /* the rule needs a register no longer known */
  RESULT_RACED = 13,       /* tables or image changed during the walk */
  RESULT_EXITING = 14,     /* exit or exec: user memory already gone */
  RESULT_NO_REGISTERS = 15,
  RESULT_NOT_ADVANCING = 16, /* CFA did not grow: corrupt or hostile stack */
  RESULT_COUNT = 17,
};

#define MAX_STACK_WORDS 1024 /* user frame words kept per sample; deeper keeps the leaf side */
#define MAX_KERNEL_FRAMES 127
#define THREAD_NAME_BYTES 16 /* TASK_COMM_LEN */
#define MAX_RAW_STACK 8192   /* bytes of user stack sent for late unwinding */

/* ---- unwind tables: mmap-able arrays, filled by plain (release) stores ---- */

#define ROWS_PER_SEGMENT (1u << 18) /* 1 MiB of 4-byte rows: one array element */
#define MAX_SEGMENTS 64u
#define MAX_PAGES (1u << 18) /* 64 KiB code pages: 16 GiB of code */
#define MAX_RULES (1u << 15)
#define MAX_MAPPINGS (1u << 16)
#define MAX_PROCESSES (1u << 15)
#define MAX_FILES (1u << 16) /* slot = file id & (MAX_FILES - 1); the entry repeats its id */

/* A row: low 16 bits the pc within its 64 KiB page, high 16 bits the rule. Sorted by pc. */
struct unwind_segment {
  __u32 row[ROWS_PER_SEGMENT];
};
/* Rows of one 64 KiB page of code; its first row is carried in from the page before. */
struct unwind_page {
  __u32 first_row;
  __u32 row_count;
};

enum rule_kind {
  RULE_REG = 0,    /* CFA = reg + cfa_offset */
  RULE_DEREF = 1,  /* CFA = *(reg + cfa_offset) + cfa_offset2 (DRAP) */
  RULE_PLT = 2,    /* CFA = rsp + 8 + ((pc & 15) >= cfa_offset2 ? 8 : 0) */
  RULE_STOP = 3,   /* return address undefined: the root */
  RULE_SIGNAL = 4, /* rt_sigframe at rsp */
  RULE_FP = 5,     /* frame pointer chain */
  RULE_INVALID = 6,
  RULE_EXPR = 7,
};
enum register_rule {
  REG_SAME = 0,
  REG_CFA = 1, /* saved at CFA + offset */
  REG_UNDEFINED = 2,
  REG_AT_RBP = 3,   /* saved at rbp + offset */
  REG_REGISTER = 4, /* in the register whose DWARF number is the offset (longjmp) */
};
struct unwind_rule {
  __u8 kind;
  __u8 cfa_reg; /* DWARF register number, 0..15 */
  __u8 rbp_rule;
  __u8 rbx_rule;
  __s16 rbp_offset;
  __s16 rbx_offset;
  __s32 cfa_offset;
  __s16 cfa_offset2;
  __u8 ra_in_reg; /* 1: the return address is in ra_reg, not at CFA - 8 */
  __u8 ra_reg;
};

enum file_state {
  FILE_PENDING = 0,
  FILE_READY = 1,
  FILE_FRAME_POINTERS = 2, /* no usable table: frame pointers only */
};
/* One per file id, published last (state) with a release store. */
struct unwind_file {
  __u32 id;
  __u32 state;
  __u32 first_page;
  __u32 page_count;
  __u64 lowest_vaddr; /* of the lowest PT_LOAD, page aligned down */
};

/* ---- processes ---- */

/* One executable mapping. A process's run is sorted by start and never edited in place:
 * a new run is written, then the `processes` entry is swapped; the old one is reused
 * only after a grace period. vaddr in the file = pc - bias. file 0: anonymous memory. */
struct mapping_entry {
  __u64 start;
  __u64 end;
  __u64 bias;
  __u32 file;
  __u32 generation;
};
/*
 * Value of the `processes` hash, key: pid (tgid) of the initial namespace. An entry belongs to a
 * task only if BOTH hold, read from the task's group leader and the task:
 *
 *   task.start_boottime <= entry.start_boottime   and   task.self_exec_id == entry.self_exec_id
 *
 * entry.start_boottime is an upper bound, the boot time of the fork record or of the scan that
 * made the entry: a later process with the same pid started after it, an earlier one was dead
 * when the entry was written, so the test is exact although /proc gives start times in ticks.
 * self_exec_id is exact: forks copy it, an exec adds one, its base is learnt from the first
 * sample; until then the process has no entry (RESULT_NO_PROCESS, a raw record is sent).
 * The entry and every mapping of its run carry the same generation, never 0; forks share the run.
 * A walk re-reads the entry at its end: another generation or no entry is RESULT_RACED.
 */
struct process_entry {
  __u64 start_boottime; /* upper bound of task->group_leader->start_boottime, ns */
  __u32 self_exec_id;   /* task->self_exec_id (low 32 bits) */
  __u32 generation;
  __u32 first_mapping;
  __u32 mapping_count;
};

/* ---- rings ---- */

enum record_type { RECORD_SAMPLE = 1, RECORD_RAW = 2 };

/* `samples` ring: header, then user_words frame words, then kernel_frames addresses (leaf first each). */
struct sample_record {
  __u64 time_ns;        /* CLOCK_MONOTONIC */
  __u64 start_boottime; /* task->group_leader->start_boottime, ns: exact */
  __u32 pid;
  __u32 tid;
  __u32 self_exec_id;
  __u16 user_words;
  __u16 kernel_frames;
  __u8 type;   /* enum record_type */
  __u8 result; /* enum unwind_result */
  __u16 cpu;
  __u32 parent_pid; /* tgid of the real parent: short-lived helpers fold into it */
  char thread_name[THREAD_NAME_BYTES];
  /* __u64 words[user_words + kernel_frames] follow; no flexible member, so that raw_record can hold one */
};

/* DWARF register order: rax rdx rcx rbx rsi rdi rbp rsp r8..r15, then pc. */
#define UNWIND_REGISTERS 16
/* `raw_stacks` ring: a sample that came before its tables; user space unwinds it with unwind.h. */
struct raw_record {
  struct sample_record sample; /* user_words 0; type RECORD_RAW */
  __u64 registers[UNWIND_REGISTERS];
  __u64 pc;
  __u32 stack_bytes;   /* bytes of stack that follow, starting at rsp */
  __u32 kernel_frames; /* addresses that follow the stack bytes (8-byte aligned) */
  __u8 data[];
};

/* ---- counters: PERCPU_ARRAY of u64, one per enum value ---- */
enum profiler_counter {
  COUNTER_SAMPLES = 0,       /* timer fired on a task that was not idle */
  COUNTER_SAMPLES_LOST = 1,  /* samples ring full or locked */
  COUNTER_RAW_LOST = 2,      /* raw ring full or locked */
  COUNTER_RAW_THROTTLED = 3, /* token bucket of the process was empty */
  COUNTER_RAW_SENT = 4,
  COUNTER_FRAMES = 5,
  COUNTER_RACED = 6,
  COUNTER_RESULT_FIRST = 16, /* + enum unwind_result */
  COUNTER_COUNT = 48,
};

/* Filled once before load; const volatile in the program. */
struct profiler_settings {
  __u32 kernel_stacks; /* 0: user frames only */
  __u32 raw_tokens;    /* raw stacks a process may send per second */
};

#ifndef __cplusplus
#define STROBE_ASSERT(c) _Static_assert(c, #c)
#else
#define STROBE_ASSERT(c) static_assert(c, #c)
#endif
STROBE_ASSERT(sizeof(struct unwind_rule) == 16);
STROBE_ASSERT(sizeof(struct unwind_page) == 8);
STROBE_ASSERT(sizeof(struct unwind_file) == 24);
STROBE_ASSERT(sizeof(struct mapping_entry) == 32);
STROBE_ASSERT(sizeof(struct process_entry) == 24);
STROBE_ASSERT(sizeof(struct sample_record) == 56);
STROBE_ASSERT(sizeof(struct raw_record) == 56 + 17 * 8 + 8);

#endif
