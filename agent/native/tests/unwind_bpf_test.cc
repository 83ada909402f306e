/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The BPF program against real processes; needs root (CAP_BPF, CAP_PERFMON) and a kernel with BTF.
 * STROBE_ZOO_SECONDS: seconds on a CPU per class, 1 by default (1,000 samples).
 */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <linux/perf_event.h>
#include <poll.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmath>
#include <cstring>
#include <functional>
#include <iterator>
#include <map>

#include "../host_unwinder.h"
#include "check.h"
#include "profiler.skel.h"
#include "unwind_fixture.h"

using namespace strobe;

namespace {

constexpr uint32_t kSegments = 32;
constexpr uint64_t kPeriodNs = 500'000; /* 2,000 Hz */

uint64_t monotonic_ns() {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<uint64_t>(now.tv_sec) * 1000000000u + static_cast<uint64_t>(now.tv_nsec);
}

struct Sample {
  sample_record header;
  std::vector<uint64_t> words;
  std::vector<uint8_t> raw; /* a whole raw_record, or empty */
};

int quiet(enum libbpf_print_level level, const char* format, va_list arguments) {
  return level == LIBBPF_WARN ? vfprintf(stderr, format, arguments) : 0;
}

class Profiler {
 public:
  explicit Profiler(uint32_t kernel_stacks = 1, uint32_t raw_tokens = 100) {
    libbpf_set_print(quiet);
    skeleton_ = profiler_bpf__open();
    if (skeleton_ == nullptr) throw std::runtime_error("open of the skeleton");
    skeleton_->rodata->settings.kernel_stacks = kernel_stacks;
    skeleton_->rodata->settings.raw_tokens = raw_tokens;
    bpf_map__set_max_entries(skeleton_->maps.segments, kSegments);
    bpf_map__set_max_entries(skeleton_->maps.samples, 1 << 23);
    if (profiler_bpf__load(skeleton_) != 0) throw std::runtime_error("load refused");
    auto fd = [](bpf_map* map) { return bpf_map__fd(map); };
    std::string error;
    tables = UnwindTables::open({fd(skeleton_->maps.segments), fd(skeleton_->maps.pages),
                                 fd(skeleton_->maps.rules), fd(skeleton_->maps.files)},
                                kSegments, &error);
    if (tables == nullptr) throw std::runtime_error(error);
    mappings_ = static_cast<mapping_entry*>(mmap(nullptr, MAX_MAPPINGS * sizeof(mapping_entry),
                                                 PROT_READ | PROT_WRITE, MAP_SHARED,
                                                 fd(skeleton_->maps.mappings), 0));
    if (mappings_ == MAP_FAILED) throw std::runtime_error("mmap of mappings");
    ring_ = ring_buffer__new(fd(skeleton_->maps.samples), on_record, this, nullptr);
    ring_buffer__add(ring_, fd(skeleton_->maps.raw_stacks), on_record, this);
    book = std::make_unique<FileBook>(*tables);
    for (int cpu = 0; cpu < sysconf(_SC_NPROCESSORS_ONLN); cpu++) {
      perf_event_attr attr{};
      attr.size = sizeof attr;
      attr.type = PERF_TYPE_SOFTWARE;
      attr.config = PERF_COUNT_SW_CPU_CLOCK;
      attr.sample_period = kPeriodNs;
      attr.exclude_idle = 1;
      int event = static_cast<int>(syscall(SYS_perf_event_open, &attr, -1, cpu, -1, PERF_FLAG_FD_CLOEXEC));
      if (event < 0) throw std::runtime_error("perf_event_open");
      links_.push_back(bpf_program__attach_perf_event(skeleton_->progs.sample_cpu, event));
      if (links_.back() == nullptr) throw std::runtime_error("attach");
    }
  }
  ~Profiler() {
    for (bpf_link* link : links_) bpf_link__destroy(link);
    ring_buffer__free(ring_);
    tables.reset();
    if (mappings_ != nullptr && mappings_ != MAP_FAILED)
      munmap(mappings_, MAX_MAPPINGS * sizeof(mapping_entry));
    profiler_bpf__destroy(skeleton_);
  }

