/* SPDX-License-Identifier: Apache-2.0 */
#include "process_tracker.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/perf_event.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <algorithm>
#include <charconv>
#include <string_view>

#include "../../bpf/profiler/types.h"
#include "bpf_maps.h"
#include "small_file.h"

namespace strobe {

namespace {

/* perf_event_mlock_kb (516) allows this much for each CPU without CAP_IPC_LOCK; halved while refused. */
constexpr size_t kRingPages = 128;
constexpr size_t kMinRingPages = 8;
constexpr size_t kMaxMappings = 4096; /* of one process; the rest is dropped and counted */
constexpr size_t kMaxProcesses = MAX_PROCESSES;
constexpr size_t kMaxImages = 32; /* of one process, for samples that come late */
constexpr uint64_t kKeepImageNs = 5'000'000'000ULL;
constexpr uint64_t kDoubtNs = 5'000'000'000ULL;
constexpr uint64_t kRescanNs = 500'000'000ULL;
constexpr size_t kMaxMapsBytes = 16u << 20;
constexpr size_t kMaxPath = 4096;
constexpr size_t kBatch = 128;
constexpr int kIdleTimeoutMs = 50;
constexpr uint64_t kBusyTickNs = 5'000'000ULL;
/* Above this many records in a tick, waiting for the next tick costs less than a wake for each. */
constexpr size_t kBusyRecords = 8;

bool parse_number(std::string_view& text, uint64_t* value, int base) {
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), *value, base);
  if (error != std::errc()) return false;
  text.remove_prefix(static_cast<size_t>(end - text.data()));
  return true;
}

bool take(std::string_view& text, char expected) {
  if (text.empty() || text[0] != expected) return false;
  text.remove_prefix(1);
  return true;
}

enum class MappedName { kFile, kVdso, kAnonymous, kIgnored };

MappedName kind_of(std::string_view name) {
  if (name == "[vdso]") return MappedName::kVdso;
  if (name == "[vsyscall]") return MappedName::kIgnored;
  if (name.empty() || name[0] != '/') return MappedName::kAnonymous;
  /* '//anon' is the side-band's; shared anonymous memory has no code of a file. */
  if (name.rfind("//anon", 0) == 0 || name.rfind("/dev/zero", 0) == 0 || name.rfind("/SYSV", 0) == 0)
    return MappedName::kAnonymous;
  return MappedName::kFile;
}

std::string clean_path(std::string_view path) {
  constexpr std::string_view kDeleted = " (deleted)";
  if (path.size() > kDeleted.size() && path.substr(path.size() - kDeleted.size()) == kDeleted)
    path.remove_suffix(kDeleted.size());
  return std::string(path.substr(0, kMaxPath));
}

struct MapsLine {
  uint64_t start, end, pgoff, major, minor, inode;
  bool is_executable;
  std::string_view name;
};

/* 'start-end perms pgoff major:minor inode   name' */
bool parse_maps_line(std::string_view line, MapsLine* out) {
  if (!parse_number(line, &out->start, 16) || !take(line, '-') || !parse_number(line, &out->end, 16) ||
      !take(line, ' ') || line.size() < 5)
    return false;
  out->is_executable = line[2] == 'x';
  line.remove_prefix(4);
  if (!take(line, ' ') || !parse_number(line, &out->pgoff, 16) || !take(line, ' ') ||
      !parse_number(line, &out->major, 16) || !take(line, ':') || !parse_number(line, &out->minor, 16) ||
      !take(line, ' ') || !parse_number(line, &out->inode, 10))
    return false;
  size_t name = line.find_first_not_of(' ');
  out->name = name == std::string_view::npos ? std::string_view() : line.substr(name);
  return out->end > out->start;
}

std::string hex_of(const uint8_t* bytes, size_t count) {
  static const char digits[] = "0123456789abcdef";
  std::string text;
  for (size_t i = 0; i < count; i++) {
    text += digits[bytes[i] >> 4];
    text += digits[bytes[i] & 15];
  }
  return text;
}

uint32_t load_u32(const uint8_t* from) {
  uint32_t value;
  memcpy(&value, from, sizeof value);
  return value;
}

uint64_t load_u64(const uint8_t* from) {
  uint64_t value;
  memcpy(&value, from, sizeof value);
  return value;
}

