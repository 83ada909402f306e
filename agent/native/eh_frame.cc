/* SPDX-License-Identifier: Apache-2.0 */
#include "eh_frame.h"

#include <algorithm>
#include <array>
#include <climits>
#include <cstring>
#include <unordered_map>

namespace strobe {
namespace {

constexpr size_t kRuleSlots = size_t{MAX_RULES} * 2;
/* gcc nests remember_state at most twice; libgcc's own stack is a list without bound. */
constexpr size_t kStateDepth = 16;
/* Linkers merge equal CIEs; the largest libraries keep some hundred. Cleared when full. */
constexpr size_t kCachedCies = 4096;
constexpr uint64_t kMaxCieBytes = 1 << 16;
/* In all for one file: entries that each name another CIE would make a small section quadratic. */
constexpr uint64_t kCieBudgetBytes = uint64_t{64} << 20;
constexpr uint64_t kCieWindowBytes = 4096;
constexpr uint64_t kPaddingBytes = 32;
constexpr uint64_t kFramePointerGapBytes = 4096;

constexpr uint64_t kRbx = 3, kRbp = 6, kRsp = 7;

/* Encodings of pointers: LSB, "DWARF Exception Header Encoding". */
constexpr uint8_t kEncodingFormat = 0x0f, kEncodingApplication = 0x70, kEncodingPcRelative = 0x10;
constexpr uint8_t kEncodingIndirect = 0x80, kEncodingOmit = 0xff;

/* Reads forward; after a failure it stays failed and gives zeros. */
class Cursor {
 public:
  Cursor(const uint8_t* from, const uint8_t* end) : at_(from), end_(end) {}
  bool failed() const { return failed_; }
  bool at_end() const { return at_ >= end_; }
  size_t left() const { return static_cast<size_t>(end_ - at_); }
  const uint8_t* at() const { return at_; }
  void fail() {
    failed_ = true;
    at_ = end_;
  }
  void skip(uint64_t bytes) {
    if (bytes > left())
      fail();
    else
      at_ += bytes;
  }
  template <typename T>
  T fixed() {
    T value{};
    if (left() < sizeof(T)) {
      fail();
      return value;
    }
    std::memcpy(&value, at_, sizeof(T));
    at_ += sizeof(T);
    return value;
  }
  uint64_t uleb() {
    uint64_t value = 0;
    for (unsigned shift = 0; !at_end(); shift += 7) {
      uint8_t byte = *at_++;
      if (shift < 64) value |= static_cast<uint64_t>(byte & 0x7f) << shift;
      if (!(byte & 0x80)) return value;
    }
    fail();
    return 0;
  }
  int64_t sleb() {
    uint64_t value = 0;
    for (unsigned shift = 0; !at_end();) {
      uint8_t byte = *at_++;
      if (shift < 64) value |= static_cast<uint64_t>(byte & 0x7f) << shift;
      shift += 7;
      if (!(byte & 0x80)) {
        if (shift < 64 && (byte & 0x40)) value |= ~uint64_t{0} << shift;
        return static_cast<int64_t>(value);
      }
    }
    fail();
    return 0;
  }
  /* here: vaddr of the pointer's own first byte. */
  uint64_t pointer(uint8_t encoding, uint64_t here) {
    uint64_t value = 0;
    switch (encoding & kEncodingFormat) {
      case 0x00:
      case 0x04:
      case 0x0c:
        value = fixed<uint64_t>();
        break;
      case 0x01:
        value = uleb();
        break;
      case 0x02:
        value = fixed<uint16_t>();
        break;
      case 0x03:
        value = fixed<uint32_t>();
        break;
      case 0x09:
        value = static_cast<uint64_t>(sleb());
        break;
      case 0x0a:
        value = static_cast<uint64_t>(static_cast<int64_t>(fixed<int16_t>()));
        break;
      case 0x0b:
        value = static_cast<uint64_t>(static_cast<int64_t>(fixed<int32_t>()));
        break;
      default:
        fail();
        return 0;
    }
    uint8_t application = encoding & kEncodingApplication;
    if (application == kEncodingPcRelative) return value + here;
    if (application != 0) fail();
    return value;
  }

