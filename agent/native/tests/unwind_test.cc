/* SPDX-License-Identifier: Apache-2.0 */
#include <elf.h>
#include <fcntl.h>
#include <link.h>
#include <sys/mman.h>
#include <ucontext.h>
#include <unistd.h>

#include <cstring>
#include <fstream>
#include <memory>
#include <string>
#include <vector>

#include "../eh_frame.h"
#include "../elf_image.h"
#include "../host_unwinder.h"
#include "../unwind_tables.h"
#include "check.h"
#include "unwind_fixture.h"

using namespace strobe;

namespace {

/* .eh_frame bytes by hand: one CIE "zR" (code 1, data -8, RA 16, sdata4 pcrel; CFA = rsp + 8, RA at
 * CFA - 8), one FDE for [0x1000, 0x1040), a terminator. At vaddr 0x2000. */
std::vector<uint8_t> small_frames() {
  return {0x14, 0,    0,    0,    0,    0, 0, 0, 1,    'z',  'R',  0,    1,    0x78, 16, 1,
          0x1b, 0x0c, 7,    8,    0x90, 1, 0, 0, 0x1c, 0,    0,    0,    0x1c, 0,    0,  0,
          0xe0, 0xef, 0xff, 0xff, 0x40, 0, 0, 0, 0,    0x41, 0x0e, 0x10, 0x86, 0x02, /* +1: push rbp */
          0x43, 0x0d, 0x06,                                                          /* +3: mov rsp, rbp */
          0x60, 0x0c, 0x07, 0x08,                                                    /* +32: leave */
          0,    0,    0,    0,    0,    0, 0};
}

FrameSection section_of_bytes(const std::vector<uint8_t>& bytes, uint64_t vaddr) {
  FrameSection section;
  section.vaddr = vaddr;
  section.size = bytes.size();
  section.read = [&bytes](uint64_t offset, uint64_t length) -> std::optional<std::vector<uint8_t>> {
    if (offset > bytes.size() || length > bytes.size() - offset) return std::nullopt;
    auto from = bytes.begin() + static_cast<ptrdiff_t>(offset);
    return std::vector<uint8_t>(from, from + static_cast<ptrdiff_t>(length));
  };
  return section;
}

FrameRows parse_bytes(const std::vector<uint8_t>& bytes, RuleSet& rules, uint64_t vaddr = 0x2000,
                      uint64_t code_end = 0x2000) {
  FrameRows rows;
  frame_rows_parse(
      section_of_bytes(bytes, vaddr), [&](uint64_t at) { return at >= 0x100 && at < code_end; },
      FrameLimits{}, rules, rows);
  frame_rows_sort_ranges(rows);
  frame_rows_finish(rows);
  return rows;
}

std::string describe(const unwind_rule& rule) {
  auto saved = [](uint8_t kind, int16_t offset) {
    if (kind == REG_SAME) return std::string("u");
    if (kind == REG_CFA) return "c" + std::string(offset < 0 ? "" : "+") + std::to_string(offset);
    if (kind == REG_REGISTER) return "in register " + std::to_string(offset);
    if (kind == REG_AT_RBP) return "[rbp" + std::string(offset < 0 ? "" : "+") + std::to_string(offset) + "]";
    return std::string("undefined");
  };
  static const char* names[16] = {"rax", "rdx", "rcx", "rbx", "rsi", "rdi", "rbp", "rsp",
                                  "r8",  "r9",  "r10", "r11", "r12", "r13", "r14", "r15"};
  switch (rule.kind) {
    case RULE_REG:
      return std::string(names[rule.cfa_reg]) + (rule.cfa_offset < 0 ? "" : "+") +
             std::to_string(rule.cfa_offset) + " rbx=" + saved(rule.rbx_rule, rule.rbx_offset) +
             " rbp=" + saved(rule.rbp_rule, rule.rbp_offset);
    case RULE_DEREF:
      return "deref";
    case RULE_PLT:
      return "plt";
    case RULE_STOP:
      return "stop";
    case RULE_SIGNAL:
      return "signal";
    case RULE_FP:
      return "frame pointer";
    case RULE_EXPR:
      return "expression";
    default:
      return "invalid";
  }
}

std::string describe_rows(const FrameRows& rows, const RuleSet& rules) {
  std::string text;
  char pc[32];
  for (PackedRow row : rows.rows) {
    std::snprintf(pc, sizeof pc, "%llx: ", static_cast<unsigned long long>(packed_row_pc(row)));
    text += pc + describe(rules.rules()[packed_row_rule(row)]) + "\n";
  }
  return text;
}

std::vector<std::string> mapped_libraries() {
  std::vector<std::string> paths;
  std::ifstream maps("/proc/self/maps");
  for (std::string line; std::getline(maps, line);) {
    size_t at = line.find('/');
    if (at == std::string::npos || line.find(".so", at) == std::string::npos) continue;
    if (paths.empty() || paths.back() != line.substr(at)) paths.push_back(line.substr(at));
  }
  return paths;
}

std::string libc_path() {
  std::ifstream maps("/proc/self/maps");
  for (std::string line; std::getline(maps, line);) {
    size_t at = line.find('/');
    if (at != std::string::npos && line.find("/libc.so.6") != std::string::npos) return line.substr(at);
  }
  return "";
}

std::string output_of(const std::string& command) {
  std::string text;
  FILE* pipe = popen(command.c_str(), "r");
  if (pipe == nullptr) return text;
  char block[65536];
  for (size_t n; (n = fread(block, 1, sizeof block, pipe)) > 0;) text.append(block, n);
  pclose(pipe); /* readelf answers 1 for a separate debug file it does not find */
  return text;
}

/* The rule a reader of the tables finds for a vaddr of a file. */
const unwind_rule* rule_in_tables(const UnwindTables& tables, uint32_t id, uint64_t vaddr) {
  const unwind_file* file = tables.file_at(id & (MAX_FILES - 1));
  uint64_t relative = vaddr - file->lowest_vaddr;
  if ((relative >> 16) >= file->page_count) return nullptr;
  const unwind_page* page = tables.page_at(file->first_page + static_cast<uint32_t>(relative >> 16));
  const uint32_t* rows =
      &tables.segment_at(page->first_row / ROWS_PER_SEGMENT)->row[page->first_row % ROWS_PER_SEGMENT];
  const unwind_rule* found = nullptr;
  for (uint32_t i = 0; i < page->row_count && (rows[i] & 0xffff) <= (relative & 0xffff); i++)
    found = tables.rule_at(rows[i] >> 16);
  return found;
}

/* "c-16", "u", "rsp+8" of readelf --debug-dump=frames-interp as describe() writes them. */
struct ReadelfRow {
  uint64_t pc;
  std::string cfa, rbx = "u", rbp = "u", ra = "c-8";
};
struct ReadelfFrames {
  size_t entries = 0;
  std::vector<ReadelfRow> rows;
};
ReadelfFrames readelf_frames(const std::string& path) {
  ReadelfFrames out;
  std::istringstream text(
      output_of("LC_ALL=C readelf --debug-dump=frames-interp '" + path + "' 2>/dev/null"));
  std::vector<std::string> columns;
  bool in_entry = false;
  for (std::string line; std::getline(text, line);) {
    std::istringstream words(line);
    std::vector<std::string> word;
    for (std::string w; words >> w;) word.push_back(w);
    if (line.find(" FDE ") != std::string::npos) {
      out.entries++;
      in_entry = true;
      columns.clear();
    } else if (line.find(" CIE") != std::string::npos) {
      in_entry = false;
    } else if (in_entry && !word.empty() && word[0] == "LOC") {
      columns = word;
    } else if (in_entry && !columns.empty() && word.size() == columns.size()) {
      ReadelfRow row{std::strtoull(word[0].c_str(), nullptr, 16), word[1]};
      for (size_t i = 2; i < word.size(); i++) {
        if (columns[i] == "rbx") row.rbx = word[i];
        if (columns[i] == "rbp") row.rbp = word[i];
        if (columns[i] == "ra") row.ra = word[i];
      }
      out.rows.push_back(row);
    }
  }
  return out;
}

}  // namespace