  /* Drains every 20 ms until done() or the time is over; keeps records of the pid. */
  std::vector<Sample> collect(
      int pid, double seconds, const std::function<bool()>& done = [] { return false; }) {
    uint64_t end = monotonic_ns() + static_cast<uint64_t>(seconds * 1e9);
    pid_ = static_cast<uint32_t>(pid);
    collected_.clear();
    ring_buffer__consume(ring_);
    collected_.clear();
    while (monotonic_ns() < end && !done()) {
      poll(nullptr, 0, 20);
      ring_buffer__consume(ring_);
    }
    return std::move(collected_);
  }

  /* A busy machine gives a process less than a CPU: waits for samples, not for a time. */
  std::vector<Sample> collect_samples(int pid, size_t samples, double limit_seconds) {
    return collect(pid, limit_seconds, [this, samples] { return collected_.size() >= samples; });
  }

  /* The first sample of an unknown process tells who it is. */
  Sample first_sight(int pid) {
    auto seen = collect(pid, 5, [this] { return !collected_.empty(); });
    if (seen.empty()) throw std::runtime_error("no sample of the workload in 5 s");
    return seen[0];
  }

  void publish(int pid, const sample_record& identity, uint32_t generation) {
    auto run = book->mappings_of(pid, generation);
    for (size_t i = 0; i < run.size(); i++) mappings_[next_mapping_ + i] = run[i];
    process_entry entry{identity.start_boottime, identity.self_exec_id, generation, next_mapping_,
                        static_cast<uint32_t>(run.size())};
    next_mapping_ += static_cast<uint32_t>(run.size());
    publish_entry(pid, entry);
  }
  void publish_entry(int pid, const process_entry& entry) {
    auto key = static_cast<uint32_t>(pid);
    last_entry = entry;
    if (bpf_map_update_elem(bpf_map__fd(skeleton_->maps.processes), &key, &entry, BPF_ANY) != 0)
      throw std::runtime_error("update of processes");
  }
  /* As if its worker had not come to it yet. */
  void make_pending(uint32_t file) {
    uint32_t slot = file & (MAX_FILES - 1);
    unwind_file entry = *tables->file_at(slot);
    entry.state = FILE_PENDING;
    bpf_map_update_elem(bpf_map__fd(skeleton_->maps.files), &slot, &entry, BPF_ANY);
  }
  uint64_t counter(uint32_t which) {
    std::vector<uint64_t> values(static_cast<size_t>(libbpf_num_possible_cpus()));
    bpf_map_lookup_elem(bpf_map__fd(skeleton_->maps.counters), &which, values.data());
    uint64_t sum = 0;
    for (uint64_t value : values) sum += value;
    return sum;
  }
  bpf_prog_info program_info() {
    bpf_prog_info info{};
    uint32_t bytes = sizeof info;
    bpf_obj_get_info_by_fd(bpf_program__fd(skeleton_->progs.sample_cpu), &info, &bytes);
    return info;
  }

  std::unique_ptr<UnwindTables> tables;
  std::unique_ptr<FileBook> book;
  process_entry last_entry{};

 private:
  static int on_record(void* self, void* data, size_t bytes) {
    static_cast<Profiler*>(self)->keep(data, bytes);
    return 0;
  }
  void keep(void* data, size_t bytes) {
    if (bytes < sizeof(sample_record)) throw std::runtime_error("short record");
    Sample sample;
    std::memcpy(&sample.header, data, sizeof(sample_record));
    if (sample.header.pid != pid_) return;
    const auto* from = static_cast<const uint8_t*>(data);
    if (sample.header.type == RECORD_RAW) {
      sample.raw.assign(from, from + bytes);
    } else {
      size_t words = size_t{sample.header.user_words} + sample.header.kernel_frames;
      if (bytes != sizeof(sample_record) + words * 8) throw std::runtime_error("record of a wrong size");
      sample.words.resize(words);
      std::memcpy(sample.words.data(), from + sizeof(sample_record), words * 8);
    }
    collected_.push_back(std::move(sample));
  }

