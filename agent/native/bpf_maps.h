/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The few BPF operations of the addon, as plain system calls: Debian's libbpf.a is not position
 * independent, and the addon must not depend on the libbpf of the host.
 */
#ifndef STROBE_BPF_MAPS_H
#define STROBE_BPF_MAPS_H

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "owned.h"

namespace strobe {

struct MapShape {
  uint64_t key_bytes = 0;
  uint64_t value_bytes = 0;
  uint64_t max_entries = 0;
  uint64_t memlock = 0; /* bytes of memory */
};

/* From fdinfo, which needs no capability on any kernel (the bpf call does before 5.19). False when
 * the descriptor is no BPF map. */
bool map_read_shape(int fd, MapShape* shape);

/* 0, or -1 with errno. */
int map_update(int fd, const void* key, const void* value);
int map_delete(int fd, const void* key);
int map_lookup(int fd, const void* key, void* value);

/* Number of values of a per-CPU map; 0 when it cannot be read. */
size_t possible_cpus();

/* Reader of a BPF_MAP_TYPE_RINGBUF. One thread at a time. */
class RingReader {
 public:
  /* fd is borrowed. nullptr: *error is a coded sentence (MAP_FAILED). */
  static std::unique_ptr<RingReader> open(int fd, std::string* error);
  /* Gives every record that is complete, oldest first; 8-byte aligned, valid during the call. */
  size_t consume(const std::function<void(const void* record, size_t bytes)>& take);

 private:
  RingReader() = default;
  OwnedMapping consumer_;
  OwnedMapping producer_; /* its page, then the data twice in a row */
  uint64_t mask_ = 0;
  size_t page_ = 0;
};

}  // namespace strobe

#endif