TEST("the rows of a function with a frame pointer are those its instructions say") {
  RuleSet rules;
  FrameRows rows = parse_bytes(small_frames(), rules);
  CHECK_EQUAL(rows.entries, 1u);
  CHECK_EQUAL(rows.malformed, 0u);
  CHECK_EQUAL(describe_rows(rows, rules), std::string("1000: rsp+8 rbx=u rbp=u\n"
                                                      "1001: rsp+16 rbx=u rbp=c-16\n"
                                                      "1004: rbp+16 rbx=u rbp=c-16\n"
                                                      "1024: rsp+8 rbx=u rbp=c-16\n"));
}

TEST("a stack pointer kept in a register is the CFA, as in longjmp") {
  std::vector<uint8_t> bytes = small_frames();
  /* def_cfa rdi+0; rsp in r8; rbp in r9; rip in rdx; rbx at CFA+0 */
  const uint8_t longjmp[] = {0x41, 0x0c, 5, 0, 0x09, 7, 8, 0x09, 6, 9, 0x09, 16, 1, 0x83, 0};
  std::copy(std::begin(longjmp), std::end(longjmp), bytes.begin() + 41);
  std::fill(bytes.begin() + 41 + sizeof(longjmp), bytes.end() - 4, 0);
  RuleSet rules;
  FrameRows rows = parse_bytes(bytes, rules);
  CHECK_EQUAL(rows.malformed, 0u);
  CHECK_EQUAL(describe_rows(rows, rules), std::string("1000: rsp+8 rbx=u rbp=u\n"
                                                      "1001: r8+0 rbx=undefined rbp=in register 9\n"));
  const unwind_rule& rule = rules.rules()[packed_row_rule(rows.rows.back())];
  CHECK_EQUAL(+rule.ra_in_reg, 1);
  CHECK_EQUAL(+rule.ra_reg, 1);
}

