/* SPDX-License-Identifier: Apache-2.0 */
#include "session.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/perf_event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

#include <algorithm>
#include <unordered_map>

#include "../../bpf/profiler/types.h"
#include "bpf_maps.h"

namespace strobe {

namespace {

constexpr struct {
  const char* name;
  uint64_t value_bytes; /* 0: a ring */
  uint64_t max_entries; /* 0: any */
} kMaps[] = {
    {"segments", sizeof(unwind_segment), 0},
    {"pages", sizeof(unwind_page), MAX_PAGES},
    {"rules", sizeof(unwind_rule), MAX_RULES},
    {"files", sizeof(unwind_file), MAX_FILES},
    {"mappings", sizeof(mapping_entry), MAX_MAPPINGS},
    {"processes", sizeof(process_entry), 0},
    {"samples", 0, 0},
    {"raw_stacks", 0, 0},
    {"counters", sizeof(uint64_t), COUNTER_COUNT},
};

/* Of the running kernel, lower-case hex; '' when it has none. Notes: sizes of name and content, type,
 * then both, each padded to 4 bytes. */
std::string kernel_build_id() {
  FILE* file = fopen("/sys/kernel/notes", "re");
  if (!file) return "";
  uint8_t notes[4096];
  size_t bytes = fread(notes, 1, sizeof notes, file);
  fclose(file);
  for (size_t at = 0; at + 12 <= bytes;) {
    uint32_t name_bytes, content_bytes, type;
    memcpy(&name_bytes, notes + at, 4);
    memcpy(&content_bytes, notes + at + 4, 4);
    memcpy(&type, notes + at + 8, 4);
    if (name_bytes > bytes || content_bytes > bytes) break;
    size_t name = at + 12, content = name + (name_bytes + 3) / 4 * 4;
    at = content + (content_bytes + 3) / 4 * 4;
    if (at > bytes) break;
    if (type != NT_GNU_BUILD_ID || name_bytes != 4 || memcmp(notes + name, "GNU", 4) != 0) continue;
    std::string text;
    char digits[3];
    for (size_t i = 0; i < content_bytes; i++) {
      snprintf(digits, sizeof digits, "%02x", notes[content + i]);
      text += digits;
    }
    return text;
  }
  return "";
}

}  // namespace

std::shared_ptr<Session> Session::open(const SessionHandles& handles, const NamerOptions& options,
                                       std::string* error) {
  std::map<std::string, MapShape> shapes;
  for (const auto& expected : kMaps) {
    auto found = handles.maps.find(expected.name);
    MapShape shape;
    if (found == handles.maps.end() || !map_read_shape(found->second, &shape)) {
      *error = std::string("HANDLES_INVALID: there is no BPF map '") + expected.name + "' in the handles";
      return nullptr;
    }
    if (shape.value_bytes != expected.value_bytes ||
        (expected.max_entries != 0 && shape.max_entries != expected.max_entries)) {
      *error = std::string("HANDLES_INVALID: map '") + expected.name + "' holds " +
               std::to_string(shape.max_entries) + " values of " + std::to_string(shape.value_bytes) +
               " bytes, this addon expects " + std::to_string(expected.max_entries) + " of " +
               std::to_string(expected.value_bytes) + ": launcher and addon are of different builds";
      return nullptr;
    }
    shapes[expected.name] = shape;
  }
  auto are_open = [](const std::vector<int>& fds) {
    return !fds.empty() &&
           std::all_of(fds.begin(), fds.end(), [](int fd) { return fcntl(fd, F_GETFD) >= 0; });
  };
  if (!are_open(handles.sample_events) || !are_open(handles.side_band_events)) {
    *error = "HANDLES_INVALID: sampleEvents and sideBandEvents need one open event for each CPU";
    return nullptr;
  }

  std::shared_ptr<Session> session(new Session());
  auto map = [&](const char* name) { return handles.maps.at(name); };
  size_t bytes = sizeof(mapping_entry) * MAX_MAPPINGS;
  session->mappings_ =
      OwnedMapping(mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, map("mappings"), 0), bytes);
  if (!session->mappings_) {
    *error = std::string("MAP_FAILED: mappings: ") + strerror(errno);
    return nullptr;
  }
  session->tables_ = UnwindTables::open({map("segments"), map("pages"), map("rules"), map("files")},
                                        static_cast<uint32_t>(shapes["segments"].max_entries), error);
  if (!session->tables_) return nullptr;
  session->arena_ =
      std::make_shared<MappingArena>(static_cast<mapping_entry*>(session->mappings_.get()), MAX_MAPPINGS);
  session->files_ = std::make_shared<FileTable>(session->tables_, session->counters_);
  session->builder_ = std::make_unique<TableBuilder>(session->tables_, session->files_, session->counters_);
  session->tracker_ = std::make_shared<ProcessTracker>(session->arena_, map("processes"), session->files_,
                                                       *session->builder_, *session->counters_);
  if (!session->tracker_->open(handles.side_band_events, error)) return nullptr;
  session->metadata_ = std::make_unique<ProcessMetadata>(*session->tracker_, *session->counters_);
  session->sampler_ = std::make_unique<Sampler>(
      SamplerFds{map("samples"), map("raw_stacks"), map("counters")}, session->tables_, *session->tracker_,
      *session->metadata_, *session->builder_, *session->counters_);
  if (!session->sampler_->open(error)) return nullptr;
  session->symbolizer_ =
      std::make_unique<Symbolizer>(options, session->files_, handles.kallsyms, session->counters_);