std::string bounded_string(const uint8_t* from, size_t bytes) {
  return std::string(reinterpret_cast<const char*>(from),
                     strnlen(reinterpret_cast<const char*>(from), bytes));
}

}  // namespace

ProcessTracker::ProcessTracker(std::shared_ptr<MappingArena> arena, int processes_fd,
                               std::shared_ptr<FileTable> files, TableBuilder& builder, Counters& counters)
    : arena_(std::move(arena)),
      processes_fd_(processes_fd),
      files_(std::move(files)),
      builder_(builder),
      counters_(counters),
      record_(65536) {}

ProcessTracker::~ProcessTracker() { stop(); }

bool ProcessTracker::open(const std::vector<int>& side_band_fds, std::string* error) {
  event_ = OwnedFd(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!event_) {
    *error = std::string("MAP_FAILED: eventfd: ") + strerror(errno);
    return false;
  }
  const size_t page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
  for (int fd : side_band_fds) {
    OwnedMapping memory;
    size_t pages = kRingPages;
    for (; pages >= kMinRingPages && !memory; pages /= 2) {
      size_t bytes = (pages + 1) * page;
      memory = OwnedMapping(mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0), bytes);
    }
    if (!memory) {
      *error = "MAP_FAILED: side-band ring of descriptor " + std::to_string(fd) + ": " + strerror(errno);
      return false;
    }
    uint64_t data_bytes = memory.bytes() - page;
    rings_.push_back({fd, std::move(memory), data_bytes, 0, 0});
  }
  return true;
}

void ProcessTracker::start() {
  is_full_scan_wanted_ = true;
  tracker_ = std::thread([this] { track(); });
  scanner_ = std::thread([this] { scan(); });
}

void ProcessTracker::stop() {
  stopping_ = true;
  if (event_) wake();
  {
    std::lock_guard<std::mutex> lock(scan_mutex_);
    scan_wake_.notify_all();
  }
  if (tracker_.joinable()) tracker_.join();
  if (scanner_.joinable()) scanner_.join();
}

void ProcessTracker::wake() {
  uint64_t one = 1;
  /* Full means a wake is pending already. */
  if (write(event_.get(), &one, sizeof one) < 0 && errno != EAGAIN) counters_.add("tracker_wake_failed");
}

void ProcessTracker::learn(const SampleIdentity& identity) {
  {
    std::lock_guard<std::mutex> lock(command_mutex_);
    if (learn_queue_.size() >= kMaxProcesses) return counters_.add("learn_dropped");
    learn_queue_.push_back(identity);
  }
  wake();
}

void ProcessTracker::file_placed(uint32_t file) {
  {
    std::lock_guard<std::mutex> lock(command_mutex_);
    placed_queue_.push_back(file);
  }
  wake();
}

/* ---- the tracking thread ---- */

void ProcessTracker::track() {
  pthread_setname_np(pthread_self(), "strobe-track");
  sched_param priority{};
  priority.sched_priority = 1;
  if (pthread_setschedparam(pthread_self(), SCHED_FIFO, &priority) != 0)
    counters_.add("tracker_not_realtime");
  std::vector<pollfd> polled;
  polled.reserve(rings_.size() + 1);
  for (const Ring& ring : rings_) polled.push_back({ring.fd, POLLIN, 0});
  polled.push_back({event_.get(), POLLIN, 0});
  bool is_busy = false;
  while (!stopping_) {
    if (is_busy) {
      timespec tick{0, static_cast<long>(kBusyTickNs)};
      nanosleep(&tick, nullptr);
    } else {
      poll(polled.data(), polled.size(), kIdleTimeoutMs);
    }
    uint64_t events;
    if (read(event_.get(), &events, sizeof events) < 0 && errno != EAGAIN)
      counters_.add("tracker_wake_failed");
    uint64_t began_ns = clock_ns(CLOCK_MONOTONIC);
    size_t handled = merge_rings();
    handle_commands();
    check_doubtful(began_ns);
    /* Records per tick: a wake for each costs more than it gains above a few hundred a second. */
    is_busy = handled >= kBusyRecords;
  }
}

bool ProcessTracker::peek(const Ring& ring, uint64_t* time_ns, uint32_t* bytes) const {
  if (ring.tail >= ring.head) return false;
  const auto* data = static_cast<const uint8_t*>(ring.memory.get()) + (ring.memory.bytes() - ring.data_bytes);
  /* Records are 8-byte aligned and the ring is a power of two: a word never wraps. */
  perf_event_header header;
  memcpy(&header, data + (ring.tail & (ring.data_bytes - 1)), sizeof header);
  *bytes = header.size;
  if (header.size < sizeof header + 8 || ring.tail + header.size > ring.head) return false;
  *time_ns = load_u64(data + ((ring.tail + header.size - 8) & (ring.data_bytes - 1)));
  return true;
}

