/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Summing and the arena by hand-made values; then a whole session, called from several threads while
 * processes come and go. For the session this program runs itself again behind the launcher.
 */
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <cstring>
#include <string>
#include <thread>
#include <vector>

#include "check.h"
#include "mapping_arena.h"
#include "sampler.h"
#include "session.h"

using namespace strobe;

namespace {

sample_record sample_of(uint32_t pid, const char* thread_name) {
  sample_record sample{};
  sample.pid = pid;
  sample.start_boottime = 1000 + pid;
  strncpy(sample.thread_name, thread_name, THREAD_NAME_BYTES - 1);
  return sample;
}

std::shared_ptr<MappingRun> run_of(size_t count, uint32_t generation) {
  auto run = std::make_shared<MappingRun>();
  for (size_t i = 0; i < count; i++) run->entries.push_back({i << 12, (i + 1) << 12, 0, 0, generation});
  run->generation = generation;
  return run;
}

/* The numbers behind "key": in the launcher's JSON; all of them up to the closing bracket. */
std::vector<int> fds_of(const std::string& json, const std::string& list) {
  std::vector<int> fds;
  size_t at = json.find("\"" + list + "\":[");
  size_t end = json.find(']', at);
  while (at < end) {
    at = json.find("\"fd\":", at);
    if (at == std::string::npos || at > end) break;
    at += 5;
    fds.push_back(atoi(json.c_str() + at));
  }
  return fds;
}

SessionHandles handles_of(const std::string& json) {
  SessionHandles handles;
  for (const char* name : {"segments", "pages", "rules", "files", "mappings", "processes", "samples",
                           "raw_stacks", "counters"}) {
    std::string key = "\"" + std::string(name) + "\":";
    size_t at = json.find(key, json.find("\"maps\""));
    if (at != std::string::npos) handles.maps[name] = atoi(json.c_str() + at + key.size());
  }
  handles.sample_events = fds_of(json, "sampleEvents");
  handles.side_band_events = fds_of(json, "sideBandEvents");
  size_t at = json.find("\"kallsymsFd\":");
  handles.kallsyms = at == std::string::npos ? -1 : atoi(json.c_str() + at + 13);
  return handles;
}

uint64_t samples_of(const Window& window) {
  uint64_t total = 0;
  for (const Window::Sum& sum : window.sums) total += sum.count;
  return total;
}

void run_session(const char* json) {
  std::string error;
  auto session = Session::open(handles_of(json), {32 << 20, 256 << 20, ""}, &error);
  CHECK_EQUAL(error, "");
  /* Opened by the launcher with its rights, read without them, as often as needed. */
  for (int round = 0; round < 2; round++) {
    auto kernel = KernelSymbols::build(handles_of(json).kallsyms, &error);
    CHECK_EQUAL(error, "");
    CHECK(kernel->symbol_count() > 1000);
  }
  CHECK(session->start(&error));
  CHECK(!session->start(&error));
  CHECK(error.rfind("SESSION_STARTED:", 0) == 0);
  std::atomic<bool> stopping{false};
  std::atomic<uint64_t> samples{0};
  std::vector<std::thread> threads;
  for (int i = 0; i < 2; i++)
    threads.emplace_back([&] {
      while (!stopping) {
        CollectedWindow collected = session->collect();
        samples += samples_of(*collected.window);
        std::vector<uint64_t> pairs;
        for (uint64_t word : collected.window->stack_words)
          if (word >> FRAME_KIND_SHIFT == FRAME_NATIVE) pairs.insert(pairs.end(), {word, 0});
        session->symbolize(pairs);
        session->files();
        session->counters();
      }
    });
  /* Ends when the parent, done with its processes, closes the pipe. */
  char byte;
  while (read(STDIN_FILENO, &byte, 1) > 0) continue;
  stopping = true;
  for (std::thread& thread : threads) thread.join();
  session->stop();
  samples += samples_of(*session->collect().window);
  CounterTotals totals = session->counters();
  CHECK(totals["samples"] > 0);
  /* Nothing is dropped in silence: each sample is in a window or in a counter. */
  CHECK_EQUAL(samples + totals["lost"] + totals["raw_lost"] + totals["window_full"], totals["samples"]);
}

}  // namespace

TEST("thread names fold digits, keep ASCII and are cut") {
  CHECK_EQUAL(fold_thread_name("worker-12"), "worker-#");
  CHECK_EQUAL(fold_thread_name("3x4y"), "#x#y");
  CHECK_EQUAL(fold_thread_name("\xc3\xa9t\x01"), "??t?");
  CHECK_EQUAL(fold_thread_name(""), "");
  CHECK_EQUAL(fold_thread_name(std::string(100, 'a')), std::string(32, 'a'));
}

