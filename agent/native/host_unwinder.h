/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Late unwinding: walks a raw_record with the same unwind.h as the BPF program, once the mappings
 * and tables of its process are known.
 *
 * Limitation: only the bytes of stack in the record can be read (MAX_RAW_STACK from rsp), so a deep
 * stack ends in RESULT_READ_FAULT with its leaf side kept.
 */
#ifndef STROBE_HOST_UNWINDER_H
#define STROBE_HOST_UNWINDER_H

#include <cstddef>
#include <cstdint>
#include <vector>

#include "../../bpf/profiler/types.h"

namespace strobe {

class UnwindTables;

struct LateStack {
  uint8_t result = RESULT_NO_PROCESS; /* enum unwind_result */
  std::vector<uint64_t> words;        /* user frame words, leaf first */
  uint32_t pending_file = 0;          /* with RESULT_TABLE_PENDING: whose table is missing */
};

/*
 * record: record_bytes long as it came from the ring (copied, 8-byte aligned); stack_bytes is checked
 *   against it.
 * mappings: sorted by start, not overlapping, all of one generation (its value does not matter);
 *   those of the process at the time of the sample.
 * RESULT_TABLE_PENDING means a table on the way is not built yet: try again later.
 * Thread-safe.
 */
LateStack unwind_late(const UnwindTables& tables, const raw_record* record, size_t record_bytes,
                      const mapping_entry* mappings, size_t mapping_count);

/* Kernel addresses that follow the stack of a raw record, leaf first; null when it is cut short. */
const uint64_t* raw_kernel_frames(const raw_record* record, size_t record_bytes, uint32_t* count);

}  // namespace strobe

#endif