 private:
  const uint8_t* at_;
  const uint8_t* end_;
  bool failed_ = false;
};

/* Where a register of the caller is. */
struct Location {
  enum Kind : uint8_t { kSame, kCfa, kUndefined, kRbp, kRegister, kOther };
  Kind kind = kSame;
  int64_t value = 0; /* offset, or the register */
};

struct Cfa {
  enum Kind : uint8_t { kRegister, kDeref, kPlt, kOther };
  Kind kind = kOther;
  uint64_t reg = 0;
  int64_t offset = 0;
  int64_t offset2 = 0;
};

struct RowState {
  Cfa cfa;
  Location rbp, rbx, rsp, ra;
};

struct Cie {
  uint64_t code_align = 1;
  int64_t data_align = 1;
  uint64_t ra_register = 16;
  uint8_t encoding = 0;
  bool has_augmentation = false;
  bool is_signal = false;
  bool usable = false;
  RowState initial;
};

/* The forms compilers and linkers write: a saved slot pointed to by a register (stack realignment),
 * the same plus a constant (openssl's assembler), and the linker's PLT. Others are kOther. */
Cfa cfa_of_expression(const uint8_t* bytes, size_t length) {
  Cfa cfa;
  Cursor in(bytes, bytes + length);
  uint8_t op = in.fixed<uint8_t>();
  if (op < 0x70 || op > 0x7f) return cfa; /* DW_OP_breg0..15 */
  uint64_t reg = op - 0x70u;
  int64_t offset = in.sleb();
  if (in.failed()) return cfa;
  const uint8_t* rest = in.at();
  size_t left = in.left();
  constexpr uint8_t kDeref = 0x06, kPlusUconst = 0x23;
  if (left == 1 && rest[0] == kDeref) {
    cfa = {Cfa::kDeref, reg, offset, 0};
  } else if (left >= 3 && rest[0] == kDeref && rest[1] == kPlusUconst) {
    Cursor constant(rest + 2, rest + left);
    uint64_t plus = constant.uleb();
    if (!constant.failed() && constant.at_end() && plus <= SHRT_MAX)
      cfa = {Cfa::kDeref, reg, offset, static_cast<int64_t>(plus)};
  } else if (reg == kRsp && offset == 8 && left == 9 && rest[0] == 0x80 && rest[1] == 0 && rest[2] == 0x3f &&
             rest[3] == 0x1a && rest[4] >= 0x30 && rest[4] <= 0x3f && rest[5] == 0x2a) {
    /* rsp + 8 + ((rip & 15) >= N) << 3: breg16 lit15 and litN ge lit3 shl plus */
    cfa = {Cfa::kPlt, kRsp, 0, rest[4] - 0x30};
  }
  return cfa;
}

Location location_of_expression(const uint8_t* bytes, size_t length) {
  Cursor in(bytes, bytes + length);
  if (in.fixed<uint8_t>() != 0x70 + kRbp) return {Location::kOther, 0};
  int64_t offset = in.sleb();
  if (in.failed() || !in.at_end()) return {Location::kOther, 0};
  return {Location::kRbp, offset};
}

void store_location(const Location& from, uint8_t* rule, int16_t* offset) {
  bool fits = from.value >= SHRT_MIN && from.value <= SHRT_MAX;
  *offset = 0;
  if (from.kind == Location::kSame) {
    *rule = REG_SAME;
  } else if ((from.kind == Location::kCfa || from.kind == Location::kRbp) && fits) {
    *rule = from.kind == Location::kCfa ? REG_CFA : REG_AT_RBP;
    *offset = static_cast<int16_t>(from.value);
  } else if (from.kind == Location::kRegister && from.value >= 0 && from.value <= 15) {
    *rule = REG_REGISTER;
    *offset = static_cast<int16_t>(from.value);
  } else {
    *rule = REG_UNDEFINED;
  }
}

/* glibc's longjmp gives the caller's rsp in a register of its own and the CFA to the jump buffer: that
 * register is the CFA then, and what was saved by the buffer's address is out of reach. */
void take_stack_pointer_as_cfa(RowState& state) {
  if (state.rsp.kind != Location::kRegister || state.ra.kind != Location::kRegister) return;
  state.cfa = {Cfa::kRegister, static_cast<uint64_t>(state.rsp.value), 0, 0};
  for (Location* saved : {&state.rbp, &state.rbx})
    if (saved->kind == Location::kCfa) *saved = {Location::kUndefined, 0};
}

std::optional<uint32_t> intern_state(RowState state, const Cie& cie, RuleSet& rules) {
  take_stack_pointer_as_cfa(state);
  if (cie.is_signal) return RuleSet::kSignal;
  if (state.ra.kind == Location::kUndefined) return RuleSet::kStop;
  if (state.cfa.kind == Cfa::kOther) return RuleSet::kExpression;
  if (state.cfa.reg > 15 || state.cfa.offset < INT_MIN || state.cfa.offset > INT_MAX)
    return RuleSet::kExpression;
  unwind_rule rule{};
  rule.kind = state.cfa.kind == Cfa::kRegister ? RULE_REG
              : state.cfa.kind == Cfa::kDeref  ? RULE_DEREF
                                               : RULE_PLT;
  rule.cfa_reg = static_cast<uint8_t>(state.cfa.reg);
  rule.cfa_offset = static_cast<int32_t>(state.cfa.offset);
  rule.cfa_offset2 = static_cast<int16_t>(state.cfa.offset2);
  if (state.ra.kind == Location::kRegister && state.ra.value >= 0 && state.ra.value <= 15) {
    rule.ra_in_reg = 1;
    rule.ra_reg = static_cast<uint8_t>(state.ra.value);
  } else if (state.ra.kind != Location::kCfa || state.ra.value != -8) {
    return RuleSet::kExpression;
  }
  store_location(state.rbp, &rule.rbp_rule, &rule.rbp_offset);
  store_location(state.rbx, &rule.rbx_rule, &rule.rbx_offset);
  return rules.intern(rule);
}

/* The bytes of a section through one window that moves forward. */
class Window {
 public:
  Window(const FrameSection& section, uint64_t bytes) : section_(section), window_bytes_(bytes) {}
  /* Valid until the next call. Null when the bytes cannot be had. */
  const uint8_t* at(uint64_t offset, uint64_t length) {
    if (length > kFrameWindowBytes || offset > section_.size || length > section_.size - offset)
      return nullptr;
    if (offset < start_ || offset - start_ > bytes_.size() || bytes_.size() - (offset - start_) < length) {
      auto read = section_.read(offset, std::min(std::max(window_bytes_, length), section_.size - offset));
      if (!read || read->size() < length) {
        bytes_.clear();
        return nullptr;
      }
      bytes_ = std::move(*read);
      start_ = offset;
    }
    return bytes_.data() + (offset - start_);
  }

