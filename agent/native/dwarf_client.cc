/* SPDX-License-Identifier: Apache-2.0 */
#include "dwarf_client.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include <algorithm>

#include "dwarf_messages.h"
#include "small_file.h"

namespace strobe {

namespace {

constexpr size_t kChunk = 128; /* addresses in a question */
constexpr uint64_t kSecondNs = 1'000'000'000ULL;
constexpr uint64_t kStartsNs = 300 * kSecondNs;
constexpr unsigned kRefused = 2;
constexpr size_t kMaxWaiting = 4096; /* answers that nobody took yet */
constexpr int kChildSocket = 3;

}  // namespace

std::string DwarfClient::default_program() {
  Dl_info info{};
  if (dladdr(reinterpret_cast<void*>(&DwarfClient::default_program), &info) == 0) return "";
  const std::string path(info.dli_fname);
  const size_t slash = path.rfind('/');
  return (slash == std::string::npos ? "." : path.substr(0, slash)) + "/strobe-dwarf";
}

DwarfClient::~DwarfClient() {
  end_child();
  for (const pid_t pid : ended_) {
    while (waitpid(pid, nullptr, 0) < 0 && errno == EINTR) {
    }
  }
}

void DwarfClient::reap() {
  std::erase_if(ended_, [](pid_t pid) { return waitpid(pid, nullptr, WNOHANG) != 0; });
}

void DwarfClient::end_child() {
  socket_.reset();
  question_.reset();
  open_.clear();
  if (pid_ < 0) return;
  kill(pid_, SIGKILL);
  /* One that hangs in the kernel is reaped when it comes back. */
  ended_.push_back(pid_);
  pid_ = -1;
  reap();
}

bool DwarfClient::start() {
  if (pid_ >= 0) return true;
  const uint64_t now = clock_ns(CLOCK_MONOTONIC);
  while (!starts_ns_.empty() && now - starts_ns_.front() > kStartsNs) starts_ns_.pop_front();
  if (starts_ns_.size() >= limits_.max_starts) {
    counters_.add("dwarf_starts_refused");
    return false;
  }
  starts_ns_.push_back(now);
  int ends[2];
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) return false;
  OwnedFd ours(ends[0]), theirs(ends[1]);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, theirs.get(), kChildSocket);
  std::string bytes = std::to_string(limits_.memory_bytes);
  std::string name = "strobe-dwarf";
  char* const arguments[] = {name.data(), bytes.data(), nullptr};
  char* const environment[] = {nullptr};
  const int error = posix_spawn(&pid_, program_.c_str(), &actions, nullptr, arguments, environment);
  posix_spawn_file_actions_destroy(&actions);
  if (error != 0) {
    pid_ = -1;
    counters_.add("dwarf_starts_refused");
    return false;
  }
  counters_.add("dwarf_starts");
  socket_ = std::move(ours);
  return true;
}

/* The child is of no use any more, and the file it worked on is the reason. */
void DwarfClient::blame(uint32_t key, const char* counter) {
  int status = 0;
  if (pid_ >= 0) {
    /* Its end of the socket closes a moment before it can be waited for. */
    for (int attempt = 0; attempt < 50; attempt++) {
      if (waitpid(pid_, &status, WNOHANG) == pid_) {
        pid_ = -1;
        break;
      }
      timespec moment{0, 1'000'000};
      nanosleep(&moment, nullptr);
    }
  }
  const bool is_over_memory = pid_ < 0 && WIFEXITED(status) && WEXITSTATUS(status) == kDwarfExitMemory;
  counters_.add(is_over_memory ? "dwarf_over_memory" : counter);
  end_child();
  if (++strikes_[key] >= kRefused) counters_.add("dwarf_files_refused");
}

bool DwarfClient::is_worth_asking(uint32_t key) const {
  if (limits_.memory_bytes == 0) return false;
  const auto found = strikes_.find(key);
  return found == strikes_.end() || found->second < kRefused;
}

void DwarfClient::forget(uint32_t key) {
  strikes_.erase(key);
  open_.erase(key);
}

void DwarfClient::rest() {
  reap();
  if (pid_ < 0 || clock_ns(CLOCK_MONOTONIC) - last_asked_ns_ < limits_.rest_ns) return;
  end_child();
}

