/* SPDX-License-Identifier: Apache-2.0 */
#include "table_builder.h"

#include <pthread.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <map>
#include <string>
#include <unordered_map>
#include <unordered_set>

#include "owned.h"

namespace strobe {

namespace {
constexpr uint64_t kStuckNs = 10'000'000'000ULL;
constexpr unsigned kMaxStuck = 4;
/* A file id stands in each queue at most once, and there are at most MAX_FILES ids. */
constexpr uint64_t kEagerBytes = 16u << 20;
constexpr int kWorkerNice = 5;

std::string counter_reason(const std::string& reason) {
  std::string name = reason.substr(0, reason.find(':'));
  for (char& c : name) c = static_cast<char>(tolower(static_cast<unsigned char>(c)));
  return name;
}
}  // namespace

struct TableBuilder::Shared {
  std::shared_ptr<UnwindTables> tables;
  std::shared_ptr<FileTable> files;
  std::shared_ptr<Counters> counters;
  std::function<void(uint32_t)> on_placed;

  mutable std::mutex mutex;
  std::condition_variable wake;
  std::deque<uint32_t> to_open;
  std::multimap<uint64_t, uint32_t> demanded;     /* by size; to build, samples wait for them */
  std::multimap<uint64_t, uint32_t> to_build;     /* by size */
  std::unordered_map<uint32_t, uint64_t> waiting; /* id -> size: in to_build, or left until demanded */
  std::unordered_set<uint32_t> demanded_early;    /* before they could be built */
  std::unordered_map<uint32_t, std::string> open_failures; /* until enqueue_build */
  uint64_t worker = 0;                                     /* only this one works on */
  uint64_t opening_since = 0;                              /* ns; 0: not in a call that can hang */
  uint64_t built = 0;
  bool stopping = false;