 private:
  const FrameSection& section_;
  uint64_t window_bytes_;
  uint64_t start_ = 0;
  std::vector<uint8_t> bytes_;
};

struct EntryHeader {
  uint64_t body; /* offset of the id field */
  uint64_t next; /* offset of the entry after it */
  uint8_t id_bytes;
};

class Parser {
 public:
  Parser(const FrameSection& section, const std::function<bool(uint64_t)>& is_code, const FrameLimits& limits,
         RuleSet& rules, FrameRows& out)
      : section_(section),
        is_code_(is_code),
        limits_(limits),
        rules_(rules),
        out_(out),
        window_(section, kFrameWindowBytes),
        cie_window_(section, kCieWindowBytes) {}

  FrameOutcome run() {
    uint64_t offset = 0;
    bool read_any = false;
    while (outcome_ == FrameOutcome::kParsed && offset < section_.size) {
      EntryHeader header{};
      Length length = read_header(window_, offset, &header);
      if (length == Length::kZero) {
        /* crtend's terminator; objects linked after it may follow. */
        if (section_.ends_at_zero) break;
        offset += 4;
        read_any = true;
        continue;
      }
      if (length == Length::kBad) {
        if (section_.size - offset >= 4) out_.malformed++;
        break;
      }
      read_any = true;
      const uint8_t* bytes = window_.at(header.body, header.next - header.body);
      if (bytes == nullptr)
        out_.malformed++; /* longer than the window */
      else
        parse_entry(header, bytes);
      offset = header.next;
    }
    if (outcome_ == FrameOutcome::kParsed && !read_any) return FrameOutcome::kUnreadable;
    return outcome_;
  }