size_t ProcessTracker::merge_rings() {
  uint64_t limit_ns = clock_ns(CLOCK_MONOTONIC);
  for (Ring& ring : rings_) {
    auto* page = static_cast<perf_event_mmap_page*>(ring.memory.get());
    ring.head = __atomic_load_n(&page->data_head, __ATOMIC_ACQUIRE);
    ring.tail = page->data_tail;
  }
  size_t handled = 0;
  bool is_done = false;
  while (!is_done) {
    std::lock_guard<std::mutex> lock(state_mutex_);
    for (size_t i = 0; i < kBatch; i++) {
      Ring* oldest = nullptr;
      uint64_t oldest_ns = UINT64_MAX;
      uint32_t oldest_bytes = 0;
      for (Ring& ring : rings_) {
        uint64_t time_ns;
        uint32_t bytes;
        if (!peek(ring, &time_ns, &bytes) || time_ns > limit_ns || time_ns >= oldest_ns) continue;
        oldest = &ring;
        oldest_ns = time_ns;
        oldest_bytes = bytes;
      }
      if (!oldest) {
        is_done = true;
        break;
      }
      auto* page = static_cast<perf_event_mmap_page*>(oldest->memory.get());
      const auto* data =
          static_cast<const uint8_t*>(oldest->memory.get()) + (oldest->memory.bytes() - oldest->data_bytes);
      uint64_t at = oldest->tail & (oldest->data_bytes - 1);
      size_t straight = std::min<size_t>(oldest_bytes, oldest->data_bytes - at);
      memcpy(record_.data(), data + at, straight);
      memcpy(record_.data() + straight, data, oldest_bytes - straight);
      oldest->tail += oldest_bytes;
      __atomic_store_n(&page->data_tail, oldest->tail, __ATOMIC_RELEASE);
      handle(record_.data(), oldest_bytes, oldest_ns);
      handled++;
    }
    publish_dirty();
  }
  merged_until_ns_.store(limit_ns, std::memory_order_release);
  if (handled) counters_.add("side_band_records", handled);
  return handled;
}

void ProcessTracker::handle(const uint8_t* record, size_t bytes, uint64_t time_ns) {
  perf_event_header header;
  memcpy(&header, record, sizeof header);
  const uint8_t* body = record + sizeof header;
  size_t body_bytes = bytes - sizeof header - 8; /* without the time */
  switch (header.type) {
    case PERF_RECORD_MMAP2:
      handle_mmap(body, body_bytes, header.misc, time_ns);
      break;
    case PERF_RECORD_COMM:
      if ((header.misc & PERF_RECORD_MISC_COMM_EXEC) != 0 && body_bytes > 8)
        handle_exec(load_u32(body), bounded_string(body + 8, body_bytes - 8), time_ns);
      break;
    case PERF_RECORD_FORK:
      /* pid, pid of the forking process, tid, tid of the forking thread */
      if (body_bytes >= 16 && load_u32(body) != load_u32(body + 4))
        handle_fork(load_u32(body), load_u32(body + 4), time_ns);
      break;
    case PERF_RECORD_EXIT:
      /* A leader can exit before its threads: /proc says later whether the process is gone. */
      if (body_bytes >= 16 && load_u32(body) == load_u32(body + 8)) {
        auto found = processes_.find(load_u32(body));
        if (found != processes_.end())
          doubtful_.push_back({found->first, clock_ns(CLOCK_MONOTONIC) + kDoubtNs, found->second.created_ns});
      }
      break;
    case PERF_RECORD_LOST: {
      counters_.add("side_band_lost", body_bytes >= 16 ? load_u64(body + 8) : 1);
      /* Forks, execs or mappings are missing: nothing known is trusted until it was scanned. */
      for (auto& [pid, process] : processes_) {
        unpublish(process);
        process.is_incomplete = true;
        process.base = std::make_shared<ExecBase>();
        doubtful_.push_back({pid, clock_ns(CLOCK_MONOTONIC) + kDoubtNs, process.created_ns});
      }
      std::lock_guard<std::mutex> lock(scan_mutex_);
      is_full_scan_wanted_ = true;
      scan_wake_.notify_one();
      break;
    }
    default:
      break;
  }
}

