/* SPDX-License-Identifier: Apache-2.0 */
#ifndef STROBE_CAPABILITIES_H
#define STROBE_CAPABILITIES_H

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace strobe {

/* One answer of `strobe check`. */
struct CheckItem {
  std::string name; /* snake_case, stable */
  bool ok;
  bool required;      /* profiling is impossible while it is not ok */
  std::string detail; /* what was seen */
  std::string fix;    /* the way out; '' when ok or when there is none */
};

/* What can be learnt without loading or opening anything: kernel, BTF, capabilities, lockdown, LSMs,
 * sysctls, memlock, PID namespace, kallsyms, hardware counters. Works for any user. */
std::vector<CheckItem> probe_host();

/* "[{"name":...},...]" with a line an item. */
std::string format_check_items(const std::vector<CheckItem>& items);

/* The JSON string literal of a text; bytes that are not UTF-8 become U+FFFD. */
std::string json_string(std::string_view text);

/* Numbers of a kernel list such as "0-3,8"; empty for "" and "(null)". */
std::vector<int> parse_cpu_list(std::string_view text);
std::vector<int> online_cpus();
/* CPUs that must not be disturbed by timers; empty where the kernel has none. */
std::vector<int> nohz_full_cpus();

/* First line of a small file of /proc or /sys; '' when it cannot be read. */
std::string read_line(const std::string& path);

}  // namespace strobe

#endif
