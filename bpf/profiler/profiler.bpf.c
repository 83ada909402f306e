// SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
/*
 * CPU sampling of every process: a timer event per CPU, the native unwinder of unwind.h, one record
 * per sample.
 *
 *   perf event -> identity of the task -> its run of mappings -> unwind_step() per frame
 *              -> kernel stack -> `samples`, or `raw_stacks` when the tables are not there yet
 *
 * Global (not static) __noinline functions with scalar arguments are verified once each, whatever
 * the number of calls: the loop over MAX_STACK_WORDS costs the verifier eight instructions a turn.
 * Loads on 5.10: no bpf_loop, no task storage, preallocated hashes only.
 */
#include "vmlinux.h"

#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>

#include "unwind_state.h"

/* What the kernel asks for; the choice of Apache-2.0 stands in the first line. */
char LICENSE[] SEC("license") = "GPL";

/* ---- constants ---- */

#define PF_EXITING 0x00000004
#define PF_IO_WORKER 0x00000010 /* io_uring's threads run no user code */
#define PF_KTHREAD 0x00200000
#define THREAD_BYTES 16384 /* x86-64 without KASAN; used only where bpf_task_pt_regs is missing */
#define SYSCALL_EXECVE 59
#define SYSCALL_EXIT 60
#define SYSCALL_EXIT_GROUP 231
#define SYSCALL_EXECVEAT 322
#define PAGE_BYTES 4096
#define MAX_BUCKETS 8192
#define NS_PER_SECOND 1000000000ULL
/* Room for the words of a sample, indexed by a value the verifier knows to be below 2048. */
#define WORD_SLOTS 2048

/* clang drops a mask it can prove, or checks another copy of the value; the verifier (5.10, 6.1,
 * 6.12, 6.18) then knows no bound. This keeps mask and use in one 64-bit register. */
#define UNWIND_CLAMP(value, mask) asm volatile("%0 &= " #mask : "+r"(value))

const volatile struct profiler_settings settings = {.kernel_stacks = 1, .raw_tokens = 20};

/* ---- maps ---- */

struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(max_entries, 32); /* the loader may set another number, at most MAX_SEGMENTS */
  __uint(map_flags, BPF_F_MMAPABLE);
  __type(key, u32);
  __type(value, struct unwind_segment);
} segments SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(max_entries, MAX_PAGES);
  __uint(map_flags, BPF_F_MMAPABLE);
  __type(key, u32);
  __type(value, struct unwind_page);
} pages SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(max_entries, MAX_RULES);
  __uint(map_flags, BPF_F_MMAPABLE);
  __type(key, u32);
  __type(value, struct unwind_rule);
} rules SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(max_entries, MAX_FILES);
  __uint(map_flags, BPF_F_MMAPABLE);
  __type(key, u32);
  __type(value, struct unwind_file);
} files SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(max_entries, MAX_MAPPINGS);
  __uint(map_flags, BPF_F_MMAPABLE);
  __type(key, u32);
  __type(value, struct mapping_entry);
} mappings SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_HASH);
  __uint(max_entries, MAX_PROCESSES);
  __type(key, u32);
  __type(value, struct process_entry);
} processes SEC(".maps");

/* The loader sets the sizes of both rings before load: CPUs x rate. */
struct {
  __uint(type, BPF_MAP_TYPE_RINGBUF);
  __uint(max_entries, 1 << 20);
} samples SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_RINGBUF);
  __uint(max_entries, 1 << 22);
} raw_stacks SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
  __uint(max_entries, COUNTER_COUNT);
  __type(key, u32);
  __type(value, u64);
} counters SEC(".maps");

/* Per CPU: a sample is unwound with interrupts off, so one is enough for one kind of event. */
struct scratch {
  struct unwind_state state;
  u64 word_count;
  u32 result;
  u32 in_kernel;
  u32 is_ending; /* in execve or exit, or already past it */
  u32 reserved;
  struct sample_record sample; /* words follow, as in the ring */
  u64 words[WORD_SLOTS + MAX_KERNEL_FRAMES];
};

/* Next to scratch and not in it: together they come close to the 32 KiB a per-CPU value may have. */
struct raw_scratch {
  u64 header[sizeof(struct raw_record) / 8]; /* a raw_record; its data follows, as in the ring */
  u8 data[MAX_RAW_STACK + MAX_KERNEL_FRAMES * 8 + PAGE_BYTES];
};

struct {
  __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
  __uint(max_entries, 1);
  __type(key, u32);
  __type(value, struct scratch);
} scratch SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
  __uint(max_entries, 1);
  __type(key, u32);
  __type(value, struct raw_scratch);
} raw_scratch SEC(".maps");

struct token_bucket {
  u64 filled_ns;
  u64 tokens;
};