  profiler_bpf* skeleton_ = nullptr;
  ring_buffer* ring_ = nullptr;
  mapping_entry* mappings_ = nullptr;
  uint32_t next_mapping_ = 0;
  std::vector<bpf_link*> links_;
  uint32_t pid_ = 0;
  std::vector<Sample> collected_;
};

/* A workload that wrote its first line; killed at the end. */
class Workload {
 public:
  explicit Workload(const std::vector<std::string>& command) {
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0) throw std::runtime_error("pipe");
    pid_ = fork();
    if (pid_ == 0) {
      dup2(ends[1], 1);
      std::vector<char*> arguments;
      for (const auto& word : command) arguments.push_back(const_cast<char*>(word.c_str()));
      arguments.push_back(nullptr);
      execv(arguments[0], arguments.data());
      _exit(127);
    }
    close(ends[1]);
    char byte;
    ssize_t n = read(ends[0], &byte, 1);
    close(ends[0]);
    if (n != 1) throw std::runtime_error("the workload did not start: " + command[0]);
  }
  ~Workload() {
    kill(pid_, SIGKILL);
    waitpid(pid_, nullptr, 0);
  }
  int pid() const { return pid_; }

 private:
  int pid_;
};

std::string directory_of(const std::string& path) {
  size_t slash = path.rfind('/');
  return slash == std::string::npos ? "." : path.substr(0, slash);
}

/* The zoo, built once into a folder of its own. */
const std::string& zoo() {
  static const std::string path = [] {
    char folder[] = "/tmp/strobe-zoo-XXXXXX";
    if (mkdtemp(folder) == nullptr) throw std::runtime_error("mkdtemp");
    std::string out = std::string(folder) + "/zoo";
    std::string source = directory_of(__FILE__) + "/../../../test/workloads/native/zoo.cpp";
    const char* flags = getenv("STROBE_ZOO_CXX");
    std::string compiler = flags != nullptr ? flags : "g++ -O2 -g -fomit-frame-pointer";
    std::string command = compiler + " -pthread '" + source + "' -o '" + out + "'";
    if (system(command.c_str()) != 0) throw std::runtime_error("build of the zoo: " + command);
    return out;
  }();
  return path;
}
struct ZooRemover {
  ~ZooRemover() {
    if (path.empty()) return;
    unlink(path.c_str());
    rmdir(directory_of(path).c_str());
  }
  std::string path;
} zoo_remover;

bool is_complete(uint8_t result) { return result == RESULT_COMPLETE_STOP || result == RESULT_COMPLETE_ZERO; }

void need_root() {
  if (geteuid() != 0) SKIP("needs root: BPF and perf events of all processes");
  if (access("/sys/kernel/btf/vmlinux", R_OK) != 0) SKIP("the kernel has no BTF");
  zoo_remover.path = zoo();
}

struct Symbol {
  uint64_t start, end;
  std::string name;
};
/* Functions of a binary by nm, an independent reader. vaddrs. */
std::vector<Symbol> symbols_of(const std::string& path) {
  std::vector<Symbol> all;
  FILE* pipe = popen(("nm -CS --defined-only '" + path + "'").c_str(), "r");
  char line[1024], name[512];
  uint64_t start, size;
  while (pipe != nullptr && fgets(line, sizeof line, pipe) != nullptr)
    if (std::sscanf(line, "%" SCNx64 " %" SCNx64 " %*c %511[^(\n]", &start, &size, name) == 3)
      all.push_back({start, start + size, name});
  if (pipe != nullptr) pclose(pipe);
  return all;
}

