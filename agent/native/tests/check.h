/* SPDX-License-Identifier: Apache-2.0 */
#ifndef STROBE_TESTS_CHECK_H
#define STROBE_TESTS_CHECK_H

#include <cstdio>
#include <exception>
#include <sstream>
#include <stdexcept>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

/*
 * TEST("a sentence") { CHECK(condition); CHECK_EQUAL(seen, expected); SKIP("why"); }
 * Each test file is a program; it ends with 'FILE: N passed, M failed, K not run' and exit code 1 when one
 * failed.
 */
namespace check {

struct Failure : std::runtime_error {
  using std::runtime_error::runtime_error;
};
struct Skipped : std::runtime_error {
  using std::runtime_error::runtime_error;
};
struct Case {
  const char* name;
  void (*run)();
};
inline std::vector<Case>& cases() {
  static std::vector<Case> all;
  return all;
}
struct Register {
  Register(const char* name, void (*run)()) { cases().push_back({name, run}); }
};

template <typename T>
std::string show(const T& value) {
  std::ostringstream out;
  if constexpr (std::is_same_v<T, bool>) {
    out << (value ? "true" : "false");
  } else if constexpr (std::is_enum_v<T>) {
    out << static_cast<long long>(value);
  } else if constexpr (std::is_integral_v<T>) {
    out << +value << " (0x" << std::hex << +value << ")";
  } else {
    out << '"' << value << '"';
  }
  return out.str();
}

inline void fail(const char* file, int line, const std::string& message) {
  throw Failure(std::string(file) + ":" + std::to_string(line) + ": " + message);
}

template <typename A, typename B>
void equal(const char* file, int line, const char* text, const A& seen, const B& expected) {
  if (!(seen == expected))
    fail(file, line, std::string(text) + " is " + show(seen) + ", expected " + show(expected));
}

inline int run_all(const char* program) {
  int passed = 0, failed = 0, skipped = 0;
  for (const Case& one : cases()) {
    try {
      one.run();
      passed++;
      printf("ok      %s\n", one.name);
    } catch (const Skipped& why) {
      skipped++;
      printf("not run %s: %s\n", one.name, why.what());
    } catch (const std::exception& why) {
      failed++;
      printf("FAILED  %s\n        %s\n", one.name, why.what());
    }
    fflush(stdout);
  }
  const std::string_view path(program);
  const std::string name(path.substr(path.rfind('/') + 1));
  printf("%s: %d passed, %d failed, %d not run\n", name.c_str(), passed, failed, skipped);
  return failed == 0 && !cases().empty() ? 0 : 1;
}

}  // namespace check

#define CHECK_JOIN2(a, b) a##b
#define CHECK_JOIN(a, b) CHECK_JOIN2(a, b)
#define TEST(name)                                                                                 \
  static void CHECK_JOIN(test_, __LINE__)();                                                       \
  static const check::Register CHECK_JOIN(register_, __LINE__)(name, CHECK_JOIN(test_, __LINE__)); \
  static void CHECK_JOIN(test_, __LINE__)()
#define CHECK(condition)                                           \
  do {                                                             \
    if (!(condition)) check::fail(__FILE__, __LINE__, #condition); \
  } while (0)
#define CHECK_EQUAL(seen, expected) check::equal(__FILE__, __LINE__, #seen, seen, expected)
#define SKIP(why) throw check::Skipped(why)

int main(int, char** argv) { return check::run_all(argv[0]); }

#endif