struct {
  __uint(type, BPF_MAP_TYPE_LRU_HASH);
  __uint(max_entries, MAX_BUCKETS);
  __type(key, u32); /* pid */
  __type(value, struct token_bucket);
} buckets SEC(".maps");

static __always_inline void count(u32 counter) {
  u64* value = bpf_map_lookup_elem(&counters, &counter);
  if (value) *value += 1;
}

static __always_inline void count_many(u32 counter, u64 n) {
  u64* value = bpf_map_lookup_elem(&counters, &counter);
  if (value) *value += n;
}

static __always_inline struct scratch* scratch_at(u32 slot) { return bpf_map_lookup_elem(&scratch, &slot); }

/* ---- what unwind.h asks for ---- */

typedef u32 unwind_context; /* slot of scratch */

static __always_inline int unwind_read(unwind_context slot, void* to, u32 bytes, u64 address) {
  (void)slot;
  return bpf_probe_read_user(to, bytes, (void*)address);
}
static __always_inline const struct mapping_entry* unwind_mapping_at(unwind_context slot, u32 index) {
  (void)slot;
  return bpf_map_lookup_elem(&mappings, &index);
}
static __always_inline const struct unwind_file* unwind_file_at(unwind_context slot, u32 index) {
  (void)slot;
  return bpf_map_lookup_elem(&files, &index);
}
static __always_inline const struct unwind_page* unwind_page_at(unwind_context slot, u32 index) {
  (void)slot;
  return bpf_map_lookup_elem(&pages, &index);
}
static __always_inline const struct unwind_segment* unwind_segment_at(unwind_context slot, u32 index) {
  (void)slot;
  return bpf_map_lookup_elem(&segments, &index);
}
static __always_inline const struct unwind_rule* unwind_rule_at(unwind_context slot, u32 index) {
  (void)slot;
  return bpf_map_lookup_elem(&rules, &index);
}
/* x86 does not reorder loads; the volatile keeps the compiler from it. */
static __always_inline u32 unwind_load_state(const u32* state) { return *(const volatile u32*)state; }
static __always_inline int unwind_push(unwind_context slot, u64 header, u64 payload, u32 words) {
  struct scratch* s = scratch_at(slot);
  if (!s) return 1;
  u64 at = s->word_count;
  if (at + words > MAX_STACK_WORDS) return 1;
  UNWIND_CLAMP(at, 2047);
  s->words[at] = header;
  if (words == 2) s->words[at + 1] = payload;
  s->word_count = at + words;
  return 0;
}

int find_mapping(u64 address, u32 slot);
int find_row(u32 row, u32 rows, u32 key);
#define unwind_call_find_mapping(slot, state, address) find_mapping(address, slot)
#define unwind_call_find_row(slot, row, rows, key) find_row(row, rows, key)

#include "unwind.h"

__noinline int find_mapping(u64 address, u32 slot) {
  struct scratch* s = scratch_at(slot);
  if (!s) return RESULT_NO_MAPPING;
  return unwind_find_mapping(slot, &s->state, address);
}

__noinline int find_row(u32 row, u32 rows, u32 key) { return unwind_find_row(0, row, rows, key); }

/* ---- walk one frame ---- */

/* 1: the walk ended and scratch.result says how. */
__noinline int step(u32 slot) {
  struct scratch* s = scratch_at(slot);
  if (!s) return 1;
  int result = unwind_step(slot, &s->state);
  if (result == UNWIND_GOES_ON) return 0;
  s->result = result;
  return 1;
}

/* ---- read state ---- */

static __always_inline void copy_registers(struct unwind_state* state, const struct user_registers* from) {
  u64* to = state->registers;
  to[0] = from->ax;
  to[1] = from->dx;
  to[2] = from->cx;
  to[3] = from->bx;
  to[4] = from->si;
  to[5] = from->di;
  to[6] = from->bp;
  to[7] = from->sp;
  to[8] = from->r8;
  to[9] = from->r9;
  to[10] = from->r10;
  to[11] = from->r11;
  to[12] = from->r12;
  to[13] = from->r13;
  to[14] = from->r14;
  to[15] = from->r15;
  state->pc = from->ip;
}

/* The registers with which the task entered the kernel. */
static __always_inline int read_task_registers(struct scratch* s, struct task_struct* task) {
  struct user_registers registers;
  u64 at;
  if (bpf_core_enum_value_exists(enum bpf_func_id___probe, BPF_FUNC_task_pt_regs___probe))
    at = bpf_task_pt_regs(bpf_get_current_task_btf());
  else
    at = (u64)BPF_CORE_READ(task, stack) + THREAD_BYTES - sizeof(registers);
  if (bpf_probe_read_kernel(&registers, sizeof(registers), (void*)at)) return -1;
  if ((registers.cs & 3) != 3) return -1;
  copy_registers(&s->state, &registers);
  u64 call = registers.orig_ax;
  if (call == SYSCALL_EXECVE || call == SYSCALL_EXECVEAT || call == SYSCALL_EXIT ||
      call == SYSCALL_EXIT_GROUP)
    s->is_ending = 1;
  return 0;
}

