/* SPDX-License-Identifier: Apache-2.0 */
#include "bpf_maps.h"

#include <errno.h>
#include <linux/bpf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace strobe {

namespace {

int map_call(int command, int fd, const void* key, const void* value) {
  bpf_attr attr;
  memset(&attr, 0, sizeof attr);
  attr.map_fd = static_cast<uint32_t>(fd);
  attr.key = reinterpret_cast<uint64_t>(key);
  attr.value = reinterpret_cast<uint64_t>(value);
  return static_cast<int>(syscall(SYS_bpf, command, &attr, sizeof attr));
}

}  // namespace

bool map_read_shape(int fd, MapShape* shape) {
  char name[48], line[256];
  snprintf(name, sizeof name, "/proc/self/fdinfo/%d", fd);
  FILE* info = fopen(name, "re");
  if (!info) return false;
  bool is_map = false;
  while (fgets(line, sizeof line, info)) {
    unsigned long long value;
    if (sscanf(line, "key_size: %llu", &value) == 1) shape->key_bytes = value;
    if (sscanf(line, "value_size: %llu", &value) == 1) {
      shape->value_bytes = value;
      is_map = true;
    }
    if (sscanf(line, "max_entries: %llu", &value) == 1) shape->max_entries = value;
    if (sscanf(line, "memlock: %llu", &value) == 1) shape->memlock = value;
  }
  fclose(info);
  return is_map;
}

int map_update(int fd, const void* key, const void* value) {
  return map_call(BPF_MAP_UPDATE_ELEM, fd, key, value);
}
int map_delete(int fd, const void* key) { return map_call(BPF_MAP_DELETE_ELEM, fd, key, nullptr); }
int map_lookup(int fd, const void* key, void* value) { return map_call(BPF_MAP_LOOKUP_ELEM, fd, key, value); }

size_t possible_cpus() {
  /* '0-3' or '0,2-7': the kernel sizes per-CPU values by the highest number. */
  FILE* file = fopen("/sys/devices/system/cpu/possible", "re");
  if (!file) return 0;
  char text[256] = "";
  char* line = fgets(text, sizeof text, file);
  fclose(file);
  if (!line) return 0;
  const char* last = text;
  for (const char* at = text; *at; at++)
    if (*at == '-' || *at == ',') last = at + 1;
  return strtoul(last, nullptr, 10) + 1;
}

std::unique_ptr<RingReader> RingReader::open(int fd, std::string* error) {
  MapShape shape;
  if (!map_read_shape(fd, &shape) || shape.max_entries == 0) {
    *error = "MAP_FAILED: descriptor " + std::to_string(fd) + " is no BPF ring";
    return nullptr;
  }
  std::unique_ptr<RingReader> reader(new RingReader());
  reader->page_ = static_cast<size_t>(sysconf(_SC_PAGESIZE));
  reader->mask_ = shape.max_entries - 1;
  size_t producer_bytes = reader->page_ + 2 * shape.max_entries;
  reader->consumer_ =
      OwnedMapping(mmap(nullptr, reader->page_, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0), reader->page_);
  reader->producer_ = OwnedMapping(
      mmap(nullptr, producer_bytes, PROT_READ, MAP_SHARED, fd, static_cast<off_t>(reader->page_)),
      producer_bytes);
  if (!reader->consumer_ || !reader->producer_) {
    *error = "MAP_FAILED: ring of descriptor " + std::to_string(fd) + ": " + strerror(errno);
    return nullptr;
  }
  return reader;
}

size_t RingReader::consume(const std::function<void(const void* record, size_t bytes)>& take) {
  auto* consumer = static_cast<uint64_t*>(consumer_.get());
  const auto* producer = static_cast<const uint64_t*>(producer_.get());
  const auto* data = static_cast<const uint8_t*>(producer_.get()) + page_;
  uint64_t position = *consumer;
  uint64_t end = __atomic_load_n(producer, __ATOMIC_ACQUIRE);
  size_t taken = 0;
  while (position < end) {
    const uint8_t* header = data + (position & mask_);
    uint32_t length = __atomic_load_n(reinterpret_cast<const uint32_t*>(header), __ATOMIC_ACQUIRE);
    if (length & BPF_RINGBUF_BUSY_BIT) break;
    uint32_t bytes = length & ~BPF_RINGBUF_DISCARD_BIT;
    if (!(length & BPF_RINGBUF_DISCARD_BIT)) {
      take(header + BPF_RINGBUF_HDR_SZ, bytes);
      taken++;
    }
    position += (uint64_t{bytes} + BPF_RINGBUF_HDR_SZ + 7) / 8 * 8;
    __atomic_store_n(consumer, position, __ATOMIC_RELEASE);
  }
  return taken;
}

}  // namespace strobe
