/* SPDX-License-Identifier: Apache-2.0 */
#ifndef STROBE_TESTS_TEMPORARY_H
#define STROBE_TESTS_TEMPORARY_H

#include <stdio.h>
#include <stdlib.h>

#include <filesystem>
#include <fstream>
#include <map>
#include <sstream>
#include <string>
#include <vector>

#include "check.h"

/* A folder of a test, gone at its end. */
class TemporaryFolder {
 public:
  TemporaryFolder() {
    char name[] = "/tmp/strobe-native-XXXXXX";
    if (mkdtemp(name) == nullptr) check::fail(__FILE__, __LINE__, "mkdtemp");
    path_ = name;
  }
  ~TemporaryFolder() { std::filesystem::remove_all(path_); }
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;
  std::string operator/(const std::string& name) const { return path_ + "/" + name; }
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

inline std::vector<std::string> output_of(const std::string& command) {
  std::vector<std::string> lines;
  FILE* pipe = popen((command + " 2>/dev/null").c_str(), "r");
  if (pipe == nullptr) return lines;
  char* line = nullptr;
  size_t room = 0;
  for (ssize_t length = 0; (length = getline(&line, &room, pipe)) > 0;) {
    lines.emplace_back(line, static_cast<size_t>(line[length - 1] == '\n' ? length - 1 : length));
  }
  free(line);
  pclose(pipe);
  return lines;
}

inline void run_or_skip(const std::string& command) {
  if (system((command + " 2>/dev/null").c_str()) != 0) SKIP("cannot run: " + command);
}

/* Addresses of all symbols of a file, as nm prints them. */
inline std::map<std::string, uint64_t> addresses_of(const std::string& path) {
  std::map<std::string, uint64_t> at;
  for (const std::string& line : output_of("nm " + path)) {
    std::istringstream fields(line);
    uint64_t address = 0;
    std::string kind, name;
    if (fields >> std::hex >> address >> kind >> name) at[name] = address;
  }
  return at;
}

inline std::string bytes_of(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

#endif