 private:
  enum class Length { kEntry, kZero, kBad };

  Length read_header(Window& window, uint64_t offset, EntryHeader* header) {
    const uint8_t* bytes = window.at(offset, 4);
    if (bytes == nullptr) return Length::kBad;
    uint32_t short_length;
    std::memcpy(&short_length, bytes, 4);
    uint64_t length = short_length;
    header->body = offset + 4;
    header->id_bytes = 4;
    if (short_length == 0) return Length::kZero;
    if (short_length == 0xffffffff) {
      bytes = window.at(offset, 12);
      if (bytes == nullptr) return Length::kBad;
      std::memcpy(&length, bytes + 4, 8);
      header->body = offset + 12;
      /* In .eh_frame the id stays 4 bytes wide whatever the length. */
      if (section_.is_debug_frame) header->id_bytes = 8;
    }
    if (length < header->id_bytes || length > section_.size - header->body) return Length::kBad;
    header->next = header->body + length;
    return Length::kEntry;
  }

  bool is_cie(uint64_t id, uint8_t id_bytes) const {
    if (!section_.is_debug_frame) return id == 0;
    return id == (id_bytes == 8 ? ~uint64_t{0} : 0xffffffffu);
  }

  void parse_entry(const EntryHeader& header, const uint8_t* bytes) {
    const uint8_t* end = bytes + (header.next - header.body);
    Cursor in(bytes, end);
    uint64_t id = header.id_bytes == 8 ? in.fixed<uint64_t>() : in.fixed<uint32_t>();
    if (is_cie(id, header.id_bytes)) return; /* read when an FDE names it */
    uint64_t cie_offset = section_.is_debug_frame ? id : header.body - id;
    if (!section_.is_debug_frame && id > header.body) {
      out_.malformed++;
      return;
    }
    const Cie* cie = cie_at(cie_offset);
    if (cie == nullptr || !cie->usable) {
      out_.malformed++;
      return;
    }
    uint64_t here = section_.vaddr + header.body + static_cast<uint64_t>(in.at() - bytes);
    uint64_t start = in.pointer(cie->encoding, here);
    uint64_t length = in.pointer(cie->encoding & kEncodingFormat, 0);
    if (cie->has_augmentation) in.skip(in.uleb());
    if (in.failed()) {
      out_.malformed++;
      return;
    }
    uint64_t end_vaddr = start + length;
    if (start == 0 || length == 0) return; /* of a section the linker dropped */
    if (end_vaddr < start || start < out_.lowest_vaddr || end_vaddr - out_.lowest_vaddr > FRAME_VADDR_MASK ||
        !is_code_(start) || !is_code_(end_vaddr - 1)) {
      out_.malformed++;
      return;
    }
    if (out_.ranges.size() >= limits_.max_ranges) {
      outcome_ = FrameOutcome::kTooLarge;
      return;
    }
    out_.entries++;
    out_.ranges.push_back({start, end_vaddr});
    RowState state = cie->initial;
    uint64_t pc = start;
    if (!execute(in, *cie, state, &cie->initial, &pc, end_vaddr)) {
      out_.malformed++;
      push(pc, RuleSet::kInvalid);
    } else if (pc < end_vaddr) {
      push_state(pc, state, *cie);
    }
  }

  const Cie* cie_at(uint64_t offset) {
    if (last_cie_ != nullptr && last_cie_offset_ == offset) return last_cie_;
    auto found = cies_.find(offset);
    if (found == cies_.end()) {
      if (cies_.size() >= kCachedCies) cies_.clear();
      Cie cie;
      cie.usable = parse_cie(offset, cie);
      found = cies_.emplace(offset, cie).first;
    }
    last_cie_ = &found->second;
    last_cie_offset_ = offset;
    return last_cie_;
  }

