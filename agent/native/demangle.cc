/* SPDX-License-Identifier: Apache-2.0 */
#include "demangle.h"

#include <csetjmp>
#include <cstring>

/* libiberty.h would declare a basename of its own, against glibc's. */
#define HAVE_DECL_BASENAME 1
#include <libiberty/demangle.h>

namespace strobe {

namespace {

constexpr size_t kMaxInput = 16u << 10;
/* libiberty gives up on C++ names above 1 KiB, which templates reach, unless its limit is lifted; up to
 * this length the deepest nesting then takes less than 1 MiB of stack (tests/symbols_demangle_test.cc). */
constexpr size_t kMaxDeepInput = 4u << 10;
constexpr size_t kMaxOutput = 4u << 10;

/* libiberty hands its text over in pieces of at most 255 bytes and cannot be told to stop. Its
 * demanglers for callbacks keep their state on the stack (one short-lived buffer for a punycode
 * identifier aside), so leaving them by longjmp is what ends a name that doubles at every step. */
struct Output {
  jmp_buf full;
  size_t length;
  char text[kMaxOutput];
};

void append(const char* piece, size_t length, void* opaque) {
  auto* output = static_cast<Output*>(opaque);
  const size_t room = kMaxOutput - output->length;
  memcpy(output->text + output->length, piece, length < room ? length : room);
  output->length += length < room ? length : room;
  if (length > room) longjmp(output->full, 1);
}

using Demangler = int (*)(const char*, int, demangle_callbackref, void*);

/* No object with a destructor lives in this frame: longjmp skips destructors. */
bool run(Demangler demangler, const char* mangled, int options, Output* output, bool* cut) {
  output->length = 0;
  *cut = false;
  if (setjmp(output->full) != 0) {
    *cut = true;
    return true;
  }
  return demangler(mangled, options, append, output) != 0 && output->length > 0;
}

bool is_digits(std::string_view text) {
  return !text.empty() && text.find_first_not_of("0123456789") == std::string_view::npos;
}

/* 'f.isra.0.cold' is a piece of f. */
std::string_view without_clone_suffix(std::string_view name) {
  for (;;) {
    const size_t dot = name.rfind('.');
    if (dot == std::string_view::npos || dot == 0) return name;
    const std::string_view last = name.substr(dot + 1);
    if (last == "cold" || last == "part" || last == "isra" || last == "constprop") {
      name = name.substr(0, dot);
      continue;
    }
    if (!is_digits(last)) return name;
    const std::string_view rest = name.substr(0, dot);
    const size_t before = rest.rfind('.');
    if (before == std::string_view::npos || before == 0) return name;
    const std::string_view kind = rest.substr(before + 1);
    if (kind != "isra" && kind != "part" && kind != "constprop" && kind != "llvm" && kind != "lto_priv" &&
        kind != "cold") {
      return name;
    }
    name = rest.substr(0, before);
  }
}

}  // namespace

std::string demangle(std::string_view name) {
  if (name.size() > kMaxInput) return std::string(name);
  std::string mangled(without_clone_suffix(name));
  const bool rust_v0 = mangled.starts_with("_R");
  const bool itanium = mangled.starts_with("_Z") || mangled.starts_with("_GLOBAL_");
  if (!rust_v0 && !itanium) return mangled;
  Output output;
  bool cut = false;
  bool done = run(rust_demangle_callback, mangled.c_str(), 0, &output, &cut);
  if (!done && itanium) {
    const int limit = mangled.size() <= kMaxDeepInput ? DMGL_NO_RECURSE_LIMIT : 0;
    done = run(cplus_demangle_v3_callback, mangled.c_str(), DMGL_ANSI | limit, &output, &cut);
  }
  if (!done) return mangled;
  std::string text(output.text, output.length);
  if (cut) text += "...";
  return text;
}

}  // namespace strobe
