/* SPDX-License-Identifier: Apache-2.0 */
#include <pthread.h>

#include <chrono>
#include <fstream>

#include "check.h"
#include "demangle.h"

using strobe::demangle;

TEST("C++: template arguments stay, parameters and return type go") {
  CHECK_EQUAL(demangle("_Z3fooIiEvT_"), "foo<int>");
  CHECK_EQUAL(demangle("_ZNSt6vectorIiSaIiEE9push_backEOi"),
              "std::vector<int, std::allocator<int> >::push_back");
  CHECK_EQUAL(demangle("_ZZ4mainENKUliE_clEi"), "main::{lambda(int)#1}::operator()");
  CHECK_EQUAL(demangle("_ZN3FooC1Ev"), "Foo::Foo");
  CHECK_EQUAL(demangle("_ZNKSt8functionIFvvEEclEv"), "std::function<void ()>::operator()");
}

TEST("a piece that the compiler cut off carries the function's name") {
  CHECK_EQUAL(demangle("_Z3fooi.cold"), "foo");
  CHECK_EQUAL(demangle("parse_line.isra.0"), "parse_line");
  CHECK_EQUAL(demangle("parse_line.part.0.cold"), "parse_line");
  CHECK_EQUAL(demangle("parse_line.constprop.12.isra.3"), "parse_line");
  CHECK_EQUAL(demangle("helper.llvm.8264918123"), "helper");
  CHECK_EQUAL(demangle("main.run"), "main.run"); /* Go */
  CHECK_EQUAL(demangle("a.0"), "a.0");
  CHECK_EQUAL(demangle(".cold"), ".cold");
}

TEST("Rust, legacy: the hash goes, escapes are read") {
  CHECK_EQUAL(demangle("_ZN4core3fmt9Formatter3pad17h0123456789abcdefE"), "core::fmt::Formatter::pad");
  CHECK_EQUAL(demangle("_ZN71_$LT$Test$u20$$u2b$$u20$$u27$static$u20$as$u20$foo..Bar$LT$Test$GT$$GT$"
                       "3bar17h930b740aa94f1d3aE"),
              "<Test + 'static as foo::Bar<Test>>::bar");
}

TEST("other names come back as they are") {
  for (const char* name :
       {"", "malloc", "_start", "runtime.mallocgc", "_Z", "_R", "_Z3fo", "_RNvC", "_ZTestNot"}) {
    CHECK_EQUAL(demangle(name), std::string(name));
  }
}

TEST("Rust v0: all 196 frames of a real recording") {
  std::ifstream names("tests/rust_v0_names.txt");
  CHECK(names.good());
  std::string line;
  int frames = 0;
  while (std::getline(names, line)) {
    if (line.starts_with("#")) continue;
    std::istringstream fields(line);
    int count = 0;
    std::string name;
    CHECK(static_cast<bool>(fields >> count >> name));
    const std::string readable = demangle(name);
    if (readable == name || readable.find("::") == std::string::npos || readable.find("_R") == 0) {
      check::fail(__FILE__, __LINE__, name + " became " + readable);
    }
    if (count == 15) {
      CHECK_EQUAL(readable, "<alloc::vec::Vec<f64> as core::ops::index::Index<usize>>::index");
    }
    frames += count;
  }
  CHECK_EQUAL(frames, 196);
}

TEST("a name that spells gigabytes is cut, at once") {
  /* f<B<int, int>, B<x, x>, B<y, y>, ...>: each x, y is the argument before it, so the text doubles.
   * Parts count as f, then B and B<...> for each argument; part n is written S<n - 1 in base 36>_. */
  auto part = [](int n) {
    static const char digits[] = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ";
    std::string text(1, digits[(n - 1) % 36]);
    for (int rest = (n - 1) / 36; rest > 0; rest /= 36) text.insert(text.begin(), digits[rest % 36]);
    return "S" + text + "_";
  };
  std::string bomb = "_Z1fI1BIiiE";
  for (int i = 0; i < 200; i++) bomb += "1BI" + part(2 + 2 * i) + part(2 + 2 * i) + "E";
  bomb += "Evv";
  const auto start = std::chrono::steady_clock::now();
  const std::string text = demangle(bomb);
  const auto spent = std::chrono::steady_clock::now() - start;
  CHECK(text.starts_with("f<B<int, int>"));
  CHECK(text.ends_with("..."));
  CHECK_EQUAL(text.size(), 4096u + 3);
  CHECK(spent < std::chrono::seconds(2));
}

TEST("hostile lengths: above 16 KiB unread, deep nesting survived") {
  const std::string large = "_Z" + std::string(20000, 'P') + "i";
  CHECK_EQUAL(demangle(large), large);
  const std::string deep = "_Z1f" + std::string(16000, 'P') + "i";
  (void)demangle(deep);
  const std::string nested = "_R" + std::string(16000, 'I');
  CHECK_EQUAL(demangle(nested), nested);
}

namespace {

std::string repeat(const std::string& text, size_t times) {
  std::string all;
  for (size_t i = 0; i < times; i++) all += text;
  return all;
}

void* demangle_deep(void* done) {
  const auto nested = [](const std::string& front, const std::string& part, const std::string& middle,
                         const std::string& closing, const std::string& back) {
    const size_t times = (4096 - front.size() - middle.size() - back.size()) / (part.size() + closing.size());
    return demangle(front + repeat(part, times) + middle + repeat(closing, times) + back);
  };
  auto* results = static_cast<std::vector<std::string>*>(done);
  results->push_back(nested("_Z1fI", "1BI", "i", "E", "Evv"));
  results->push_back(nested("_Z1fI", "PFv", "i", "E", "Evv"));
  results->push_back(nested("_Z1fIX", "pl", "Li1E", "Li1E", "EEvv"));
  results->push_back(nested("_Z1fI", "K", "i", "", "Evv"));
  for (const char* part : {"X", "N", "Z", "GV", "J", "nt", "sr", "DpT", "M1a", "A_"})
    nested("_Z1fI", part, "i", "", "");
  return nullptr;
}

}  // namespace

TEST("the deepest nesting that is tried fits 1 MiB of stack; long templates are read") {
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  pthread_attr_setstacksize(&attributes, 1u << 20);
  std::vector<std::string> results;
  pthread_t thread;
  CHECK_EQUAL(pthread_create(&thread, &attributes, demangle_deep, &results), 0);
  pthread_join(thread, nullptr);
  pthread_attr_destroy(&attributes);
  CHECK_EQUAL(results.size(), 4u);
  CHECK_EQUAL(results[2].substr(0, 5), "f<(((");
  /* 1,700 bytes, above what libiberty takes by itself */
  CHECK_EQUAL(demangle("_Z1fI" + repeat("i", 1700) + "Evv").substr(0, 12), "f<int, int, ");
}