  bool parse_cie(uint64_t offset, Cie& cie) {
    EntryHeader header{};
    if (offset >= section_.size || read_header(cie_window_, offset, &header) != Length::kEntry) return false;
    uint64_t size = header.next - header.body;
    cie_bytes_ += size;
    if (size > kMaxCieBytes || cie_bytes_ > kCieBudgetBytes) return false;
    const uint8_t* bytes = cie_window_.at(header.body, size);
    if (bytes == nullptr) return false;
    Cursor in(bytes, bytes + size);
    uint64_t id = header.id_bytes == 8 ? in.fixed<uint64_t>() : in.fixed<uint32_t>();
    if (!is_cie(id, header.id_bytes)) return false;
    uint8_t version = in.fixed<uint8_t>();
    if (version != 1 && version != 3 && version != 4) return false;
    const uint8_t* augmentation = in.at();
    size_t letters = 0;
    while (!in.at_end() && in.fixed<uint8_t>() != 0) letters++;
    if (version == 4 && (in.fixed<uint8_t>() != 8 || in.fixed<uint8_t>() != 0)) return false;
    cie.code_align = in.uleb();
    cie.data_align = in.sleb();
    cie.ra_register = version == 1 ? in.fixed<uint8_t>() : in.uleb();
    if (in.failed()) return false;
    if (letters > 0) {
      if (augmentation[0] != 'z') return false;
      cie.has_augmentation = true;
      uint64_t length = in.uleb();
      if (in.failed() || length > in.left()) return false;
      const uint8_t* instructions = in.at() + length;
      Cursor data(in.at(), instructions);
      for (size_t i = 1; i < letters; i++) {
        switch (augmentation[i]) {
          case 'R':
            cie.encoding = data.fixed<uint8_t>();
            break;
          case 'L':
            data.skip(1);
            break;
          case 'P': {
            uint8_t encoding = data.fixed<uint8_t>();
            /* Only its width counts. */
            if (encoding != kEncodingOmit) data.pointer(encoding & kEncodingFormat, 0);
            break;
          }
          case 'S':
            cie.is_signal = true;
            break;
          case 'B':
            break;
          default:
            return false;
        }
      }
      if (data.failed() || cie.encoding == kEncodingOmit || (cie.encoding & kEncodingIndirect)) return false;
      in.skip(length);
    }
    uint64_t pc = 0;
    return execute(in, cie, cie.initial, nullptr, &pc, 0);
  }

  static Location* location_of(RowState& state, uint64_t reg, const Cie& cie) {
    if (reg == kRbp) return &state.rbp;
    if (reg == kRbx) return &state.rbx;
    if (reg == kRsp) return &state.rsp;
    if (reg == cie.ra_register) return &state.ra;
    return nullptr;
  }

