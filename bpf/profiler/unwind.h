/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/*
 * One step of the native unwinder, for the BPF program and for the host.
 *
 *   pc -> mapping of the process -> file -> 64 KiB page of code -> row -> rule
 *   rule + registers + stack     -> registers of the caller
 *
 * x86-64 System V; rules are those of types.h. A walk ends at a STOP rule, at a return address of
 * 0 (clone3's child, makecontext), at a frame-pointer chain's zero rbp, or with the reason why not.
 *
 * The includer defines before it includes:
 *   unwind_context                      passed on to everything below: a scratch slot in BPF, a pointer on
 * the host UNWIND_CLAMP(value, mask)           value &= mask in a way the verifier keeps; nothing on the host
 *   unwind_read(context, to, bytes, address)     0 when all bytes were read
 *   unwind_mapping_at(context, index), unwind_file_at(context, slot), unwind_page_at(context, page),
 *   unwind_segment_at(context, segment), unwind_rule_at(context, rule)     null when out of range
 *   unwind_load_state(pointer)          the state of a file, with acquire order where that is possible
 *   unwind_push(context, header, payload, words)   appends a frame of 1 or 2 words; nonzero when it has no
 * room unwind_call_find_mapping(context, state, address) and unwind_call_find_row(context, row, count, key)
 * call the two searches below: through global functions in BPF, which the verifier checks once and not once
 * per call
 *
 * Limitations: r12..r15 are not tracked, so after the first frame a rule that needs them ends the
 * walk (RESULT_REGISTER); munmap is not reported to us, so a stale mapping can answer.
 */
#ifndef STROBE_UNWIND_H
#define STROBE_UNWIND_H

#include "unwind_state.h"

static __inline __attribute__((always_inline)) void unwind_start(struct unwind_state* state) {
  state->valid = UNWIND_ALL_VALID;
  state->is_leaf = 1;
  state->start = 0;
  state->end = 0;
}

/* Finds the mapping of an address and its file. UNWIND_GOES_ON or a result. */
static __inline __attribute__((always_inline)) int unwind_find_mapping(unwind_context context,
                                                                       struct unwind_state* state,
                                                                       __u64 address) {
  __u32 base = state->first_mapping, low = base, high = base + state->mapping_count;
  for (int turn = 0; turn < UNWIND_SEARCH_TURNS; turn++) {
    if (low >= high) break;
    __u32 middle = low + ((high - low) >> 1);
    const struct mapping_entry* entry = unwind_mapping_at(context, middle);
    if (!entry) return RESULT_NO_MAPPING;
    if (entry->start <= address)
      low = middle + 1;
    else
      high = middle;
  }
  if (low == base) return RESULT_NO_MAPPING;
  const struct mapping_entry* found = unwind_mapping_at(context, low - 1);
  if (!found) return RESULT_NO_MAPPING;
  /* The run was given to another process while we walk. */
  if (found->generation != state->generation) return RESULT_RACED;
  if (address < found->start || address >= found->end) return RESULT_NO_MAPPING;
  state->start = found->start;
  state->end = found->end;
  state->bias = found->bias;
  state->file = found->file;
  state->file_state = FILE_FRAME_POINTERS;
  state->lowest_vaddr = 0;
  state->first_page = 0;
  state->page_count = 0;
  if (found->file) {
    const struct unwind_file* file = unwind_file_at(context, found->file & (MAX_FILES - 1));
    if (!file) return RESULT_NO_PAGE;
    state->file_state = unwind_load_state(&file->state);
    if (file->id != found->file) return RESULT_NO_PAGE;
    state->lowest_vaddr = file->lowest_vaddr;
    state->first_page = file->first_page;
    state->page_count = file->page_count;
  }
  return UNWIND_GOES_ON;
}

/* The rule of the last row of [row, row + count) whose key is <= key; -1 when there is none. */
static __inline __attribute__((always_inline)) int unwind_find_row(unwind_context context, __u32 row,
                                                                   __u32 count, __u32 key) {
  const struct unwind_segment* segment = unwind_segment_at(context, row / ROWS_PER_SEGMENT);
  if (!segment) return -1;
  __u32 base = row & (ROWS_PER_SEGMENT - 1), low = base, high = base + count;
  if (high > ROWS_PER_SEGMENT) return -1;
  for (int turn = 0; turn < UNWIND_SEARCH_TURNS; turn++) {
    if (low >= high) break;
    __u64 middle = (low + high) >> 1;
    UNWIND_CLAMP(middle, 0x3ffff);
    if ((segment->row[middle] & 0xffff) <= key)
      low = middle + 1;
    else
      high = middle;
  }
  if (low == base) return -1;
  __u64 last = low - 1;
  UNWIND_CLAMP(last, 0x3ffff);
  return segment->row[last] >> 16;
}

