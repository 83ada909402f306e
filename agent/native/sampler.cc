/* SPDX-License-Identifier: Apache-2.0 */
#include "sampler.h"

#include <pthread.h>
#include <string.h>

#include <algorithm>
#include <chrono>

#include "host_unwinder.h"
#include "owned.h"

namespace strobe {

namespace {

constexpr uint64_t kDrainMs = 50;
constexpr uint64_t kLateNs = 2'000'000'000ULL;
constexpr uint64_t kLateRetryNs = 100'000'000ULL;
constexpr size_t kMaxLateBytes = 24u << 20;
constexpr size_t kMaxWindowWords = 16u << 20; /* 128 MiB: a window that was never collected */
constexpr size_t kMaxSums = 4u << 20;
constexpr uint32_t kMaxThreadNames = 64; /* of one process; the rest is '#other' */
constexpr size_t kMaxThreadName = 32;
constexpr uint64_t kLearnAgainNs = 200'000'000ULL;
constexpr uint64_t kMetadataMs = 500;

uint64_t hash_words(const uint64_t* words, size_t count, uint64_t hash) {
  for (size_t i = 0; i < count; i++) {
    hash = (hash ^ words[i]) * 0x9fb21c651e98df25ULL;
    hash ^= hash >> 32;
  }
  return hash;
}

}  // namespace

const char* const kResultNames[RESULT_COUNT] = {
    "complete_stop", "complete_zero", "kernel_thread", "truncated",    "no_process",   "no_mapping",
    "table_pending", "no_page",       "no_row",        "rule_invalid", "expression",   "read_fault",
    "register",      "raced",         "exiting",       "no_registers", "not_advancing"};

std::string fold_thread_name(std::string_view name) {
  std::string folded;
  bool in_digits = false;
  for (char c : name.substr(0, kMaxThreadName)) {
    bool is_digit = c >= '0' && c <= '9';
    if (is_digit) {
      if (!in_digits) folded += '#';
    } else {
      folded += c >= ' ' && c <= '~' ? c : '?';
    }
    in_digits = is_digit;
  }
  return folded;
}

/* ---- window ---- */

uint32_t Window::thread_of(uint32_t process, std::string_view name) {
  std::string folded = fold_thread_name(name);
  for (int attempt = 0;; attempt++) {
    auto [found, is_new_name] = thread_index_.emplace(folded, static_cast<uint32_t>(thread_names.size()));
    if (is_new_name) thread_names.push_back(folded);
    uint64_t pair = static_cast<uint64_t>(process) << 32 | found->second;
    if (threads_of_process_.count(pair) != 0) return found->second;
    if (thread_counts_[process] < kMaxThreadNames || attempt != 0) {
      thread_counts_[process]++;
      threads_of_process_.emplace(pair, 1);
      return found->second;
    }
    folded = "#other";
  }
}

bool Window::stack_of(const std::vector<uint64_t>& words, uint32_t* stack) {
  uint64_t hash = hash_words(words.data(), words.size(), words.size());
  auto [from, to] = stack_index_.equal_range(hash);
  for (; from != to; ++from) {
    uint32_t begin = stack_offset[from->second], end = stack_offset[from->second + 1];
    if (end - begin == words.size() && std::equal(words.begin(), words.end(), stack_words.begin() + begin)) {
      *stack = from->second;
      return true;
    }
  }
  if (stack_words.size() + words.size() > kMaxWindowWords) return false;
  *stack = static_cast<uint32_t>(stack_offset.size() - 1);
  stack_words.insert(stack_words.end(), words.begin(), words.end());
  stack_offset.push_back(static_cast<uint32_t>(stack_words.size()));
  stack_index_.emplace(hash, *stack);
  return true;
}

bool Window::add(const sample_record& sample, const uint64_t* user_words, size_t user_words_count,
                 const uint64_t* kernel_frames, size_t kernel_frames_count, uint8_t result) {
  if (sums.size() >= kMaxSums) return false;
  words_.clear();
  for (size_t i = 0; i < kernel_frames_count; i++) {
    words_.push_back(static_cast<uint64_t>(FRAME_KERNEL) << FRAME_KIND_SHIFT);
    /* Callers at their call, not at the return address behind it, as user frames are. */
    words_.push_back(i == 0 ? kernel_frames[i] : kernel_frames[i] - 1);
  }
  words_.insert(words_.end(), user_words, user_words + user_words_count);
  uint32_t stack;
  if (!stack_of(words_, &stack)) return false;

  ProcessKey key{sample.pid, sample.self_exec_id, sample.start_boottime};
  auto [found, is_new] = process_index_.emplace(key, static_cast<uint32_t>(processes.size()));
  if (is_new) {
    processes.push_back({key, sample.parent_pid, {}});
    thread_counts_.push_back(0);
  }
  uint32_t process = found->second;
  uint32_t thread = thread_of(
      process, std::string_view(sample.thread_name, strnlen(sample.thread_name, THREAD_NAME_BYTES)));

  uint64_t parts[2] = {static_cast<uint64_t>(process) << 32 | thread,
                       static_cast<uint64_t>(stack) << 8 | result};
  uint64_t hash = hash_words(parts, 2, 0);
  auto [from, to] = sum_index_.equal_range(hash);
  for (; from != to; ++from) {
    Sum& sum = sums[from->second];
    if (sum.process == process && sum.thread == thread && sum.stack == stack && sum.result == result) {
      sum.count++;
      return true;
    }
  }
  sum_index_.emplace(hash, static_cast<uint32_t>(sums.size()));
  sums.push_back({process, thread, stack, 1, result});
  return true;
}

/* ---- sampler ---- */

Sampler::Sampler(const SamplerFds& fds, std::shared_ptr<UnwindTables> tables, ProcessTracker& tracker,
                 ProcessMetadata& metadata, TableBuilder& builder, Counters& counters)
    : fds_(fds),
      tables_(std::move(tables)),
      tracker_(tracker),
      metadata_(metadata),
      builder_(builder),
      counters_(counters),
      window_(std::make_unique<Window>()) {
  window_->start_ns = clock_ns(CLOCK_MONOTONIC);
}

Sampler::~Sampler() { stop(); }

bool Sampler::open(std::string* error) {
  samples_ring_ = RingReader::open(fds_.samples, error);
  if (!samples_ring_) return false;
  raw_ring_ = RingReader::open(fds_.raw_stacks, error);
  if (!raw_ring_) return false;
  return true;
}

void Sampler::start() {
  window_->start_ns = clock_ns(CLOCK_MONOTONIC);
  thread_ = std::thread([this] { work(); });
}

void Sampler::work() {
  pthread_setname_np(pthread_self(), "strobe-sampler");
  std::unique_lock<std::mutex> lock(mutex_);
  while (!stopping_) {
    wake_.wait_for(lock, std::chrono::milliseconds(kDrainMs), [&] { return stopping_; });
    drain(false);
    builder_.watch();
  }
}

void Sampler::stop() {
  {
    std::lock_guard<std::mutex> lock(mutex_);
    if (is_stopped_) return;
    is_stopped_ = true;
    stopping_ = true;
  }
  wake_.notify_all();
  if (!thread_.joinable()) return;
  thread_.join();
  std::lock_guard<std::mutex> lock(mutex_);
  drain(true);
}

void Sampler::drain(bool is_last) {
  samples_ring_->consume([this](const void* record, size_t bytes) {
    take_sample(static_cast<const sample_record*>(record), bytes);
  });
  raw_ring_->consume(
      [this](const void* record, size_t bytes) { take_raw(static_cast<const raw_record*>(record), bytes); });
  unwind_waiting(is_last);
}

void Sampler::add(const sample_record& sample, const uint64_t* words, size_t word_count,
                  const uint64_t* kernel, size_t kernel_count, uint8_t result) {
  metadata_.saw({sample.pid, sample.self_exec_id, sample.start_boottime}, sample.time_ns);
  if (!window_->add(sample, words, word_count, kernel, kernel_count, result)) counters_.add("window_full");
}

void Sampler::take_sample(const sample_record* sample, size_t bytes) {
  if (bytes < sizeof *sample ||
      bytes < sizeof *sample + 8ULL * (static_cast<size_t>(sample->user_words) + sample->kernel_frames)) {
    counters_.add("record_malformed");
    return;
  }
  if (sample->result == RESULT_NO_PROCESS || sample->result == RESULT_RACED) learn(*sample);
  const auto* words = reinterpret_cast<const uint64_t*>(sample + 1);
  add(*sample, words, sample->user_words, words + sample->user_words, sample->kernel_frames, sample->result);
}

void Sampler::learn(const sample_record& sample) {
  ProcessKey key{sample.pid, sample.self_exec_id, sample.start_boottime};
  uint64_t& told_ns = learnt_[key];
  if (told_ns != 0 && sample.time_ns < told_ns + kLearnAgainNs) return;
  told_ns = sample.time_ns;
  tracker_.learn({sample.pid, sample.self_exec_id, sample.start_boottime, sample.time_ns});
}

void Sampler::take_raw(const raw_record* record, size_t bytes) {
  if (bytes < sizeof *record) {
    counters_.add("record_malformed");
    return;
  }
  if (record->sample.result == RESULT_NO_PROCESS || record->sample.result == RESULT_RACED)
    learn(record->sample);
  if (late_bytes_ + bytes > kMaxLateBytes) {
    uint32_t kernel_count = 0;
    const uint64_t* kernel = raw_kernel_frames(record, bytes, &kernel_count);
    add(record->sample, nullptr, 0, kernel, kernel ? kernel_count : 0, record->sample.result);
    counters_.add("late_queue_full");
    return;
  }
  Late late;
  late.record.resize((bytes + 7) / 8);
  memcpy(late.record.data(), record, bytes);
  late.bytes = bytes;
  late.arrived_ns = clock_ns(CLOCK_MONOTONIC);
  late.next_try_ns = 0;
  late_bytes_ += bytes;
  late_.push_back(std::move(late));
}

void Sampler::unwind_waiting(bool is_last) {
  uint64_t now_ns = clock_ns(CLOCK_MONOTONIC);
  for (size_t left = late_.size(); left > 0; left--) {
    Late late = std::move(late_.front());
    late_.pop_front();
    bool is_expired = is_last || now_ns - late.arrived_ns >= kLateNs;
    if (!is_expired && late.next_try_ns > now_ns) {
      late_.push_back(std::move(late));
      continue;
    }
    const auto* record = reinterpret_cast<const raw_record*>(late.record.data());
    const sample_record& sample = record->sample;
    LateStack stack;
    stack.result = sample.result;
    TrackedImage image =
        tracker_.find({sample.pid, sample.self_exec_id, sample.start_boottime, sample.time_ns});
    bool is_waiting = !image.run;
    if (image.run) {
      stack = unwind_late(*tables_, record, late.bytes, image.run->entries.data(), image.run->entries.size());
      if (stack.pending_file != 0) builder_.demand(stack.pending_file);
      is_waiting =
          stack.result == RESULT_TABLE_PENDING || (image.has_pending && stack.result > RESULT_TRUNCATED);
      /* The record of a mapping made just before the sample can be on its way. */
      if (stack.result == RESULT_NO_MAPPING && now_ns - late.arrived_ns < kLateRetryNs) is_waiting = true;
    }
    if (is_waiting && !is_expired) {
      late.next_try_ns = now_ns + (now_ns - late.arrived_ns < kLateRetryNs ? 0 : kLateRetryNs);
      late_.push_back(std::move(late));
      continue;
    }
    late_bytes_ -= late.bytes;
    counters_.add(is_waiting ? "late_expired" : "late_unwound");
    uint32_t kernel_count = 0;
    const uint64_t* kernel = raw_kernel_frames(record, late.bytes, &kernel_count);
    add(sample, stack.words.data(), stack.words.size(), kernel, kernel ? kernel_count : 0, stack.result);
  }
}

std::unique_ptr<Window> Sampler::collect() {
  std::unique_ptr<Window> closed;
  {
    std::lock_guard<std::mutex> lock(mutex_);
    if (!is_stopped_) drain(false);
    auto next = std::make_unique<Window>();
    next->start_ns = clock_ns(CLOCK_MONOTONIC);
    closed = std::move(window_);
    closed->end_ns = next->start_ns;
    window_ = std::move(next);
    learnt_.clear();
  }
  metadata_.settle(kMetadataMs);
  for (Window::SampledProcess& process : closed->processes) process.text = metadata_.find(process.key);
  metadata_.end_window();
  return closed;
}

std::map<std::string, uint64_t, std::less<>> Sampler::kernel_counters() const {
  std::map<std::string, uint64_t, std::less<>> totals;
  std::vector<uint64_t> values(possible_cpus());
  if (values.empty()) return totals;
  static constexpr struct {
    uint32_t index;
    const char* name;
  } kNamed[] = {{COUNTER_SAMPLES, "samples"},   {COUNTER_SAMPLES_LOST, "lost"},
                {COUNTER_RAW_LOST, "raw_lost"}, {COUNTER_RAW_THROTTLED, "raw_throttled"},
                {COUNTER_RAW_SENT, "raw_sent"}, {COUNTER_FRAMES, "frames"},
                {COUNTER_RACED, "raced"}};
  auto read = [&](uint32_t index, const std::string& name) {
    if (map_lookup(fds_.counters, &index, values.data()) != 0) return;
    uint64_t total = 0;
    for (uint64_t value : values) total += value;
    totals[name] = total;
  };
  for (const auto& named : kNamed) read(named.index, named.name);
  for (uint32_t result = 0; result < RESULT_COUNT; result++)
    read(COUNTER_RESULT_FIRST + result, std::string("result_") + kResultNames[result]);
  return totals;
}

}  // namespace strobe