  auto own = [&](int fd) {
    fcntl(fd, F_SETFD, FD_CLOEXEC);
    session->fds_.emplace_back(fd);
  };
  for (const auto& [name, fd] : handles.maps) {
    own(fd);
    session->map_fds_.push_back(fd);
  }
  for (int fd : handles.sample_events) own(fd);
  for (int fd : handles.side_band_events) own(fd);
  if (handles.kallsyms >= 0) own(handles.kallsyms);
  session->sample_events_ = handles.sample_events;
  session->side_band_events_ = handles.side_band_events;
  return session;
}

Session::~Session() {
  stop();
  /* In this order: each uses those before it. Runs give their places back to the arena, which lives
   * in the mapping. */
  sampler_.reset();
  symbolizer_.reset();
  metadata_.reset();
  tracker_.reset();
  builder_.reset();
  files_.reset();
}

bool Session::start(std::string* error) {
  std::lock_guard<std::mutex> lock(lifecycle_mutex_);
  if (is_started_) {
    *error = "SESSION_STARTED: a session is started once; open another";
    return false;
  }
  /* Records first: what happens from here on is seen, and the scan shows what was before. */
  for (int fd : side_band_events_) {
    if (ioctl(fd, PERF_EVENT_IOC_ENABLE, 0) != 0) {
      *error = std::string("EVENTS_FAILED: side-band event cannot be enabled: ") + strerror(errno);
      return false;
    }
  }
  is_started_ = true;
  std::weak_ptr<ProcessTracker> tracker = tracker_;
  builder_->start([tracker](uint32_t file) {
    if (auto alive = tracker.lock()) alive->file_placed(file);
  });
  tracker_->start();
  metadata_->start();
  sampler_->start();
  for (int fd : sample_events_) {
    if (ioctl(fd, PERF_EVENT_IOC_ENABLE, 0) != 0) {
      *error = std::string("EVENTS_FAILED: sample event cannot be enabled: ") + strerror(errno);
      return false;
    }
  }
  return true;
}

void Session::stop() {
  std::lock_guard<std::mutex> lock(lifecycle_mutex_);
  if (!is_started_ || is_stopped_) return;
  is_stopped_ = true;
  for (int fd : sample_events_) ioctl(fd, PERF_EVENT_IOC_DISABLE, 0);
  sampler_->stop();
  metadata_->settle(500);
  for (int fd : side_band_events_) ioctl(fd, PERF_EVENT_IOC_DISABLE, 0);
  builder_->stop();
  tracker_->stop();
  metadata_->stop();
}

CollectedWindow Session::collect() {
  std::lock_guard<std::mutex> lock(collect_mutex_);
  CollectedWindow collected;
  collected.window = sampler_->collect();
  CounterTotals totals = counters_->totals();
  for (const auto& [name, count] : sampler_->kernel_counters()) totals[name] = count;
  for (const auto& [name, count] : totals) {
    auto before = last_totals_.find(name);
    uint64_t delta = count - (before == last_totals_.end() ? 0 : before->second);
    if (delta != 0) collected.counters[name] = delta;
  }
  last_totals_ = std::move(totals);
  return collected;
}

uint64_t Session::map_bytes() const {
  uint64_t total = 0;
  for (int fd : map_fds_) {
    MapShape shape;
    if (map_read_shape(fd, &shape)) total += shape.memlock;
  }
  return total;
}

CounterTotals Session::counters() const {
  CounterTotals totals = counters_->totals();
  for (const auto& [name, count] : sampler_->kernel_counters()) totals[name] = count;
  UnwindTableUsage usage = tables_->usage();
  totals["map_bytes"] = map_bytes();
  totals["table_rows"] = usage.rows;
  totals["table_row_capacity"] = usage.row_capacity;
  totals["table_pages"] = usage.pages;
  totals["table_rules"] = usage.rules;
  totals["files"] = usage.files;
  totals["files_refused"] = tables_->files_refused();
  totals["file_descriptors"] = files_->open_descriptors();
  totals["processes"] = tracker_->process_count();
  totals["mappings"] = arena_->used();
  symbolizer_->add_usage(&totals);
  totals["table_queue"] = builder_->queued();
  return totals;
}

std::vector<FileInfo> Session::files() const {
  std::vector<FileInfo> list = files_->list();
  FileInfo kernel;
  kernel.path = "[kernel]";
  kernel.build_id = kernel_build_id();
  kernel.stage = FileStage::kReady;
  list.push_back(std::move(kernel));
  return list;
}

}  // namespace strobe