/* Whether the entry belongs to the task: types.h, struct process_entry. */
static __always_inline bool entry_matches(const struct process_entry* entry,
                                          const struct sample_record* sample) {
  return sample->start_boottime <= entry->start_boottime && sample->self_exec_id == entry->self_exec_id;
}

/* Fills the sample's header. RESULT of a task without user stack, or UNWIND_GOES_ON. */
static __always_inline int read_task(struct bpf_perf_event_data* ctx, struct scratch* s, u32 pid, u32 tid) {
  struct task_struct* task = (void*)bpf_get_current_task();
  struct sample_record* sample = &s->sample;
  u32 flags = BPF_CORE_READ(task, flags);
  sample->time_ns = bpf_ktime_get_ns();
  sample->start_boottime = BPF_CORE_READ(task, group_leader, start_boottime);
  sample->self_exec_id = BPF_CORE_READ(task, self_exec_id);
  sample->parent_pid = BPF_CORE_READ(task, real_parent, tgid);
  sample->pid = pid;
  sample->tid = tid;
  sample->user_words = 0;
  sample->kernel_frames = 0;
  sample->type = RECORD_SAMPLE;
  sample->cpu = bpf_get_smp_processor_id();
  bpf_get_current_comm(sample->thread_name, sizeof(sample->thread_name));
  s->word_count = 0;
  s->is_ending = (flags & PF_EXITING) != 0;
  unwind_start(&s->state);
  s->in_kernel = (ctx->regs.cs & 3) != 3;
  if (!s->in_kernel) {
    struct user_registers* registers = &ctx->regs;
    copy_registers(&s->state, registers);
    return UNWIND_GOES_ON;
  }
  if (flags & (PF_KTHREAD | PF_IO_WORKER)) return RESULT_KERNEL_THREAD;
  if (read_task_registers(s, task)) return s->is_ending ? RESULT_EXITING : RESULT_NO_REGISTERS;
  return UNWIND_GOES_ON;
}

/* ---- raw stacks ---- */

/* One token, filled at settings.raw_tokens a second and never above one second's worth. */
static __always_inline bool take_token(u32 pid, u64 now_ns) {
  u64 per_second = settings.raw_tokens;
  if (!per_second) return false;
  struct token_bucket* bucket = bpf_map_lookup_elem(&buckets, &pid);
  if (!bucket) {
    struct token_bucket full = {.filled_ns = now_ns, .tokens = per_second - 1};
    bpf_map_update_elem(&buckets, &pid, &full, BPF_ANY);
    return true;
  }
  /* Threads of one process may race here; a token more or less does no harm. */
  u64 elapsed_ns = now_ns - bucket->filled_ns;
  if (elapsed_ns >= NS_PER_SECOND) {
    bucket->filled_ns = now_ns;
    bucket->tokens = per_second;
  }
  if (!bucket->tokens) return false;
  bucket->tokens -= 1;
  return true;
}

/* Reads the stack from rsp page by page: the pages that are there come first and without a hole.
 * Returns the bytes read. */
static __always_inline u64 read_stack(u8* to, u64 sp) {
  u64 first = PAGE_BYTES - (sp & (PAGE_BYTES - 1));
  u64 bytes = first;
  UNWIND_CLAMP(bytes, 8191);
  if (bytes > PAGE_BYTES) bytes = PAGE_BYTES;
  if (bpf_probe_read_user(to, bytes, (void*)sp)) return 0;
  u64 at = first;
  UNWIND_CLAMP(at, 8191);
  if (at > PAGE_BYTES || bpf_probe_read_user(to + at, PAGE_BYTES, (void*)(sp + first))) return first;
  u64 last = PAGE_BYTES - first;
  UNWIND_CLAMP(last, 4095);
  u64 end = first + PAGE_BYTES;
  UNWIND_CLAMP(end, 8191);
  if (!last || bpf_probe_read_user(to + end, last, (void*)(sp + first + PAGE_BYTES)))
    return first + PAGE_BYTES;
  return MAX_RAW_STACK;
}