/* A register saved as `rule` says. UNWIND_GOES_ON or a result; clears its bit in *valid when it is lost. */
static __inline __attribute__((always_inline)) int unwind_restore(unwind_context context,
                                                                  struct unwind_state* state, __u32 rule,
                                                                  __s32 offset, __u64 cfa, int has_block,
                                                                  __u32 bit, __u32* valid, __u64* value) {
  if (rule == REG_CFA) {
    if (has_block && offset >= -UNWIND_BLOCK_BYTES && offset <= -8) {
      __u64 word = (__u32)(offset + UNWIND_BLOCK_BYTES) >> 3;
      UNWIND_CLAMP(word, 7);
      *value = state->block[word];
      return UNWIND_GOES_ON;
    }
    if (unwind_read(context, value, 8, cfa + (__s64)offset)) return RESULT_READ_FAULT;
  } else if (rule == REG_AT_RBP) {
    if (unwind_read(context, value, 8, state->registers[UNWIND_RBP] + (__s64)offset))
      return RESULT_READ_FAULT;
  } else if (rule == REG_REGISTER) {
    __u64 reg = (__u32)offset;
    UNWIND_CLAMP(reg, 15);
    if (!((state->valid >> reg) & 1)) return RESULT_REGISTER;
    *value = state->registers[reg];
  } else if (rule == REG_UNDEFINED) {
    *valid &= ~bit;
  }
  return UNWIND_GOES_ON;
}

static __inline __attribute__((always_inline)) int unwind_frame_pointer(unwind_context context,
                                                                        struct unwind_state* state) {
  __u64 pair[2], rbp = state->registers[UNWIND_RBP];
  if (!(state->valid & (1u << UNWIND_RBP))) return RESULT_REGISTER;
  /* The x86-64 ABI marks the deepest frame by a zero rbp; Go's goroutines and V8's entries follow it. */
  if (!rbp) return RESULT_COMPLETE_ZERO;
  if (rbp < state->registers[UNWIND_RSP]) return RESULT_NOT_ADVANCING;
  if (unwind_read(context, pair, 16, rbp)) return RESULT_READ_FAULT;
  state->registers[UNWIND_RSP] = rbp + 16;
  state->registers[UNWIND_RBP] = pair[0];
  state->pc = pair[1];
  state->is_leaf = 0;
  state->valid = (1u << UNWIND_RBP) | (1u << UNWIND_RSP);
  return UNWIND_GOES_ON;
}

/* The kernel's rt_sigframe: rsp points to its ucontext, general registers 40 bytes into it:
 * r8..r15 rdi rsi rbp rbx rdx rax rcx rsp rip (uapi/asm/sigcontext.h). */
static __inline __attribute__((always_inline)) int unwind_signal(unwind_context context,
                                                                 struct unwind_state* state) {
  __u64 saved[17], *to = state->registers;
  if (unwind_read(context, saved, sizeof(saved), state->registers[UNWIND_RSP] + 40)) return RESULT_READ_FAULT;
  to[8] = saved[0];
  to[9] = saved[1];
  to[10] = saved[2];
  to[11] = saved[3];
  to[12] = saved[4];
  to[13] = saved[5];
  to[14] = saved[6];
  to[15] = saved[7];
  to[5] = saved[8];
  to[4] = saved[9];
  to[6] = saved[10];
  to[3] = saved[11];
  to[1] = saved[12];
  to[0] = saved[13];
  to[2] = saved[14];
  to[7] = saved[15];
  state->pc = saved[16];
  state->valid = UNWIND_ALL_VALID;
  state->is_leaf = 1;
  return UNWIND_GOES_ON;
}

/*
 * Emits the frame of state->pc and moves the state to its caller.
 *
 * A caller's frame is emitted and looked up at its return address minus 1: the call, not what
 * follows it, which may belong to another function or line.
 * Returns UNWIND_GOES_ON or the result that ends the walk.
 */