std::string name_of(const std::vector<Symbol>& symbols, uint64_t vaddr) {
  for (const Symbol& symbol : symbols)
    if (vaddr >= symbol.start && vaddr < symbol.end) return symbol.name;
  return "?";
}

struct Tally {
  uint64_t samples = 0, complete = 0, left_out = 0, frames = 0;
  std::map<int, uint64_t> results;
};
Tally tally(const std::vector<Sample>& samples) {
  Tally out;
  for (const Sample& sample : samples) {
    int result = sample.header.result;
    out.results[result]++;
    if (result == RESULT_EXITING || result == RESULT_KERNEL_THREAD) {
      out.left_out++;
      continue;
    }
    out.samples++;
    out.frames += sample.header.user_words;
    if (is_complete(sample.header.result)) out.complete++;
  }
  return out;
}

}  // namespace

TEST("the program loads, and the verifier's work is within its budget") {
  need_root();
  Profiler profiler;
  bpf_prog_info info = profiler.program_info();
  std::printf("  verified instructions %u, jited %u bytes\n", info.verified_insns, info.jited_prog_len);
  CHECK(info.verified_insns > 0);
  CHECK(info.verified_insns < 100000);
}

TEST("a known chain without frame pointers is whole and in order in >= 99% of its samples") {
  need_root();
  Profiler profiler;
  Workload workload({zoo(), "chain"});
  profiler.publish(workload.pid(), profiler.first_sight(workload.pid()).header, 1);
  auto samples = profiler.collect(workload.pid(), 3);
  Tally all = tally(samples);
  CHECK(all.samples > 1000);
  std::vector<Symbol> symbols = symbols_of(zoo());
  uint32_t file = profiler.book->id_of(zoo());
  uint64_t lowest = profiler.tables->file_at(file)->lowest_vaddr;
  uint64_t in_chain = 0, whole = 0;
  std::string wrong;
  for (const Sample& sample : samples) {
    std::vector<std::string> names;
    for (size_t i = 0; i < sample.header.user_words; i++) {
      uint64_t word = sample.words[i];
      bool is_own = (word >> FRAME_FILE_SHIFT & FRAME_FILE_MASK) == file;
      names.push_back(is_own ? name_of(symbols, (word & FRAME_VADDR_MASK) + lowest) : "libc");
    }
    while (!names.empty() && (names[0] == "libc" || names[0].find("spin") != std::string::npos))
      names.erase(names.begin());
    if (names.empty() || names[0] != "chain_leaf") continue;
    in_chain++;
    std::string joined;
    for (const auto& name : names) joined += name + " ";
    if (joined == "chain_leaf chain_c chain_b chain_a run_chain main libc libc _start ")
      whole++;
    else
      wrong = joined;
  }
  std::printf("  %llu samples, %llu in the chain, %llu whole; %.1f frames a sample\n",
              static_cast<unsigned long long>(all.samples), static_cast<unsigned long long>(in_chain),
              static_cast<unsigned long long>(whole),
              static_cast<double>(all.frames) / static_cast<double>(all.samples));
  if (!wrong.empty()) std::printf("  another: %s\n", wrong.c_str());
  CHECK(in_chain * 100 >= all.samples * 95);
  CHECK(whole * 1000 >= in_chain * 999);
  CHECK(all.complete * 100 >= all.samples * 99);
}

TEST("samples before the tables come raw and are unwound late") {
  need_root();
  Profiler profiler;
  Workload workload({zoo(), "chain"});
  auto samples = profiler.collect(workload.pid(), 1.5);
  auto run = profiler.book->mappings_of(workload.pid(), 1);
  uint64_t raw = 0, whole = 0;
  for (const Sample& sample : samples) {
    CHECK_EQUAL(+sample.header.result, static_cast<int>(RESULT_NO_PROCESS));
    if (sample.raw.empty()) continue;
    raw++;
    LateStack stack = unwind_late(*profiler.tables, reinterpret_cast<const raw_record*>(sample.raw.data()),
                                  sample.raw.size(), run.data(), run.size());
    if (is_complete(stack.result) && stack.words.size() >= 8) whole++;
  }
  std::printf("  %zu samples, %llu raw, %llu whole\n", samples.size(), static_cast<unsigned long long>(raw),
              static_cast<unsigned long long>(whole));
  CHECK(samples.size() > 500);
  /* 100 tokens a second. */
  CHECK(raw >= 100 && raw <= 300);
  CHECK(whole * 100 >= raw * 99);
}