TEST("frames cut at every offset are refused without a read beyond them") {
  std::vector<uint8_t> whole = small_frames();
  for (size_t cut = 0; cut < whole.size(); cut++) {
    /* A vector of its own, so that a sanitizer sees a read past the end. */
    std::vector<uint8_t> bytes(whole.begin(), whole.begin() + static_cast<ptrdiff_t>(cut));
    RuleSet rules;
    FrameRows rows = parse_bytes(bytes, rules);
    CHECK_EQUAL(rows.entries, cut < 56u ? 0u : 1u);
  }
}

TEST("every single changed byte of the frames ends in bounded rows") {
  std::vector<uint8_t> whole = small_frames();
  for (size_t at = 0; at < whole.size(); at++)
    for (int value = 0; value < 256; value++) {
      std::vector<uint8_t> bytes = whole;
      bytes[at] = static_cast<uint8_t>(value);
      RuleSet rules;
      FrameRows rows = parse_bytes(bytes, rules);
      CHECK(rows.rows.size() <= bytes.size());
      for (size_t i = 1; i < rows.rows.size(); i++)
        CHECK(packed_row_pc(rows.rows[i - 1]) < packed_row_pc(rows.rows[i]));
    }
}

TEST("an entry that names no CIE, or itself, is counted and left out") {
  std::vector<uint8_t> bytes = small_frames();
  bytes[28] = 0x04; /* its CIE would be the FDE itself */
  RuleSet rules;
  FrameRows rows = parse_bytes(bytes, rules);
  CHECK_EQUAL(rows.entries, 0u);
  CHECK_EQUAL(rows.malformed, 1u);
}