static __inline __attribute__((always_inline)) int unwind_step(unwind_context context,
                                                               struct unwind_state* state) {
  __u64 pc = state->pc;
  if (!pc) return RESULT_COMPLETE_ZERO;
  __u64 address = state->is_leaf ? pc : pc - 1;
  if (address < state->start || address >= state->end) {
    int found = unwind_call_find_mapping(context, state, address);
    if (found != UNWIND_GOES_ON) return found;
  }
  if (!state->file) {
    if (unwind_push(context, (__u64)FRAME_JIT << FRAME_KIND_SHIFT, address, 2)) return RESULT_TRUNCATED;
    return unwind_frame_pointer(context, state);
  }
  if (state->file_state == FILE_PENDING) return RESULT_TABLE_PENDING;
  __u64 relative = (address - state->bias - state->lowest_vaddr) & FRAME_VADDR_MASK;
  __u64 word = ((__u64)FRAME_NATIVE << FRAME_KIND_SHIFT) |
               (((__u64)state->file & FRAME_FILE_MASK) << FRAME_FILE_SHIFT) | relative;
  if (unwind_push(context, word, 0, 1)) return RESULT_TRUNCATED;
  if (state->file_state != FILE_READY) return unwind_frame_pointer(context, state);

  __u64 page_index = relative >> 16;
  if (page_index >= state->page_count) return RESULT_NO_PAGE;
  const struct unwind_page* page = unwind_page_at(context, state->first_page + (__u32)page_index);
  if (!page || !page->row_count) return RESULT_NO_PAGE;
  int rule_index = unwind_call_find_row(context, page->first_row, page->row_count, relative & 0xffff);
  if (rule_index < 0) return RESULT_NO_ROW;
  const struct unwind_rule* rule = unwind_rule_at(context, rule_index);
  if (!rule) return RESULT_NO_ROW;

  __u32 kind = rule->kind;
  if (kind == RULE_STOP) return RESULT_COMPLETE_STOP;
  if (kind == RULE_FP) return unwind_frame_pointer(context, state);
  if (kind == RULE_SIGNAL) return unwind_signal(context, state);
  if (kind == RULE_EXPR) return RESULT_EXPRESSION;
  if (kind > RULE_PLT) return RESULT_RULE_INVALID;

  __u64 sp = state->registers[UNWIND_RSP], cfa;
  if (kind == RULE_PLT) {
    cfa = sp + 8 + ((relative & 15) >= (__u16)rule->cfa_offset2 ? 8 : 0);
  } else {
    __u64 reg = rule->cfa_reg;
    UNWIND_CLAMP(reg, 15);
    if (!((state->valid >> reg) & 1)) return RESULT_REGISTER;
    cfa = state->registers[reg] + (__s64)rule->cfa_offset;
    if (kind == RULE_DEREF) {
      __u64 pointed;
      if (unwind_read(context, &pointed, 8, cfa)) return RESULT_READ_FAULT;
      cfa = pointed + (__s64)rule->cfa_offset2;
    }
  }
  /* Only a leaf that keeps its return address in a register (vfork) has the CFA of its caller. */
  if (cfa < sp || (cfa == sp && !state->is_leaf)) return RESULT_NOT_ADVANCING;

  __u64 return_address;
  int has_block = !unwind_read(context, state->block, UNWIND_BLOCK_BYTES, cfa - UNWIND_BLOCK_BYTES);
  if (rule->ra_in_reg) {
    __u64 reg = rule->ra_reg;
    UNWIND_CLAMP(reg, 15);
    if (!((state->valid >> reg) & 1)) return RESULT_REGISTER;
    return_address = state->registers[reg];
  } else if (has_block) {
    return_address = state->block[UNWIND_BLOCK_BYTES / 8 - 1];
  } else if (unwind_read(context, &return_address, 8, cfa - 8)) {
    return RESULT_READ_FAULT;
  }
  __u32 valid = UNWIND_CALL_VALID;
  __u64 rbp = state->registers[UNWIND_RBP], rbx = state->registers[UNWIND_RBX];
  int restored = unwind_restore(context, state, rule->rbp_rule, rule->rbp_offset, cfa, has_block,
                                1u << UNWIND_RBP, &valid, &rbp);
  if (restored != UNWIND_GOES_ON) return restored;
  restored = unwind_restore(context, state, rule->rbx_rule, rule->rbx_offset, cfa, has_block,
                            1u << UNWIND_RBX, &valid, &rbx);
  if (restored != UNWIND_GOES_ON) return restored;
  /* REG_SAME keeps what was valid; a restored register is valid again. */
  __u32 kept = state->valid;
  if (rule->rbp_rule != REG_SAME) kept |= 1u << UNWIND_RBP;
  if (rule->rbx_rule != REG_SAME) kept |= 1u << UNWIND_RBX;
  state->valid = (kept & valid) | (1u << UNWIND_RSP);
  state->registers[UNWIND_RBP] = rbp;
  state->registers[UNWIND_RBX] = rbx;
  state->registers[UNWIND_RSP] = cfa;
  state->pc = return_address;
  state->is_leaf = 0;
  return UNWIND_GOES_ON;
}

#endif
