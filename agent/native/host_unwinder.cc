/* SPDX-License-Identifier: Apache-2.0 */
#include "host_unwinder.h"

#include <cstring>

#include "../../bpf/profiler/unwind_state.h"
#include "unwind_tables.h"

namespace strobe {
namespace {

struct LateWalk {
  const UnwindTables& tables;
  const mapping_entry* mappings;
  size_t mapping_count;
  const uint8_t* stack;
  uint64_t stack_start;
  uint64_t stack_bytes;
  std::vector<uint64_t>& words;
};

/* What unwind.h asks for. */
using unwind_context = LateWalk*;
#define UNWIND_CLAMP(value, mask) ((value) &= (mask))

int unwind_read(unwind_context walk, void* to, uint32_t bytes, uint64_t address) {
  uint64_t offset = address - walk->stack_start;
  if (address < walk->stack_start || offset > walk->stack_bytes || bytes > walk->stack_bytes - offset)
    return 1;
  std::memcpy(to, walk->stack + offset, bytes);
  return 0;
}
const mapping_entry* unwind_mapping_at(unwind_context walk, uint32_t index) {
  return index < walk->mapping_count ? &walk->mappings[index] : nullptr;
}
const unwind_file* unwind_file_at(unwind_context walk, uint32_t slot) { return walk->tables.file_at(slot); }
const unwind_page* unwind_page_at(unwind_context walk, uint32_t page) { return walk->tables.page_at(page); }
const unwind_segment* unwind_segment_at(unwind_context walk, uint32_t segment) {
  return walk->tables.segment_at(segment);
}
const unwind_rule* unwind_rule_at(unwind_context walk, uint32_t rule) { return walk->tables.rule_at(rule); }
uint32_t unwind_load_state(const uint32_t* state) { return __atomic_load_n(state, __ATOMIC_ACQUIRE); }
int unwind_push(unwind_context walk, uint64_t header, uint64_t payload, uint32_t words) {
  if (walk->words.size() + words > MAX_STACK_WORDS) return 1;
  walk->words.push_back(header);
  if (words == 2) walk->words.push_back(payload);
  return 0;
}
#define unwind_call_find_mapping(walk, state, address) unwind_find_mapping(walk, state, address)
#define unwind_call_find_row(walk, row, count, key) unwind_find_row(walk, row, count, key)

#include "../../bpf/profiler/unwind.h"

}  // namespace

LateStack unwind_late(const UnwindTables& tables, const raw_record* record, size_t record_bytes,
                      const mapping_entry* mappings, size_t mapping_count) {
  LateStack out;
  if (record_bytes < sizeof(raw_record) || record->stack_bytes > record_bytes - sizeof(raw_record)) {
    out.result = RESULT_READ_FAULT;
    return out;
  }
  if (mapping_count == 0 || mapping_count > MAX_MAPPINGS) {
    out.result = RESULT_NO_MAPPING;
    return out;
  }
  LateWalk walk{tables,
                mappings,
                mapping_count,
                reinterpret_cast<const uint8_t*>(record + 1),
                record->registers[UNWIND_RSP],
                record->stack_bytes,
                out.words};
  unwind_state state{};
  unwind_start(&state);
  std::memcpy(state.registers, record->registers, sizeof(state.registers));
  state.pc = record->pc;
  state.mapping_count = static_cast<uint32_t>(mapping_count);
  state.generation = mappings[0].generation;
  int result = UNWIND_GOES_ON;
  /* A frame takes a word at least, so the words are full before the turns end. */
  for (int frame = 0; frame <= MAX_STACK_WORDS && result == UNWIND_GOES_ON; frame++)
    result = unwind_step(&walk, &state);
  out.result = static_cast<uint8_t>(result == UNWIND_GOES_ON ? RESULT_TRUNCATED : result);
  if (result == RESULT_TABLE_PENDING) out.pending_file = state.file;
  return out;
}

const uint64_t* raw_kernel_frames(const raw_record* record, size_t record_bytes, uint32_t* count) {
  *count = 0;
  if (record_bytes < sizeof(raw_record)) return nullptr;
  uint64_t room = record_bytes - sizeof(raw_record);
  uint64_t need = uint64_t{record->stack_bytes} + uint64_t{record->kernel_frames} * sizeof(uint64_t);
  if (record->kernel_frames > MAX_KERNEL_FRAMES || record->stack_bytes % 8 != 0 || need > room)
    return nullptr;
  *count = record->kernel_frames;
  return reinterpret_cast<const uint64_t*>(reinterpret_cast<const uint8_t*>(record + 1) +
                                           record->stack_bytes);
}

}  // namespace strobe
