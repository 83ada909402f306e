// SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
// The least that gives user stacks: the kernel's own walk along frame pointers.
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

char LICENSE[] SEC("license") = "GPL";

struct stack {
  __u64 frames[127];
};
struct {
  __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
  __uint(max_entries, 1);
  __type(key, __u32);
  __type(value, struct stack);
} stacks SEC(".maps");

__u64 frames = 0;

SEC("perf_event")
int fp_walk(void* ctx) {
  __u32 zero = 0;
  struct stack* stack = bpf_map_lookup_elem(&stacks, &zero);
  if (!stack) return 0;
  long bytes = bpf_get_stack(ctx, stack->frames, sizeof(stack->frames), BPF_F_USER_STACK);
  if (bytes > 0) __sync_fetch_and_add(&frames, bytes / 8);
  return 0;
}
