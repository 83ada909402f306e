/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Drains both rings, unwinds late what came before its tables, and sums samples of a window.
 *
 *   samples ring ----------------------------> Window
 *   raw_stacks ring -> late queue -> unwind_late ^
 *
 * A raw stack waits for the mappings and tables of its process, at most kLateNs; then it counts with
 * what could be unwound. Raw stacks that wait when a window closes count in the next one.
 */
#ifndef STROBE_SAMPLER_H
#define STROBE_SAMPLER_H

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>
#include <unordered_map>
#include <vector>

#include "../../bpf/profiler/types.h"
#include "bpf_maps.h"
#include "counters.h"
#include "process_metadata.h"
#include "process_tracker.h"
#include "table_builder.h"
#include "unwind_tables.h"

namespace strobe {

/* By enum unwind_result. */
extern const char* const kResultNames[RESULT_COUNT];

/* Digits folded to '#', at most 32 bytes of printable ASCII: names of pools would be endless. */
std::string fold_thread_name(std::string_view name);

/* Samples of one window, summed. Indices point into the vectors of the same object. */
struct Window {
  uint64_t start_ns = 0; /* CLOCK_MONOTONIC */
  uint64_t end_ns = 0;
  struct SampledProcess {
    ProcessKey key;
    uint32_t parent_pid = 0;
    ProcessText text; /* filled when the window closes */
  };
  std::vector<SampledProcess> processes;
  std::vector<std::string> thread_names;
  std::vector<uint64_t> stack_words; /* leaf first, kernel frames before user frames */
  std::vector<uint32_t> stack_offset{0};
  struct Sum {
    uint32_t process;
    uint32_t thread;
    uint32_t stack;
    uint32_t count;
    uint8_t result;
  };
  std::vector<Sum> sums;

  /* False when the window is full. */
  bool add(const sample_record& sample, const uint64_t* user_words, size_t user_words_count,
           const uint64_t* kernel_frames, size_t kernel_frames_count, uint8_t result);

 private:
  uint32_t thread_of(uint32_t process, std::string_view name);
  bool stack_of(const std::vector<uint64_t>& words, uint32_t* stack);
  std::unordered_map<ProcessKey, uint32_t, ProcessKeyHash> process_index_;
  std::unordered_map<std::string, uint32_t> thread_index_;
  std::unordered_map<uint64_t, uint32_t> threads_of_process_; /* process << 32 | thread -> 1 */
  std::vector<uint32_t> thread_counts_;                       /* distinct names per process */
  std::unordered_multimap<uint64_t, uint32_t> stack_index_;   /* hash -> stack */
  std::unordered_multimap<uint64_t, uint32_t> sum_index_;     /* hash -> sum */
  std::vector<uint64_t> words_;                               /* of the sample at hand */
};

struct SamplerFds {
  int samples = -1;
  int raw_stacks = -1;
  int counters = -1;
};

class Sampler {
 public:
  Sampler(const SamplerFds& fds, std::shared_ptr<UnwindTables> tables, ProcessTracker& tracker,
          ProcessMetadata& metadata, TableBuilder& builder, Counters& counters);
  ~Sampler();
  /* False: *error is a coded sentence. */
  bool open(std::string* error);
  void start();
  /* Ends the thread, drains once more and gives up waiting for raw stacks. */
  void stop();

  /* Drains, closes the window and opens the next. May block up to half a second for metadata. */
  std::unique_ptr<Window> collect();
  /* Totals of BPF's counters by name. */
  std::map<std::string, uint64_t, std::less<>> kernel_counters() const;

 private:
  void work();
  void drain(bool is_last);
  void take_sample(const sample_record* sample, size_t bytes);
  void take_raw(const raw_record* record, size_t bytes);
  void learn(const sample_record& sample);
  void add(const sample_record& sample, const uint64_t* words, size_t word_count, const uint64_t* kernel,
           size_t kernel_count, uint8_t result);
  void unwind_waiting(bool is_last);

  struct Late {
    std::vector<uint64_t> record; /* 8-byte aligned copy */
    size_t bytes;
    uint64_t arrived_ns;
    uint64_t next_try_ns;
  };

  SamplerFds fds_;
  std::shared_ptr<UnwindTables> tables_;
  ProcessTracker& tracker_;
  ProcessMetadata& metadata_;
  TableBuilder& builder_;
  Counters& counters_;

  mutable std::mutex mutex_; /* all below */
  std::condition_variable wake_;
  std::unique_ptr<RingReader> samples_ring_;
  std::unique_ptr<RingReader> raw_ring_;
  std::unique_ptr<Window> window_;
  std::deque<Late> late_;
  size_t late_bytes_ = 0;
  std::unordered_map<ProcessKey, uint64_t, ProcessKeyHash> learnt_; /* when last told the tracker, ns */
  bool stopping_ = false;
  bool is_stopped_ = false;
  std::thread thread_;
};

}  // namespace strobe

#endif