uint64_t ProcessTracker::boottime_of(uint64_t monotonic_ns) {
  /* CLOCK_BOOTTIME runs on in suspend. Read second, so the offset is never too small; the smaller of
   * two is right for a record from before a suspend. */
  uint64_t monotonic_now = clock_ns(CLOCK_MONOTONIC);
  int64_t offset = static_cast<int64_t>(clock_ns(CLOCK_BOOTTIME) - monotonic_now);
  int64_t used = boot_offset_ns_ == 0 ? offset : std::min(offset, boot_offset_ns_);
  boot_offset_ns_ = offset;
  return monotonic_ns + static_cast<uint64_t>(used);
}

ProcessTracker::Process* ProcessTracker::create(uint32_t pid, uint64_t time_ns) {
  auto found = processes_.find(pid);
  if (found == processes_.end() && processes_.size() >= kMaxProcesses) {
    counters_.add("process_dropped");
    return nullptr;
  }
  Process& process = processes_[pid];
  if (process.is_published) unpublish(process);
  process = Process();
  process.pid = pid;
  process.start_bound = boottime_of(time_ns);
  process.base = std::make_shared<ExecBase>();
  process.images.push_back(Image());
  process.images.back().set = std::make_shared<MappingSet>();
  return &process;
}

void ProcessTracker::handle_fork(uint32_t pid, uint32_t parent_pid, uint64_t time_ns) {
  Process* child = create(pid, time_ns);
  if (!child) return;
  child->created_ns = time_ns;
  child->images.back().begin_ns = time_ns;
  auto found = processes_.find(parent_pid);
  if (found == processes_.end()) {
    queue_scan(*child);
    return;
  }
  const Process& parent = found->second;
  const Image& image = parent.images.back();
  child->base = parent.base;
  child->exec_offset = parent.exec_offset;
  child->images.back().set = image.set;
  child->images.back().comm = image.comm;
  child->images.back().exe = image.exe;
  child->is_incomplete = parent.is_incomplete;
  if (child->is_incomplete)
    queue_scan(*child);
  else
    mark_dirty(*child);
}

void ProcessTracker::handle_exec(uint32_t pid, std::string comm, uint64_t time_ns) {
  auto found = processes_.find(pid);
  Process* process = found == processes_.end() ? create(pid, time_ns) : &found->second;
  if (!process) return;
  process->exec_offset++;
  process->images.back().end_ns = time_ns;
  Image image;
  image.begin_ns = time_ns;
  image.set = std::make_shared<MappingSet>();
  image.comm = std::move(comm);
  process->images.push_back(std::move(image));
  process->is_incomplete = false;
  trim_images(*process, time_ns);
}

void ProcessTracker::trim_images(Process& process, uint64_t now_ns) {
  while (process.images.size() > 1 &&
         (process.images.size() > kMaxImages || process.images.front().end_ns + kKeepImageNs < now_ns))
    process.images.pop_front();
}

void ProcessTracker::handle_mmap(const uint8_t* body, size_t bytes, uint16_t misc, uint64_t time_ns) {
  /* pid tid addr len pgoff {major minor inode generation | size .. build id} prot flags name */
  constexpr size_t kNameAt = 8 + 24 + 24 + 8;
  if (bytes <= kNameAt) return;
  uint32_t pid = load_u32(body);
  uint64_t start = load_u64(body + 8), length = load_u64(body + 16), pgoff = load_u64(body + 24);
  std::string name = bounded_string(body + kNameAt, bytes - kNameAt);
  MappedName kind = kind_of(name);
  if (kind == MappedName::kIgnored || length == 0 || start + length < start) return;
  auto found = processes_.find(pid);
  Process* process = found == processes_.end() ? create(pid, time_ns) : &found->second;
  if (!process) return;
  Mapping mapping{start, start + length, pgoff, 0, time_ns};
  if (kind != MappedName::kAnonymous) {
    FileIdentity identity;
    identity.path = clean_path(name);
    identity.is_vdso = kind == MappedName::kVdso;
    if ((misc & PERF_RECORD_MISC_MMAP_BUILD_ID) != 0) {
      identity.build_id = hex_of(body + 36, std::min<size_t>(body[32], 20));
    } else {
      identity.major = load_u32(body + 32);
      identity.minor = load_u32(body + 36);
      identity.inode = load_u64(body + 40);
      identity.inode_generation = load_u64(body + 48);
    }
    Image& image = process->images.back();
    if (kind == MappedName::kFile && image.exe.empty() && image.begin_ns != 0) image.exe = identity.path;
    auto reserved = files_->reserve(identity, {pid, mapping.start, mapping.end});
    mapping.file = reserved.id;
    if (reserved.is_new) builder_.enqueue(reserved.id);
  }
  MappingSet& set = own_set(*process);
  if (!add_mapping(set, mapping)) return;
  if (process->is_incomplete)
    queue_scan(*process);
  else
    mark_dirty(*process);
}