TEST("what lies between entries: padding, a short gap, a large one") {
  FrameRows rows;
  rows.ranges = {{0x1000, 0x1100}, {0x1110, 0x1200}, {0x1300, 0x1400}, {0x3400, 0x3500}};
  rows.rows = {packed_row(0x1000, 7), packed_row(0x1110, 7), packed_row(0x1300, 7), packed_row(0x3400, 7)};
  frame_rows_fill_gaps(rows, 0x1000, 0x3600, [](const CodeRange&) { return false; });
  frame_rows_finish(rows);
  RuleSet rules;
  std::vector<PackedRow> expected = {packed_row(0x1000, 7), packed_row(0x1200, RuleSet::kInvalid),
                                     packed_row(0x1300, 7), packed_row(0x1400, RuleSet::kFramePointer),
                                     packed_row(0x3400, 7), packed_row(0x3500, RuleSet::kInvalid)};
  CHECK(rows.rows == expected);
}

TEST("more distinct rules than the table has are refused") {
  RuleSet rules;
  unwind_rule rule{};
  uint32_t taken = 0;
  for (int i = 0; i < 40000; i++) {
    rule.cfa_offset = i;
    if (rules.intern(rule)) taken++;
  }
  CHECK_EQUAL(rules.rules().size(), size_t{MAX_RULES});
  CHECK_EQUAL(taken, MAX_RULES - 5);
}

/* Every comparable row of one library against readelf's. Gives how many were compared. */
size_t compare_with_readelf(const std::string& path) {
  ReadelfFrames expected = readelf_frames(path);
  if (expected.rows.empty()) SKIP("readelf is not installed");
  ArrayFixture arrays(8);
  auto image = open_image(path);
  CHECK(image.image != nullptr);
  uint32_t id = arrays.tables->reserve_file();
  CHECK_EQUAL(arrays.tables->state_of(id), static_cast<uint32_t>(FILE_PENDING));
  BuildResult built = arrays.tables->build(id, *image.image);
  CHECK_EQUAL(static_cast<int>(built.reason), 0);
  CHECK_EQUAL(arrays.tables->state_of(id), static_cast<uint32_t>(FILE_READY));
  CHECK_EQUAL(built.entries, expected.entries);
  CHECK_EQUAL(built.malformed_entries, 0u);
  size_t compared = 0, different = 0;
  std::string first;
  for (size_t i = 0; i < expected.rows.size(); i++) {
    const ReadelfRow& row = expected.rows[i];
    /* Several rows at one pc: the last holds. Expressions ("exp") and undefined return addresses have kinds
     * of their own. */
    if (i + 1 < expected.rows.size() && expected.rows[i + 1].pc == row.pc) continue;
    if (row.cfa == "exp" || row.ra != "c-8" || row.rbp.find("exp") != std::string::npos) continue;
    const unwind_rule* rule = rule_in_tables(*arrays.tables, id, row.pc);
    std::string seen = rule != nullptr ? describe(*rule) : "none";
    if (seen == "signal") continue;
    auto tracked = [](const std::string& text) { return text[0] == 'c' || text == "u" ? text : "undefined"; };
    std::string wanted = row.cfa + " rbx=" + tracked(row.rbx) + " rbp=" + tracked(row.rbp);
    compared++;
    if (seen != wanted && different++ == 0) {
      char pc[32];
      std::snprintf(pc, sizeof pc, "%llx ", static_cast<unsigned long long>(row.pc));
      first = pc + seen + ", readelf: " + wanted;
    }
  }
  std::printf("  %s: %zu rows compared, %llu stored, %.1f ms\n", path.substr(path.rfind('/') + 1).c_str(),
              compared, static_cast<unsigned long long>(built.rows),
              static_cast<double>(built.elapsed_ns) / 1e6);
  CHECK_EQUAL(first, std::string());
  CHECK_EQUAL(different, 0u);
  return compared;
}