/* 1: the stack went to `raw_stacks`, so the sample is user space's to unwind. */
static __always_inline int send_raw(struct bpf_perf_event_data* ctx, struct scratch* s) {
  u32 zero = 0;
  struct raw_scratch* raw = bpf_map_lookup_elem(&raw_scratch, &zero);
  if (!raw) return 0;
  struct raw_record* record = (void*)raw->header;
  if (!take_token(s->sample.pid, s->sample.time_ns)) {
    count(COUNTER_RAW_THROTTLED);
    return 0;
  }
  /* The walk may have moved on: take the registers of the leaf again. */
  if (s->in_kernel) {
    if (read_task_registers(s, (void*)bpf_get_current_task())) return 0;
  } else {
    struct user_registers* registers = &ctx->regs;
    copy_registers(&s->state, registers);
  }
  u64 bytes = read_stack(raw->data, s->state.registers[UNWIND_RSP]);
  if (!bytes && s->is_ending) {
    s->result = RESULT_EXITING;
    return 0;
  }
  __builtin_memcpy(&record->sample, &s->sample, sizeof(s->sample));
  record->sample.type = RECORD_RAW;
  record->sample.result = s->result;
  __builtin_memcpy(record->registers, s->state.registers, sizeof(s->state.registers));
  record->pc = s->state.pc;
  bytes &= ~7ULL; /* keeps what follows aligned */
  record->stack_bytes = bytes;
  u64 at = bytes, kernel_bytes = 0;
  if (settings.kernel_stacks && s->in_kernel) {
    UNWIND_CLAMP(at, 16383);
    if (at <= MAX_RAW_STACK) {
      long got = bpf_get_stack(ctx, raw->data + at, MAX_KERNEL_FRAMES * 8, 0);
      if (got > 0) kernel_bytes = got;
    }
  }
  record->kernel_frames = kernel_bytes >> 3;
  record->sample.kernel_frames = kernel_bytes >> 3;
  u64 size = sizeof(struct raw_record) + bytes + kernel_bytes;
  UNWIND_CLAMP(size, 16383);
  if (size > sizeof(*raw)) return 0;
  if (bpf_ringbuf_output(&raw_stacks, raw, size, BPF_RB_NO_WAKEUP)) {
    count(COUNTER_RAW_LOST);
    return 0;
  }
  count(COUNTER_RAW_SENT);
  return 1;
}

/* ---- program ---- */

static __always_inline void send_sample(struct bpf_perf_event_data* ctx, struct scratch* s) {
  u64 words = s->word_count, kernel_bytes = 0;
  if (settings.kernel_stacks && s->in_kernel) {
    u64 at = words;
    UNWIND_CLAMP(at, 2047);
    long got = bpf_get_stack(ctx, s->words + at, MAX_KERNEL_FRAMES * 8, 0);
    if (got > 0) kernel_bytes = got;
  }
  s->sample.user_words = words;
  s->sample.kernel_frames = kernel_bytes >> 3;
  s->sample.result = s->result;
  u64 size = sizeof(struct sample_record) + words * 8 + kernel_bytes;
  UNWIND_CLAMP(size, 16383);
  if (bpf_ringbuf_output(&samples, &s->sample, size, BPF_RB_NO_WAKEUP)) count(COUNTER_SAMPLES_LOST);
}

/* The walk between two reads of the process's entry. */
static __always_inline void walk(struct scratch* s, u32 pid) {
  struct process_entry* entry = bpf_map_lookup_elem(&processes, &pid);
  if (!entry || !entry_matches(entry, &s->sample)) {
    s->result = RESULT_NO_PROCESS;
    return;
  }
  u32 generation = entry->generation;
  s->state.generation = generation;
  s->state.first_mapping = entry->first_mapping;
  s->state.mapping_count = entry->mapping_count;
  s->result = RESULT_TRUNCATED;
  /* A frame takes at least one word, so this many turns fill the words; the leaf side is kept. */
  for (int frame = 0; frame < MAX_STACK_WORDS + 1; frame++)
    if (step(0)) break;
  entry = bpf_map_lookup_elem(&processes, &pid);
  if (!entry || entry->generation != generation || !entry_matches(entry, &s->sample))
    s->result = RESULT_RACED;
}

SEC("perf_event")
int sample_cpu(struct bpf_perf_event_data* ctx) {
  u64 ids = bpf_get_current_pid_tgid();
  u32 pid = ids >> 32;
  if (!pid) return 0;
  struct scratch* s = scratch_at(0);
  if (!s) return 0;
  count(COUNTER_SAMPLES);
  int known = read_task(ctx, s, pid, (u32)ids);
  if (known != UNWIND_GOES_ON)
    s->result = known;
  else
    walk(s, pid);

  if (s->result == RESULT_RACED) count(COUNTER_RACED);
  count_many(COUNTER_FRAMES, s->word_count);
  int is_sent = 0;
  if (s->result == RESULT_NO_PROCESS || s->result == RESULT_NO_MAPPING || s->result == RESULT_TABLE_PENDING)
    is_sent = send_raw(ctx, s);
  else if (s->result == RESULT_READ_FAULT && s->is_ending)
    s->result = RESULT_EXITING;
  u32 result = s->result;
  if (result < RESULT_COUNT) count(COUNTER_RESULT_FIRST + result);
  if (!is_sent) send_sample(ctx, s);
  return 0;
}