/* The set of the current image, no longer shared with forks or old images. */
ProcessTracker::MappingSet& ProcessTracker::own_set(Process& process) {
  auto& set = process.images.back().set;
  if (set.use_count() > 1) {
    auto copy = std::make_shared<MappingSet>();
    copy->mappings = set->mappings;
    copy->has_unplaced = set->has_unplaced;
    /* The run of the shared set still describes this one until something is added. */
    copy->run = set->run;
    set = std::move(copy);
  }
  return *set;
}

/* Replaces what the mapping covers. False when nothing changed. */
bool ProcessTracker::add_mapping(MappingSet& set, const Mapping& mapping) {
  std::vector<Mapping>& list = set.mappings;
  auto from = std::lower_bound(list.begin(), list.end(), mapping.start,
                               [](const Mapping& m, uint64_t start) { return m.end <= start; });
  auto to = from;
  while (to != list.end() && to->start < mapping.end) ++to;
  if (to - from == 1 && from->file == mapping.file && from->start <= mapping.start &&
      from->end >= mapping.end &&
      (mapping.file == 0 || from->pgoff + (mapping.start - from->start) == mapping.pgoff))
    return false;
  Mapping pieces[3];
  size_t count = 0;
  if (from != to && from->start < mapping.start) {
    pieces[count] = *from;
    pieces[count++].end = mapping.start;
  }
  pieces[count++] = mapping;
  if (from != to) {
    const Mapping& last = *(to - 1);
    if (last.end > mapping.end) {
      pieces[count] = last;
      pieces[count].pgoff += mapping.end - last.start;
      pieces[count++].start = mapping.end;
    }
  }
  auto at = list.erase(from, to);
  at = list.insert(at, pieces, pieces + count);
  /* JITs map and protect page by page: neighbours without a file become one. */
  size_t index = static_cast<size_t>(at - list.begin());
  size_t first = index == 0 ? 0 : index - 1;
  for (size_t i = first; i + 1 < list.size() && i <= index + count;) {
    if (list[i].file == 0 && list[i + 1].file == 0 && list[i].end == list[i + 1].start) {
      list[i].end = list[i + 1].end;
      list[i].time_ns = std::max(list[i].time_ns, list[i + 1].time_ns);
      list.erase(list.begin() + static_cast<ptrdiff_t>(i) + 1);
    } else {
      i++;
    }
  }
  while (list.size() > kMaxMappings) {
    list.pop_back();
    counters_.add("mapping_dropped");
  }
  set.run.reset();
  return true;
}

std::shared_ptr<MappingRun> ProcessTracker::run_of(MappingSet& set) {
  if (set.run) return set.run;
  auto run = std::make_shared<MappingRun>();
  if (++generation_ == 0) generation_ = 1;
  run->generation = generation_;
  run->entries.reserve(set.mappings.size());
  set.has_unplaced = false;
  for (const Mapping& mapping : set.mappings) {
    mapping_entry entry{};
    entry.start = mapping.start;
    entry.end = mapping.end;
    entry.bias = mapping.start;
    entry.generation = run->generation;
    if (mapping.file != 0) {
      FilePlace place = files_->place(mapping.file, mapping.start, mapping.pgoff);
      entry.file = place.id;
      entry.bias = place.bias;
      if (!place.is_known) set.has_unplaced = true;
    }
    run->entries.push_back(entry);
  }
  set.run = run;
  return run;
}

void ProcessTracker::mark_dirty(Process& process) {
  if (process.is_dirty) return;
  process.is_dirty = true;
  dirty_.push_back(process.pid);
}