uint64_t DwarfClient::child_bytes() const {
  if (pid_ < 0) return 0;
  const std::string text =
      read_small_file(AT_FDCWD, ("/proc/" + std::to_string(pid_) + "/statm").c_str(), 256);
  unsigned long long total = 0, resident = 0, shared = 0;
  if (sscanf(text.c_str(), "%llu %llu %llu", &total, &resident, &shared) != 3 || shared > resident) return 0;
  return (resident - shared) * static_cast<uint64_t>(sysconf(_SC_PAGESIZE));
}

bool DwarfClient::ask(const Question& question, const std::vector<uint8_t>& request,
                      const std::vector<int>& fds) {
  last_asked_ns_ = clock_ns(CLOCK_MONOTONIC);
  question_ = question;
  question_->asked_ns = last_asked_ns_;
  if (send_message(socket_.get(), request, fds)) return true;
  blame(question.key, "dwarf_crashes");
  return false;
}

/* Waits for the answer that is out. False: none came by the deadline. */
bool DwarfClient::settle(uint64_t deadline_ns) {
  if (!question_) return true;
  std::vector<uint8_t> answer;
  const Received received =
      receive_message(socket_.get(), kMaxDwarfAnswerBytes, deadline_ns, &answer, nullptr);
  if (received == Received::kTimeout) {
    if (clock_ns(CLOCK_MONOTONIC) - question_->asked_ns > limits_.question_ns) {
      blame(question_->key, "dwarf_timeouts");
      return true;
    }
    return false;
  }
  const Question question = std::move(*question_);
  question_.reset();
  if (received == Received::kClosed || !take_answer(question, answer)) blame(question.key, "dwarf_crashes");
  return true;
}

bool DwarfClient::take_answer(const Question& question, const std::vector<uint8_t>& answer) {
  ByteReader reader(answer);
  const uint8_t status = reader.u8();
  if (question.is_open) {
    reader.text(4096);
    if (!reader.at_end() || status > kDwarfNone) return false;
    if (status == kDwarfOk) {
      open_.insert(question.key);
    } else {
      strikes_[question.key] = kRefused;
      counters_.add("dwarf_files_without");
    }
    return true;
  }
  if (status == kDwarfClosed && reader.at_end()) {
    open_.erase(question.key);
    return true;
  }
  if (status != kDwarfOk) return false;
  Lines found;
  for (const uint64_t address : question.addresses) {
    if (!reader.lines(&found[address])) return false;
  }
  if (!reader.at_end()) return false;
  if (answer_count_ > kMaxWaiting) {
    counters_.add("dwarf_answers_dropped", answer_count_);
    answers_.clear();
    answer_count_ = 0;
  }
  answer_count_ += found.size();
  answers_[question.key].merge(found);
  return true;
}

std::unordered_map<uint64_t, SourceLines> DwarfClient::lookup(uint32_t key,
                                                              const std::vector<uint64_t>& addresses,
                                                              const Open& open, uint64_t deadline_ns) {
  Lines result;
  auto take = [&] {
    auto found = answers_.find(key);
    if (found == answers_.end()) return;
    for (const uint64_t address : addresses) {
      auto node = found->second.extract(address);
      if (node.empty()) continue;
      answer_count_--;
      result.insert(std::move(node));
    }
    if (found->second.empty()) answers_.erase(found);
  };
  unsigned reopened = 0;
  while (settle(deadline_ns)) {
    take();
    std::vector<uint64_t> chunk;
    std::unordered_set<uint64_t> seen;
    for (size_t at = 0; at < addresses.size() && chunk.size() < kChunk; at++) {
      if (result.find(addresses[at]) == result.end() && seen.insert(addresses[at]).second)
        chunk.push_back(addresses[at]);
    }
    if (chunk.empty() || !is_worth_asking(key) || clock_ns(CLOCK_MONOTONIC) >= deadline_ns || !start()) break;
    ByteWriter request;
    if (open_.find(key) == open_.end()) {
      /* A child that lets go of this file each time cannot hold it. */
      if (reopened++ > 8) break;
      const std::vector<int> fds = open();
      if (fds.empty()) {
        strikes_[key] = kRefused;
        break;
      }
      request.u8(kDwarfOpen);
      request.u32(key);
      request.u8(fds.size() > 1);
      if (!ask({key, true, {}, 0}, request.bytes(), fds)) continue;
    } else {
      request.u8(kDwarfLookup);
      request.u32(key);
      request.u32(static_cast<uint32_t>(chunk.size()));
      for (const uint64_t address : chunk) request.u64(address);
      counters_.add("dwarf_questions", chunk.size());
      if (!ask({key, false, std::move(chunk), 0}, request.bytes(), {})) continue;
    }
  }
  take();
  return result;
}

}  // namespace strobe