  void set_opening(uint64_t since) {
    std::lock_guard<std::mutex> lock(mutex);
    opening_since = since;
  }
  uint32_t take_build();
  void open_file(uint32_t id);
  void build_file(uint32_t id);
};

uint32_t TableBuilder::Shared::take_build() {
  std::multimap<uint64_t, uint32_t>& queue = demanded.empty() ? to_build : demanded;
  uint32_t id = queue.begin()->second;
  queue.erase(queue.begin());
  waiting.erase(id);
  return id;
}

void TableBuilder::Shared::open_file(uint32_t id) {
  std::string reason;
  auto file = files->open(id, &reason);
  if (file) {
    files->opened(id, std::move(file));
    return;
  }
  bool is_not_elf = reason.rfind("ELF_MAGIC", 0) == 0 || reason.rfind("ELF_READ", 0) == 0;
  files->failed(id, is_not_elf ? FileStage::kNotElf : FileStage::kFailed, reason);
  counters->add((is_not_elf ? "file_not_elf_" : "file_open_failed_") + counter_reason(reason));
  std::lock_guard<std::mutex> lock(mutex);
  open_failures[id] = reason;
}

void TableBuilder::Shared::build_file(uint32_t id) {
  bool has_failed;
  {
    std::lock_guard<std::mutex> lock(mutex);
    has_failed = open_failures.erase(id) != 0;
  }
  auto info = files->find(id);
  if (has_failed) {
    tables->mark_frame_pointers(id, 0, UnwindReason::kOpenFailed);
  } else if (info && info->id == id && info->stage == FileStage::kPlaced) {
    std::string reason;
    auto file = files->open(id, &reason);
    if (!file) {
      tables->mark_frame_pointers(id, info->lowest_vaddr, UnwindReason::kOpenFailed);
      files->built(id, FileStage::kFramePointers, reason);
      counters->add("file_open_failed_" + counter_reason(reason));
    } else {
      BuildResult result = tables->build(id, *file->image);
      bool is_ready = result.state == FILE_READY;
      files->built(id, is_ready ? FileStage::kReady : FileStage::kFramePointers,
                   is_ready ? "" : unwind_reason_name(result.reason));
      counters->add(is_ready ? "tables_built" : "tables_frame_pointers");
      counters->add("table_build_ns", result.elapsed_ns);
      if (result.malformed_entries) counters->add("table_malformed_entries", result.malformed_entries);
    }
  } else {
    return; /* an alias, or built already */
  }
  std::lock_guard<std::mutex> lock(mutex);
  built++;
}

TableBuilder::TableBuilder(std::shared_ptr<UnwindTables> tables, std::shared_ptr<FileTable> files,
                           std::shared_ptr<Counters> counters)
    : shared_(std::make_shared<Shared>()) {
  shared_->tables = std::move(tables);
  shared_->files = std::move(files);
  shared_->counters = std::move(counters);
}

TableBuilder::~TableBuilder() { stop(); }

void TableBuilder::work(std::shared_ptr<Shared> shared, uint64_t worker) {
  pthread_setname_np(pthread_self(), "strobe-files");
  std::unique_lock<std::mutex> lock(shared->mutex);
  for (;;) {
    shared->wake.wait(
        lock, [&] { return shared->stopping || shared->worker != worker || !shared->to_open.empty(); });
    if (shared->stopping || shared->worker != worker) return;
    uint32_t id = shared->to_open.front();
    shared->to_open.pop_front();
    shared->opening_since = clock_ns(CLOCK_MONOTONIC);
    lock.unlock();
    shared->open_file(id);
    shared->on_placed(id);
    lock.lock();
    if (shared->worker == worker) shared->opening_since = 0;
  }
}

void TableBuilder::work_builds(std::shared_ptr<Shared> shared) {
  pthread_setname_np(pthread_self(), "strobe-tables");
  setpriority(PRIO_PROCESS, static_cast<id_t>(syscall(SYS_gettid)), kWorkerNice);
  std::unique_lock<std::mutex> lock(shared->mutex);
  for (;;) {
    shared->wake.wait(
        lock, [&] { return shared->stopping || !shared->demanded.empty() || !shared->to_build.empty(); });
    if (shared->stopping) return;
    uint32_t id = shared->take_build();
    lock.unlock();
    shared->build_file(id);
    lock.lock();
  }
}

void TableBuilder::spawn() {
  uint64_t worker;
  {
    std::lock_guard<std::mutex> lock(shared_->mutex);
    worker = ++shared_->worker;
    shared_->opening_since = 0;
  }
  thread_ = std::thread(work, shared_, worker);
}

void TableBuilder::start(std::function<void(uint32_t file)> on_placed) {
  shared_->on_placed = std::move(on_placed);
  builds_ = std::thread(work_builds, shared_);
  spawn();
}

void TableBuilder::stop() {
  bool is_stuck;
  {
    std::lock_guard<std::mutex> lock(shared_->mutex);
    shared_->stopping = true;
    is_stuck =
        shared_->opening_since != 0 && clock_ns(CLOCK_MONOTONIC) - shared_->opening_since > kStuckNs / 5;
  }
  shared_->wake.notify_all();
  if (builds_.joinable()) builds_.join();
  if (!thread_.joinable()) return;
  if (is_stuck)
    thread_.detach();
  else
    thread_.join();
}

void TableBuilder::watch() {
  {
    std::lock_guard<std::mutex> lock(shared_->mutex);
    if (shared_->stopping || shared_->opening_since == 0 ||
        clock_ns(CLOCK_MONOTONIC) - shared_->opening_since < kStuckNs || stuck_ >= kMaxStuck)
      return;
  }
  stuck_++;
  shared_->counters->add("file_open_stuck");
  thread_.detach();
  spawn();
}

void TableBuilder::enqueue(uint32_t file) {
  {
    std::lock_guard<std::mutex> lock(shared_->mutex);
    shared_->to_open.push_back(file);
  }
  shared_->wake.notify_all();
}

void TableBuilder::enqueue_build(uint32_t file) {
  auto info = shared_->files->find(file);
  {
    std::lock_guard<std::mutex> lock(shared_->mutex);
    uint64_t size = info ? info->size : 0;
    if (shared_->demanded_early.erase(file) != 0) {
      shared_->demanded.emplace(size, file);
    } else if (shared_->waiting.emplace(file, size).second && size <= kEagerBytes) {
      shared_->to_build.emplace(size, file);
    }
  }
  shared_->wake.notify_all();
}

void TableBuilder::demand(uint32_t file) {
  {
    std::lock_guard<std::mutex> lock(shared_->mutex);
    auto waiting = shared_->waiting.find(file);
    if (waiting == shared_->waiting.end()) {
      /* Built, being built, or not placed yet. */
      auto info = shared_->files->find(file);
      if (info && info->stage == FileStage::kUnknown) shared_->demanded_early.insert(file);
      return;
    }
    auto [from, to] = shared_->to_build.equal_range(waiting->second);
    for (; from != to; ++from) {
      if (from->second != file) continue;
      shared_->to_build.erase(from);
      break;
    }
    shared_->demanded.emplace(waiting->second, file);
    shared_->waiting.erase(waiting);
  }
  shared_->wake.notify_all();
}

uint64_t TableBuilder::built() const {
  std::lock_guard<std::mutex> lock(shared_->mutex);
  return shared_->built;
}

size_t TableBuilder::queued() const {
  std::lock_guard<std::mutex> lock(shared_->mutex);
  return shared_->to_open.size() + shared_->demanded.size() + shared_->to_build.size();
}

}  // namespace strobe