void ProcessTracker::publish_dirty() {
  for (uint32_t pid : dirty_) {
    auto found = processes_.find(pid);
    if (found == processes_.end() || !found->second.is_dirty) continue;
    found->second.is_dirty = false;
    publish(found->second);
  }
  dirty_.clear();
}

void ProcessTracker::publish(Process& process) {
  if (process.is_incomplete || !process.base->is_known) return;
  MappingSet& set = *process.images.back().set;
  if (set.mappings.empty()) return;
  std::shared_ptr<MappingRun> run = run_of(set);
  if (!arena_->store(*run)) {
    counters_.add("mapping_dropped", run->entries.size());
    unpublish(process);
    return;
  }
  process_entry entry{};
  entry.start_boottime = process.start_bound;
  entry.self_exec_id = process.base->value + process.exec_offset;
  entry.generation = run->generation;
  entry.first_mapping = run->first;
  entry.mapping_count = static_cast<uint32_t>(run->entries.size());
  if (map_update(processes_fd_, &process.pid, &entry) != 0) {
    counters_.add("process_publish_failed");
    unpublish(process);
    return;
  }
  process.is_published = true;
}

void ProcessTracker::unpublish(Process& process) {
  map_delete(processes_fd_, &process.pid);
  process.is_published = false;
}

void ProcessTracker::queue_scan(Process& process) {
  uint64_t now_ns = clock_ns(CLOCK_MONOTONIC);
  if (process.is_scan_queued || (process.last_scan_ns != 0 && now_ns - process.last_scan_ns < kRescanNs))
    return;
  process.is_scan_queued = true;
  process.last_scan_ns = now_ns;
  std::lock_guard<std::mutex> lock(scan_mutex_);
  scan_queue_.push_back(process.pid);
  scan_wake_.notify_one();
}

void ProcessTracker::handle_commands() {
  std::vector<SampleIdentity> learnt;
  std::vector<uint32_t> placed;
  std::vector<ScanResult> scans;
  {
    std::lock_guard<std::mutex> lock(command_mutex_);
    learnt.swap(learn_queue_);
    placed.swap(placed_queue_);
    scans.swap(scan_results_);
  }
  if (learnt.empty() && placed.empty() && scans.empty()) return;
  /* What the commands saw happened before now: first handle the records up to now. */
  merge_rings();
  {
    std::lock_guard<std::mutex> lock(state_mutex_);
    for (ScanResult& result : scans) apply_scan(result);
    for (const SampleIdentity& identity : learnt) apply_learn(identity);
    if (!placed.empty()) {
      for (auto& [pid, process] : processes_) {
        for (Image& image : process.images) {
          if (!image.set->has_unplaced) continue;
          if (image.set->run) image.set->run.reset();
          if (&image == &process.images.back()) mark_dirty(process);
        }
      }
    }
    publish_dirty();
  }
  for (uint32_t file : placed) builder_.enqueue_build(file);
}

void ProcessTracker::apply_scan(ScanResult& result) {
  auto found = processes_.find(result.pid);
  if (found != processes_.end()) found->second.is_scan_queued = false;
  if (!result.is_readable) {
    counters_.add("scan_unreadable");
    return;
  }
  if (result.mappings.empty()) return; /* a kernel thread or a zombie */
  Process* process = nullptr;
  if (found == processes_.end()) {
    process = create(result.pid, result.time_ns);
    if (!process) return;
  } else {
    process = &found->second;
    /* Another process by now, or another image, whose mappings all came as records. */
    if (process->created_ns > result.time_ns || process->images.back().begin_ns > result.time_ns) return;
  }
  auto set = std::make_shared<MappingSet>();
  std::vector<Mapping> newer;
  for (const Mapping& mapping : process->images.back().set->mappings)
    if (mapping.time_ns > result.time_ns) newer.push_back(mapping);
  std::sort(newer.begin(), newer.end(),
            [](const Mapping& a, const Mapping& b) { return a.time_ns < b.time_ns; });
  for (const Mapping& mapping : result.mappings) add_mapping(*set, mapping);
  for (const Mapping& mapping : newer) add_mapping(*set, mapping);
  Image& image = process->images.back();
  image.set = std::move(set);
  if (image.comm.empty()) image.comm = std::move(result.comm);
  if (image.exe.empty()) image.exe = std::move(result.exe);
  process->is_incomplete = false;
  counters_.add("scans");
  mark_dirty(*process);
}