TEST("a window sums equal samples and keeps others apart") {
  Window window;
  const uint64_t a[] = {1ULL << 60 | 5, 1ULL << 60 | 7}, kernel[] = {0xffffffff81000010, 0xffffffff81000020};
  CHECK(window.add(sample_of(1, "t1"), a, 2, nullptr, 0, RESULT_COMPLETE_STOP));
  CHECK(window.add(sample_of(1, "t2"), a, 2, nullptr, 0, RESULT_COMPLETE_STOP)); /* the same when folded */
  CHECK(window.add(sample_of(2, "t1"), a, 2, nullptr, 0, RESULT_COMPLETE_STOP)); /* another process */
  CHECK(window.add(sample_of(1, "t1"), a, 1, nullptr, 0, RESULT_COMPLETE_STOP)); /* another stack */
  CHECK(window.add(sample_of(1, "t1"), a, 2, nullptr, 0, RESULT_RACED));         /* another result */
  CHECK(window.add(sample_of(1, "t1"), a, 2, kernel, 2, RESULT_COMPLETE_STOP));
  CHECK_EQUAL(window.sums.size(), size_t{5});
  CHECK_EQUAL(window.sums[0].count, 2u);
  CHECK_EQUAL(window.processes.size(), size_t{2});
  CHECK_EQUAL(window.thread_names.size(), size_t{1});
  CHECK_EQUAL(window.stack_offset.size(), size_t{4}); /* three stacks */
  /* Kernel frames come first; the caller stands at its call. */
  const uint64_t* words = &window.stack_words[window.stack_offset[2]];
  CHECK_EQUAL(words[0], uint64_t{FRAME_KERNEL} << FRAME_KIND_SHIFT);
  CHECK_EQUAL(words[1], 0xffffffff81000010);
  CHECK_EQUAL(words[3], 0xffffffff8100001f);
  CHECK_EQUAL(words[4], a[0]);
}

TEST("a process has at most 64 thread names and one for the rest") {
  Window window;
  for (char c = 'A'; c <= 'Z'; c++)
    for (char d = 'a'; d <= 'd'; d++) {
      const char name[] = {c, d, 0};
      CHECK(window.add(sample_of(1, name), nullptr, 0, nullptr, 0, RESULT_KERNEL_THREAD));
    }
  uint64_t other = 0;
  for (const Window::Sum& sum : window.sums)
    if (window.thread_names[sum.thread] == "#other") other += sum.count;
  CHECK_EQUAL(other, 26u * 4 - 64);
  CHECK_EQUAL(samples_of(window), 26u * 4);
}

TEST("a place in the arena is not reused before the grace period") {
  std::vector<mapping_entry> memory(8);
  auto arena = std::make_shared<MappingArena>(memory.data(), 8);
  auto first = run_of(5, 1), second = run_of(3, 2), third = run_of(2, 3);
  CHECK(arena->store(*first));
  CHECK(arena->store(*second));
  CHECK_EQUAL(memory[first->first].generation, 1u);
  CHECK_EQUAL(arena->used(), 8u);
  CHECK(!arena->store(*third));
  first.reset();
  CHECK_EQUAL(arena->used(), 3u);
  CHECK(!arena->store(*third)); /* a walk may still read it */
  CHECK_EQUAL(memory[0].generation, 1u);
}

TEST("a session stands calls from several threads while processes come and go") {
  const char* handles = getenv("STROBE_HANDLES");
  if (handles) return run_session(handles);
  if (geteuid() != 0) SKIP("needs root");
  const char* build = getenv("STROBE_BUILD_DIR");
  std::string launcher = std::string(build ? build : "build") + "/strobe-launch";
  if (access(launcher.c_str(), X_OK) != 0) SKIP("strobe-launch is not built");
  if (system((launcher + " --check > /dev/null").c_str()) != 0)
    SKIP("strobe-launch --check refuses this host");
  int pipe_fds[2];
  CHECK(pipe(pipe_fds) == 0);
  char self[4096];
  ssize_t length = readlink("/proc/self/exe", self, sizeof self - 1);
  CHECK(length > 0);
  self[length] = 0;
  pid_t child = fork();
  if (child == 0) {
    dup2(pipe_fds[0], STDIN_FILENO);
    close(pipe_fds[0]);
    close(pipe_fds[1]);
    execl(launcher.c_str(), launcher.c_str(), "--period-ns", "1000000", "--die-with-parent", "--", self,
          nullptr);
    _exit(127);
  }
  close(pipe_fds[0]);
  for (int i = 0; i < 300; i++) {
    pid_t pid = fork();
    if (pid == 0) {
      execl("/bin/true", "/bin/true", nullptr);
      _exit(1);
    }
    waitpid(pid, nullptr, 0);
  }
  close(pipe_fds[1]);
  int status = 0;
  waitpid(child, &status, 0);
  CHECK_EQUAL(WIFEXITED(status) ? WEXITSTATUS(status) : -1, 0);
}
