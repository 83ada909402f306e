/* SPDX-License-Identifier: Apache-2.0 */
#ifndef STROBE_SOURCE_LINE_H
#define STROBE_SOURCE_LINE_H

#include <cstdint>
#include <string>
#include <vector>

namespace strobe {

/* Where an address came from in the source. A location has one for each inlined call, innermost first. */
struct SourceLine {
  std::string function;     /* as it reads in the source, without its scope in C++ */
  std::string linkage_name; /* mangled; '' where the language does not mangle */
  std::string file;         /* of line; '' when unknown */
  std::string start_file;   /* of start_line; '' when unknown */
  uint32_t line = 0;        /* 0 when unknown */
  uint32_t start_line = 0;  /* of the function, 0 when unknown */
};
using SourceLines = std::vector<SourceLine>;

}  // namespace strobe

#endif
