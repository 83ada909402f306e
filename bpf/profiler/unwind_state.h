/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/* What a walk keeps between two steps of unwind.h; apart from it so that the includer can hold one. */
#ifndef STROBE_UNWIND_STATE_H
#define STROBE_UNWIND_STATE_H

#include "types.h"

/* DWARF numbers of x86-64. */
#define UNWIND_RBX 3
#define UNWIND_RBP 6
#define UNWIND_RSP 7
#define UNWIND_ALL_VALID 0xffffu
/* What survives a call and is tracked. */
#define UNWIND_CALL_VALID ((1u << UNWIND_RBX) | (1u << UNWIND_RBP) | (1u << UNWIND_RSP))
/* One read of these bytes under the CFA brings return address, rbp and rbx in practice; three
 * reads instead cost twice the time of a frame. */
#define UNWIND_BLOCK_BYTES 56
#define UNWIND_BLOCK_WORDS 8
/* A binary search over 2^16 entries, one more turn to end it. */
#define UNWIND_SEARCH_TURNS 17
#define UNWIND_GOES_ON (-1)

struct unwind_state {
  __u64 registers[UNWIND_REGISTERS];
  __u64 pc;
  __u32 valid;   /* bit per register */
  __u32 is_leaf; /* pc is exact, not a return address */
  /* the run of the process */
  __u32 first_mapping;
  __u32 mapping_count;
  __u32 generation;
  __u32 reserved;
  /* the mapping and the file used last */
  __u64 start;
  __u64 end;
  __u64 bias;
  __u64 lowest_vaddr;
  __u32 file;
  __u32 file_state;
  __u32 first_page;
  __u32 page_count;
  __u64 block[UNWIND_BLOCK_WORDS];
};

#endif