TEST("libraries of this process: entries and rules are those of readelf") {
  std::vector<std::string> paths = mapped_libraries();
  if (paths.empty()) SKIP("the test is linked statically");
  size_t compared = 0;
  for (const std::string& path : paths) compared += compare_with_readelf(path);
  CHECK(compared > 10000);
}

TEST("a file that does not fit gets frame pointers and its reason") {
  std::string path = libc_path();
  if (path.empty()) SKIP("the test is not linked with a shared libc");
  ArrayFixture arrays(1); /* 262,144 rows, of which libc takes some 23,000 */
  auto image = open_image(path);
  UnwindReason reason = UnwindReason::kNone;
  int files = 0;
  for (; files < 40 && reason == UnwindReason::kNone; files++) {
    uint32_t id = arrays.tables->reserve_file();
    BuildResult built = arrays.tables->build(id, *image.image);
    reason = built.reason;
    if (reason != UnwindReason::kNone)
      CHECK_EQUAL(arrays.tables->state_of(id), static_cast<uint32_t>(FILE_FRAME_POINTERS));
  }
  CHECK(files > 8);
  CHECK_EQUAL(std::string(unwind_reason_name(reason)), std::string("segments_full"));
  CHECK_EQUAL(arrays.tables->usage().refused[static_cast<size_t>(UnwindReason::kSegmentsFull)], 1u);
}

TEST("ids end at MAX_FILES and are refused with a count") {
  ArrayFixture arrays(1);
  for (uint32_t i = 1; i < MAX_FILES; i++) CHECK_EQUAL(arrays.tables->reserve_file(), i);
  CHECK_EQUAL(arrays.tables->reserve_file(), 0u);
  CHECK_EQUAL(arrays.tables->files_refused(), 1u);
}