void ProcessTracker::apply_learn(const SampleIdentity& identity) {
  auto found = processes_.find(identity.pid);
  Process* process = found == processes_.end() ? nullptr : &found->second;
  if (!process || identity.start_boottime > process->start_bound) {
    /* Its fork was never seen. */
    if (process && process->created_ns > identity.time_ns) return; /* a sample of the pid's previous life */
    process = create(identity.pid, identity.time_ns);
    if (!process) return;
    process->start_bound = identity.start_boottime;
    queue_scan(*process);
  }
  if (process->created_ns > identity.time_ns) return;
  if (process->images.front().begin_ns > identity.time_ns) return;
  if (process->is_incomplete) queue_scan(*process);
  uint32_t execs_since = 0;
  for (const Image& image : process->images)
    if (image.begin_ns > identity.time_ns) execs_since++;
  uint32_t base = identity.self_exec_id - (process->exec_offset - execs_since);
  if (process->base->is_known) {
    if (process->base->value == base) return;
    /* An exec was missed somewhere: what this process says holds for it alone. */
    counters_.add("exec_count_corrected");
    process->base = std::make_shared<ExecBase>();
    process->base->is_known = true;
    process->base->value = base;
    mark_dirty(*process);
    return;
  }
  process->base->is_known = true;
  process->base->value = base;
  for (auto& [pid, other] : processes_)
    if (other.base == process->base) mark_dirty(other);
}

void ProcessTracker::check_doubtful(uint64_t now_ns) {
  if (doubtful_.empty() || doubtful_.front().check_ns > now_ns) return;
  std::lock_guard<std::mutex> lock(state_mutex_);
  for (size_t i = 0; i < kBatch && !doubtful_.empty() && doubtful_.front().check_ns <= now_ns; i++) {
    Doubtful doubtful = doubtful_.front();
    doubtful_.pop_front();
    auto found = processes_.find(doubtful.pid);
    if (found == processes_.end() || found->second.created_ns != doubtful.created_ns) continue;
    char name[40];
    snprintf(name, sizeof name, "/proc/%u", doubtful.pid);
    if (access(name, F_OK) == 0) {
      doubtful.check_ns = now_ns + kDoubtNs;
      doubtful_.push_back(doubtful);
      continue;
    }
    unpublish(found->second);
    processes_.erase(found);
  }
}

/* ---- questions from other threads ---- */

TrackedImage ProcessTracker::find(const SampleIdentity& identity) {
  TrackedImage result;
  if (identity.time_ns > merged_until_ns_.load(std::memory_order_acquire)) return result;
  std::lock_guard<std::mutex> lock(state_mutex_);
  auto found = processes_.find(identity.pid);
  if (found == processes_.end()) return result;
  Process& process = found->second;
  if (identity.start_boottime > process.start_bound) return result;
  for (Image& image : process.images) {
    if (identity.time_ns < image.begin_ns || identity.time_ns >= image.end_ns) continue;
    if (process.is_incomplete && &image == &process.images.back()) return result;
    if (image.set->mappings.empty()) return result;
    result.run = run_of(*image.set);
    result.has_pending = image.set->has_unplaced;
    return result;
  }
  return result;
}

void ProcessTracker::describe(const SampleIdentity& identity, std::string* comm, std::string* exe) {
  std::lock_guard<std::mutex> lock(state_mutex_);
  auto found = processes_.find(identity.pid);
  if (found == processes_.end() || identity.start_boottime > found->second.start_bound) return;
  for (const Image& image : found->second.images) {
    if (identity.time_ns < image.begin_ns || identity.time_ns >= image.end_ns) continue;
    *comm = image.comm;
    *exe = image.exe;
  }
}

size_t ProcessTracker::process_count() const {
  std::lock_guard<std::mutex> lock(state_mutex_);
  return processes_.size();
}

/* ---- the scanner thread: /proc can block on another process's mmap lock ---- */

void ProcessTracker::scan() {
  pthread_setname_np(pthread_self(), "strobe-scan");
  std::unique_lock<std::mutex> lock(scan_mutex_);
  for (;;) {
    scan_wake_.wait(lock, [&] { return stopping_ || is_full_scan_wanted_ || !scan_queue_.empty(); });
    if (stopping_) return;
    ChangeTimes times;
    if (is_full_scan_wanted_) {
      is_full_scan_wanted_ = false;
      lock.unlock();
      scan_all(times);
      lock.lock();
      continue;
    }
    std::deque<uint32_t> pids;
    pids.swap(scan_queue_);
    lock.unlock();
    for (uint32_t pid : pids) {
      if (stopping_) break;
      scan_process(pid, times);
    }
    lock.lock();
  }
}