TEST("a table still to be built gives raw stacks that say so") {
  need_root();
  Profiler profiler;
  Workload workload({zoo(), "chain"});
  auto identity = profiler.first_sight(workload.pid()).header;
  profiler.publish(workload.pid(), identity, 1);
  profiler.make_pending(profiler.book->id_of(zoo()));
  auto samples = profiler.collect(workload.pid(), 0.5);
  uint64_t raw = 0;
  for (const Sample& sample : samples) {
    if (sample.header.result == RESULT_TABLE_PENDING && !sample.raw.empty()) raw++;
  }
  CHECK(samples.size() > 50);
  CHECK(raw >= 10);
  CHECK_EQUAL(tally(samples).complete, 0u);
}

TEST("an entry of another image or of another start is not used") {
  need_root();
  Profiler profiler;
  Workload workload({zoo(), "chain"});
  auto identity = profiler.first_sight(workload.pid()).header;
  profiler.publish(workload.pid(), identity, 1);
  process_entry right = profiler.last_entry;
  auto only_result = [&](const process_entry& entry) {
    profiler.publish_entry(workload.pid(), entry);
    auto samples = profiler.collect(workload.pid(), 0.4);
    CHECK(samples.size() > 50);
    Tally all = tally(samples);
    for (const auto& [result, count] : all.results)
      if (count * 100 > samples.size() * 98) return result;
    return -1;
  };
  CHECK_EQUAL(only_result(right), static_cast<int>(RESULT_COMPLETE_STOP));
  process_entry later = right;
  later.start_boottime += 1000000000;
  CHECK_EQUAL(only_result(later), static_cast<int>(RESULT_COMPLETE_STOP)); /* an upper bound */
  process_entry earlier = right;
  earlier.start_boottime -= 1;
  CHECK_EQUAL(only_result(earlier), static_cast<int>(RESULT_NO_PROCESS));
  process_entry other_image = right;
  other_image.self_exec_id += 1;
  CHECK_EQUAL(only_result(other_image), static_cast<int>(RESULT_NO_PROCESS));
  process_entry other_run = right;
  other_run.generation += 1;
  CHECK_EQUAL(only_result(other_run), static_cast<int>(RESULT_RACED));
}

/* While libgcc installs the context of a landing pad it overwrites saved slots and return addresses
 * of live frames (uw_install_context): what lies there is then no stack, 0.1-1% of a throw-bound loop. */
double floor_of(const std::string& name) { return name == "exception" ? 98 : 99; }