  /* initial null: the instructions of a CIE, which make no rows. False: malformed, *pc says from where. */
  bool execute(Cursor& in, const Cie& cie, RowState& state, const RowState* initial, uint64_t* pc,
               uint64_t end) {
    std::array<RowState, kStateDepth> saved;
    size_t depth = 0;
    auto set = [&](uint64_t reg, Location location) {
      if (Location* to = location_of(state, reg, cie)) *to = location;
    };
    auto restore = [&](uint64_t reg) {
      if (initial == nullptr) return;
      RowState first = *initial;
      if (Location* to = location_of(state, reg, cie)) *to = *location_of(first, reg, cie);
    };
    /* Products wrap as hostile factors may; the result is only compared and stored. */
    auto factored = [&](uint64_t value) {
      return static_cast<int64_t>(value * static_cast<uint64_t>(cie.data_align));
    };
    auto advance_to = [&](uint64_t to) {
      if (initial == nullptr || to < *pc || to > end) return false;
      if (to != *pc) push_state(*pc, state, cie);
      *pc = to;
      return outcome_ == FrameOutcome::kParsed;
    };
    auto advance = [&](uint64_t delta) { return delta <= end && advance_to(*pc + delta * cie.code_align); };

    while (!in.at_end()) {
      uint8_t op = in.fixed<uint8_t>();
      uint8_t low = op & 0x3f;
      switch (op & 0xc0) {
        case 0x40:
          if (!advance(low)) return false;
          continue;
        case 0x80:
          set(low, {Location::kCfa, factored(in.uleb())});
          continue;
        case 0xc0:
          restore(low);
          continue;
        default:
          break;
      }
      uint64_t reg;
      switch (op) {
        case 0x00:
          break;
        case 0x01: { /* set_loc */
          uint64_t to = in.pointer(cie.encoding & kEncodingApplication ? kEncodingOmit : cie.encoding, 0);
          if (in.failed() || !advance_to(to)) return false;
          break;
        }
        case 0x02:
          if (!advance(in.fixed<uint8_t>())) return false;
          break;
        case 0x03:
          if (!advance(in.fixed<uint16_t>())) return false;
          break;
        case 0x04:
          if (!advance(in.fixed<uint32_t>())) return false;
          break;
        case 0x05: /* offset_extended */
          reg = in.uleb();
          set(reg, {Location::kCfa, factored(in.uleb())});
          break;
        case 0x06:
          restore(in.uleb());
          break;
        case 0x07:
          set(in.uleb(), {Location::kUndefined, 0});
          break;
        case 0x08:
          set(in.uleb(), {Location::kSame, 0});
          break;
        case 0x09: /* register */
          reg = in.uleb();
          set(reg, {Location::kRegister, static_cast<int64_t>(in.uleb())});
          break;
        case 0x0a:
          if (depth == kStateDepth) return false;
          saved[depth++] = state;
          break;
        case 0x0b:
          if (depth == 0) return false;
          state = saved[--depth];
          break;
        case 0x0c: /* def_cfa */
          reg = in.uleb();
          state.cfa = {Cfa::kRegister, reg, static_cast<int64_t>(in.uleb()), 0};
          break;
        case 0x0d:
          state.cfa = {Cfa::kRegister, in.uleb(), state.cfa.offset, 0};
          break;
        case 0x0e:
          state.cfa.offset = static_cast<int64_t>(in.uleb());
          break;
        case 0x0f: { /* def_cfa_expression */
          uint64_t length = in.uleb();
          const uint8_t* bytes = in.at();
          in.skip(length);
          if (!in.failed()) state.cfa = cfa_of_expression(bytes, length);
          break;
        }
        case 0x10:   /* expression: the slot's address */
        case 0x16: { /* val_expression: the value */
          reg = in.uleb();
          uint64_t length = in.uleb();
          const uint8_t* bytes = in.at();
          in.skip(length);
          if (!in.failed())
            set(reg, op == 0x10 ? location_of_expression(bytes, length) : Location{Location::kOther, 0});
          break;
        }
        case 0x11: /* offset_extended_sf */
          reg = in.uleb();
          set(reg, {Location::kCfa, factored(static_cast<uint64_t>(in.sleb()))});
          break;
        case 0x12: /* def_cfa_sf */
          reg = in.uleb();
          state.cfa = {Cfa::kRegister, reg, factored(static_cast<uint64_t>(in.sleb())), 0};
          break;
        case 0x13:
          state.cfa.offset = factored(static_cast<uint64_t>(in.sleb()));
          break;
        case 0x14: /* val_offset */
        case 0x15: /* val_offset_sf */
          reg = in.uleb();
          in.uleb();
          set(reg, {Location::kOther, 0});
          break;
        case 0x2e:
          in.uleb();
          break;   /* GNU_args_size */
        case 0x2f: /* GNU_negative_offset_extended */
          reg = in.uleb();
          set(reg, {Location::kCfa, -factored(in.uleb())});
          break;
        default:
          return false;
      }
      if (in.failed()) return false;
    }
    return !in.failed();
  }

  void push_state(uint64_t pc, const RowState& state, const Cie& cie) {
    auto rule = intern_state(state, cie, rules_);
    if (rule)
      push(pc, *rule);
    else
      outcome_ = FrameOutcome::kRulesFull;
  }

  void push(uint64_t pc, uint32_t rule) {
    if (out_.rows.size() >= limits_.max_rows)
      outcome_ = FrameOutcome::kTooLarge;
    else
      out_.rows.push_back(packed_row(pc - out_.lowest_vaddr, rule));
  }