void ProcessTracker::scan_all(ChangeTimes& times) {
  DIR* proc = opendir("/proc");
  if (!proc) return counters_.add("scan_no_proc");
  while (dirent* entry = readdir(proc)) {
    if (stopping_) break;
    std::string_view name = entry->d_name;
    uint64_t pid;
    if (name.empty() || name[0] < '0' || name[0] > '9' || !parse_number(name, &pid, 10)) continue;
    scan_process(static_cast<uint32_t>(pid), times);
  }
  closedir(proc);
}

bool ProcessTracker::scan_process(uint32_t pid, ChangeTimes& times) {
  char name[96];
  snprintf(name, sizeof name, "/proc/%u", pid);
  ScanResult result{};
  result.pid = pid;
  /* The descriptor stands for this process: after its death every read through it fails, so all
   * that is read belongs to a process that lived at time_ns. */
  OwnedFd dir(::open(name, O_PATH | O_DIRECTORY | O_CLOEXEC));
  result.time_ns = clock_ns(CLOCK_MONOTONIC);
  if (dir) {
    OwnedFd maps(openat(dir.get(), "maps", O_RDONLY | O_CLOEXEC));
    result.is_readable = static_cast<bool>(maps);
    if (!maps) counters_.add(errno == EACCES || errno == EPERM ? "scan_denied" : "scan_gone");
  }
  if (result.is_readable) {
    std::string text = read_small_file(dir.get(), "maps", kMaxMapsBytes);
    if (text.size() >= kMaxMapsBytes) counters_.add("scan_maps_cut");
    std::string_view rest = text;
    while (!rest.empty()) {
      size_t end = rest.find('\n');
      std::string_view line = rest.substr(0, end);
      rest.remove_prefix(end == std::string_view::npos ? rest.size() : end + 1);
      MapsLine maps;
      if (!parse_maps_line(line, &maps) || !maps.is_executable) continue;
      MappedName kind = kind_of(maps.name);
      if (kind == MappedName::kIgnored) continue;
      Mapping mapping{maps.start, maps.end, maps.pgoff, 0, result.time_ns};
      if (kind != MappedName::kAnonymous) {
        FileIdentity identity;
        identity.path = clean_path(maps.name);
        identity.is_vdso = kind == MappedName::kVdso;
        identity.major = static_cast<uint32_t>(maps.major);
        identity.minor = static_cast<uint32_t>(maps.minor);
        identity.inode = maps.inode;
        if (!identity.is_vdso) {
          snprintf(name, sizeof name, "%" PRIx64 ":%" PRIx64 ":%" PRIu64, maps.major, maps.minor, maps.inode);
          auto [known, is_new] = times.emplace(name, 0);
          if (is_new) {
            /* The inode alone can name a new file after an upgrade. The link leads to the mapped
             * file without a walk, and the cached attributes will do. */
            snprintf(name, sizeof name, "map_files/%" PRIx64 "-%" PRIx64, maps.start, maps.end);
            struct statx status{};
            if (statx(dir.get(), name, AT_STATX_DONT_SYNC, STATX_MTIME, &status) == 0)
              known->second =
                  static_cast<uint64_t>(status.stx_mtime.tv_sec) * 1000000000ULL + status.stx_mtime.tv_nsec;
          }
          identity.changed_ns = known->second;
        }
        auto reserved = files_->reserve(identity, {pid, maps.start, maps.end});
        mapping.file = reserved.id;
        if (reserved.is_new) builder_.enqueue(reserved.id);
      }
      result.mappings.push_back(mapping);
    }
    if (!result.mappings.empty()) {
      result.comm = read_small_file(dir.get(), "comm", 64);
      while (!result.comm.empty() && result.comm.back() == '\n') result.comm.pop_back();
      char exe[kMaxPath];
      ssize_t got = readlinkat(dir.get(), "exe", exe, sizeof exe);
      if (got > 0) result.exe = clean_path(std::string_view(exe, static_cast<size_t>(got)));
    }
  }
  {
    std::lock_guard<std::mutex> lock(command_mutex_);
    scan_results_.push_back(std::move(result));
  }
  wake();
  return true;
}

}  // namespace strobe