TEST("every class of the zoo is complete in >= 99% of its samples, throwing in >= 98%") {
  need_root();
  const char* setting = getenv("STROBE_ZOO_SECONDS");
  double seconds = setting != nullptr ? std::atof(setting) : 1;
  Profiler profiler;
  int stats = bpf_enable_stats(BPF_STATS_RUN_TIME);
  std::istringstream classes([] {
    std::string text;
    FILE* pipe = popen(zoo().c_str(), "r");
    char line[256];
    while (pipe != nullptr && fgets(line, sizeof line, pipe) != nullptr) text += line;
    if (pipe != nullptr) pclose(pipe);
    return text;
  }());
  uint64_t samples = 0, complete = 0;
  std::string failing;
  uint32_t generation = 1;
  for (std::string name; classes >> name;) {
    Workload workload({zoo(), name});
    profiler.publish(workload.pid(), profiler.first_sight(workload.pid()).header, generation++);
    bpf_prog_info before = profiler.program_info();
    auto seen = profiler.collect_samples(workload.pid(), static_cast<size_t>(1000 * seconds), 10 * seconds);
    bpf_prog_info after = profiler.program_info();
    Tally all = tally(seen);
    samples += all.samples;
    complete += all.complete;
    double share =
        100.0 * static_cast<double>(all.complete) / static_cast<double>(std::max<uint64_t>(1, all.samples));
    std::string others;
    for (const auto& [result, count] : all.results)
      if (!is_complete(static_cast<uint8_t>(result)))
        others += " result" + std::to_string(result) + "=" + std::to_string(count);
    uint64_t runs = after.run_cnt - before.run_cnt;
    std::printf("  %-14s %6llu samples %8.3f%% complete %6.1f words %6.0f ns/run%s\n", name.c_str(),
                static_cast<unsigned long long>(all.samples), share,
                static_cast<double>(all.frames) / static_cast<double>(std::max<uint64_t>(1, all.samples)),
                runs == 0
                    ? 0
                    : static_cast<double>(after.run_time_ns - before.run_time_ns) / static_cast<double>(runs),
                others.c_str());
    std::fflush(stdout);
    if (all.samples < 50 || share < floor_of(name)) failing += name + " ";
  }
  if (stats >= 0) close(stats);
  std::printf("  all %llu samples %.3f%% complete; lost %llu, raced %llu\n",
              static_cast<unsigned long long>(samples),
              100.0 * static_cast<double>(complete) / static_cast<double>(std::max<uint64_t>(1, samples)),
              static_cast<unsigned long long>(profiler.counter(COUNTER_SAMPLES_LOST)),
              static_cast<unsigned long long>(profiler.counter(COUNTER_RACED)));
  CHECK_EQUAL(failing, std::string());
}

TEST("a stack deeper than the limit keeps its leaf side and says so") {
  need_root();
  Profiler profiler;
  Workload workload({zoo(), "deep", "3000"});
  profiler.publish(workload.pid(), profiler.first_sight(workload.pid()).header, 1);
  auto samples = profiler.collect(workload.pid(), 1);
  std::vector<Symbol> symbols = symbols_of(zoo());
  uint64_t lowest = profiler.tables->file_at(profiler.book->id_of(zoo()))->lowest_vaddr;
  uint64_t truncated = 0, in_recursion = 0;
  for (const Sample& sample : samples) {
    if (sample.header.result != RESULT_TRUNCATED) continue;
    truncated++;
    CHECK_EQUAL(+sample.header.user_words, MAX_STACK_WORDS);
    /* Seldom a sample meets the recursion on its way down, with just main or libc at the limit. */
    uint64_t last = sample.words[MAX_STACK_WORDS - 1];
    if (name_of(symbols, (last & FRAME_VADDR_MASK) + lowest) == "recurse") in_recursion++;
  }
  CHECK(samples.size() > 100);
  CHECK(truncated * 100 > samples.size() * 50);
  CHECK(in_recursion * 100 >= truncated * 99);
}

TEST("system calls bring kernel frames, and none when they are off") {
  need_root();
  for (uint32_t kernel_stacks : {1u, 0u}) {
    Profiler profiler(kernel_stacks);
    Workload workload({zoo(), "syscall"});
    profiler.publish(workload.pid(), profiler.first_sight(workload.pid()).header, 1);
    uint64_t with_kernel = 0;
    for (const Sample& sample : profiler.collect(workload.pid(), 0.5)) {
      if (sample.header.kernel_frames == 0) continue;
      with_kernel++;
      /* Addresses of the kernel's half. */
      for (size_t i = 0; i < sample.header.kernel_frames; i++)
        CHECK(sample.words[sample.header.user_words + i] >> 63 == 1);
    }
    CHECK_EQUAL(with_kernel > 0, kernel_stacks == 1);
  }
}