  const FrameSection& section_;
  const std::function<bool(uint64_t)>& is_code_;
  const FrameLimits& limits_;
  RuleSet& rules_;
  FrameRows& out_;
  Window window_;
  Window cie_window_;
  std::unordered_map<uint64_t, Cie> cies_;
  const Cie* last_cie_ = nullptr;
  uint64_t last_cie_offset_ = 0;
  uint64_t cie_bytes_ = 0;
  FrameOutcome outcome_ = FrameOutcome::kParsed;
};

size_t rule_hash(const unwind_rule& rule) {
  uint64_t words[2];
  std::memcpy(words, &rule, sizeof(words));
  uint64_t hash = words[0] * 0x9e3779b97f4a7c15ull ^ words[1] * 0xc2b2ae3d27d4eb4full;
  return static_cast<size_t>(hash ^ hash >> 31);
}

}  // namespace

RuleSet::RuleSet() : slots_(kRuleSlots, 0) {
  for (uint8_t kind : {RULE_INVALID, RULE_FP, RULE_STOP, RULE_SIGNAL, RULE_EXPR}) {
    unwind_rule rule{};
    rule.kind = kind;
    intern(rule);
  }
}

std::optional<uint32_t> RuleSet::intern(const unwind_rule& rule) {
  for (size_t slot = rule_hash(rule) % kRuleSlots;; slot = (slot + 1) % kRuleSlots) {
    uint32_t taken = slots_[slot];
    if (taken == 0) {
      if (rules_.size() >= MAX_RULES) return std::nullopt;
      rules_.push_back(rule);
      slots_[slot] = static_cast<uint32_t>(rules_.size());
      return slots_[slot] - 1;
    }
    if (std::memcmp(&rules_[taken - 1], &rule, sizeof(rule)) == 0) return taken - 1;
  }
}

FrameOutcome frame_rows_parse(const FrameSection& section, const std::function<bool(uint64_t)>& is_code,
                              const FrameLimits& limits, RuleSet& rules, FrameRows& out) {
  return Parser(section, is_code, limits, rules, out).run();
}

void frame_rows_sort_ranges(FrameRows& out) {
  std::sort(out.ranges.begin(), out.ranges.end(),
            [](const CodeRange& a, const CodeRange& b) { return a.start < b.start; });
}

const CodeRange* frame_rows_covers(const FrameRows& out, uint64_t vaddr) {
  auto after = std::upper_bound(out.ranges.begin(), out.ranges.end(), vaddr,
                                [](uint64_t value, const CodeRange& range) { return value < range.start; });
  if (after == out.ranges.begin()) return nullptr;
  const CodeRange& range = *(after - 1);
  return vaddr < range.end ? &range : nullptr;
}

uint64_t frame_rows_next(const FrameRows& out, uint64_t vaddr, uint64_t limit) {
  auto after = std::upper_bound(out.ranges.begin(), out.ranges.end(), vaddr,
                                [](uint64_t value, const CodeRange& range) { return value < range.start; });
  return after == out.ranges.end() ? limit : std::min(limit, after->start);
}

void frame_rows_fill_gaps(FrameRows& out, uint64_t start, uint64_t end,
                          const std::function<bool(const CodeRange& gap)>& keeps_frame_pointer) {
  auto fill = [&](CodeRange gap) {
    uint64_t bytes = gap.end - gap.start;
    if (bytes < kPaddingBytes && gap.end != end && gap.start != start) return;
    bool chain = bytes >= kFramePointerGapBytes || keeps_frame_pointer(gap);
    out.rows.push_back(
        packed_row(gap.start - out.lowest_vaddr, chain ? RuleSet::kFramePointer : RuleSet::kInvalid));
  };
  uint64_t covered = start;
  for (const CodeRange& range : out.ranges) {
    if (range.end <= start || range.start >= end) continue;
    if (range.start > covered) fill({covered, range.start});
    covered = std::max(covered, range.end);
  }
  if (covered < end) fill({covered, end});
}

void frame_rows_finish(FrameRows& out) {
  auto& rows = out.rows;
  if (!std::is_sorted(rows.begin(), rows.end())) std::sort(rows.begin(), rows.end());
  size_t kept = 0;
  for (size_t i = 0; i < rows.size(); i++) {
    if (i + 1 < rows.size() && packed_row_pc(rows[i]) == packed_row_pc(rows[i + 1])) continue;
    if (kept > 0 && packed_row_rule(rows[kept - 1]) == packed_row_rule(rows[i])) continue;
    rows[kept++] = rows[i];
  }
  rows.resize(kept);
}

}  // namespace strobe