TEST("a libc cut short or with damaged frames never crashes the build") {
  std::string path = libc_path();
  if (path.empty()) SKIP("the test is not linked with a shared libc");
  std::ifstream file(path, std::ios::binary);
  std::vector<char> whole((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  uint64_t seed = 42;
  int opened = 0;
  for (int turn = 0; turn < 60; turn++) {
    ArrayFixture arrays(1);
    std::vector<char> bytes = whole;
    auto random = [&] { return seed = seed * 6364136223846793005ull + 1442695040888963407ull, seed >> 33; };
    if (turn % 2 == 0) {
      bytes.resize(random() % bytes.size());
    } else {
      /* The frames are in the last read-only segment; damage it densely. */
      for (int i = 0; i < 4000; i++)
        bytes[bytes.size() / 2 + random() % (bytes.size() / 2)] = static_cast<char>(random());
    }
    std::string reason;
    auto image = ElfImage::from_memory(bytes.data(), bytes.size(), &reason);
    if (image == nullptr) continue;
    opened++;
    arrays.tables->build(arrays.tables->reserve_file(), *image);
  }
  CHECK(opened > 10);
}

namespace {

struct Captured {
  std::vector<uint64_t> bytes; /* a raw_record */
};

__attribute__((noinline)) void capture_here(Captured& out) {
  ucontext_t context;
  getcontext(&context);
  const greg_t* g = context.uc_mcontext.gregs;
  uint64_t sp = static_cast<uint64_t>(g[REG_RSP]);
  out.bytes.assign((sizeof(raw_record) + MAX_RAW_STACK) / 8, 0);
  auto* record = reinterpret_cast<raw_record*>(out.bytes.data());
  const int order[16] = {REG_RAX, REG_RDX, REG_RCX, REG_RBX, REG_RSI, REG_RDI, REG_RBP, REG_RSP,
                         REG_R8,  REG_R9,  REG_R10, REG_R11, REG_R12, REG_R13, REG_R14, REG_R15};
  for (int i = 0; i < 16; i++) record->registers[i] = static_cast<uint64_t>(g[order[i]]);
  record->pc = static_cast<uint64_t>(g[REG_RIP]);
  record->stack_bytes = MAX_RAW_STACK;
  /* By a system call: the stack may end before MAX_RAW_STACK. */
  int memory = open("/proc/self/mem", O_RDONLY | O_CLOEXEC);
  ssize_t n = pread(memory, record + 1, MAX_RAW_STACK, static_cast<off_t>(sp));
  close(memory);
  record->stack_bytes = n > 0 ? static_cast<uint32_t>(n) & ~7u : 0;
}

__attribute__((noinline)) void capture_deeper(Captured& out, int depth) {
  if (depth == 0)
    capture_here(out);
  else
    capture_deeper(out, depth - 1);
  asm volatile("" ::: "memory");
}

}  // namespace

TEST("this test's own stack is unwound to its start by the late unwinder") {
  Captured captured;
  capture_deeper(captured, 5);
  auto* record = reinterpret_cast<raw_record*>(captured.bytes.data());
  size_t size = captured.bytes.size() * 8;
  ArrayFixture arrays(8);
  FileBook book(*arrays.tables);
  std::vector<mapping_entry> run = book.mappings_of(getpid(), 9);
  LateStack stack = unwind_late(*arrays.tables, record, size, run.data(), run.size());
  CHECK_EQUAL(+stack.result, static_cast<int>(RESULT_COMPLETE_STOP));
  CHECK(stack.words.size() >= 10);
  for (uint64_t word : stack.words)
    CHECK_EQUAL(word >> FRAME_KIND_SHIFT, static_cast<uint64_t>(FRAME_NATIVE));

  /* Cut to nothing, or lying about its length, it ends early and is not read beyond. */
  uint32_t whole = record->stack_bytes;
  for (uint32_t bytes = 0; bytes < whole; bytes += 8) {
    record->stack_bytes = bytes;
    std::vector<uint64_t> cut(captured.bytes.begin(),
                              captured.bytes.begin() + (sizeof(raw_record) + bytes) / 8);
    LateStack part = unwind_late(*arrays.tables, reinterpret_cast<raw_record*>(cut.data()), cut.size() * 8,
                                 run.data(), run.size());
    CHECK(part.words.size() <= stack.words.size());
  }
  record->stack_bytes = 1u << 30;
  CHECK_EQUAL(+unwind_late(*arrays.tables, record, size, run.data(), run.size()).result,
              static_cast<int>(RESULT_READ_FAULT));
  uint32_t frames = 0;
  CHECK(raw_kernel_frames(record, size, &frames) == nullptr);
}

TEST("the vDSO has a table") {
  std::vector<uint8_t> bytes = vdso_bytes();
  if (bytes.empty()) SKIP("no vDSO");
  ArrayFixture arrays(1);
  std::string reason;
  auto image = ElfImage::from_memory(bytes.data(), bytes.size(), &reason);
  CHECK(image != nullptr);
  BuildResult built = arrays.tables->build(arrays.tables->reserve_file(), *image);
  CHECK_EQUAL(built.state, static_cast<uint32_t>(FILE_READY));
  CHECK(built.entries > 0);
}

TEST("without its section headers the vDSO has the same rows by its program header") {
  std::vector<uint8_t> bytes = vdso_bytes();
  if (bytes.empty()) SKIP("no vDSO");
  ArrayFixture arrays(1);
  std::string reason;
  auto with = ElfImage::from_memory(bytes.data(), bytes.size(), &reason);
  BuildResult expected = arrays.tables->build(arrays.tables->reserve_file(), *with);
  auto* header = reinterpret_cast<Elf64_Ehdr*>(bytes.data());
  header->e_shoff = 0;
  header->e_shnum = 0;
  header->e_shstrndx = 0;
  auto without = ElfImage::from_memory(bytes.data(), bytes.size(), &reason);
  CHECK(without != nullptr);
  BuildResult built = arrays.tables->build(arrays.tables->reserve_file(), *without);
  CHECK_EQUAL(built.entries, expected.entries);
  CHECK_EQUAL(built.malformed_entries, 0u);
}
