/*
 * Burns known shares of CPU along known chains and says by its own clocks how much each took.
 *
 *   shares SECONDS     ends after SECONDS of CPU time of the process, then prints
 *                      {"checksum":NS,...} of CLOCK_THREAD_CPUTIME_ID by leaf function
 *
 *   main - run_requests - handle_read - checksum                    4 of 8 slices
 *                       - handle_write - compress                   2 of 8
 *                                      - seal (alloca) - encrypt    1 of 8
 *                       - descend x 21 - hash                       1 of 8
 *   worker_main - crunch - square                                   the other thread
 *
 * Built without frame pointers; the chains hold leaf functions without a frame, a frame of variable
 * size, a call through a pointer, and recursion.
 */
#include <alloca.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define KEEP __attribute__((noinline, noclone))
/* Keeps a call from becoming a jump, which would take its frame off the stack. */
#define NO_TAIL_CALL() __asm__ volatile("" ::: "memory")

enum leaf { CHECKSUM, COMPRESS, ENCRYPT, HASH, SQUARE, LEAVES };
static const char *const leaf_names[LEAVES] = {"checksum", "compress", "encrypt", "hash", "square"};
/* Each leaf runs in one thread only. */
static int64_t leaf_ns[LEAVES];
static const int turns_per_slice = 400000;
static volatile int is_over;

static int64_t clock_ns(clockid_t clock) {
  struct timespec now;
  clock_gettime(clock, &now);
  return now.tv_sec * INT64_C(1000000000) + now.tv_nsec;
}

#define DEFINE_LEAF(name, step)                                \
  KEEP static uint64_t name(uint64_t seed) {                   \
    uint64_t value = seed | 1;                                 \
    for (int turn = 0; turn < turns_per_slice; turn++) {       \
      step;                                                    \
      __asm__ volatile("" : "+r"(value));                      \
    }                                                          \
    return value;                                              \
  }
DEFINE_LEAF(checksum, value = value * 31 + 7)
DEFINE_LEAF(compress, value ^= value << 13; value ^= value >> 7)
DEFINE_LEAF(encrypt, value = (value << 5 | value >> 59) + 11)
DEFINE_LEAF(hash, value = (value ^ (value >> 29)) * 0xbf58476d1ce4e5b9u)
DEFINE_LEAF(square, value = value * value + 1)

#define TIMED(leaf, call)                                      \
  do {                                                         \
    int64_t begin = clock_ns(CLOCK_THREAD_CPUTIME_ID);         \
    call;                                                      \
    leaf_ns[leaf] += clock_ns(CLOCK_THREAD_CPUTIME_ID) - begin; \
    NO_TAIL_CALL();                                            \
  } while (0)

KEEP static uint64_t handle_read(uint64_t seed) {
  uint64_t result;
  TIMED(CHECKSUM, result = checksum(seed));
  return result;
}

KEEP static uint64_t seal(uint64_t seed) {
  size_t bytes = 64 + (seed & 15) * 32;
  volatile char *buffer = alloca(bytes);
  buffer[bytes - 1] = (char)seed;
  uint64_t result;
  TIMED(ENCRYPT, result = encrypt(seed));
  return result + (uint64_t)buffer[bytes - 1];
}

KEEP static uint64_t handle_write(uint64_t seed, int is_sealed) {
  uint64_t result;
  if (is_sealed) {
    result = seal(seed);
    NO_TAIL_CALL();
  } else {
    TIMED(COMPRESS, result = compress(seed));
  }
  return result;
}

KEEP static uint64_t descend(uint64_t seed, int depth, uint64_t (*leaf)(uint64_t)) {
  uint64_t result;
  if (depth > 0) {
    result = descend(seed + 1, depth - 1, leaf) + 1;
    NO_TAIL_CALL();
  } else {
    TIMED(HASH, result = leaf(seed));
  }
  return result;
}

KEEP static uint64_t run_requests(int64_t limit_ns) {
  uint64_t sum = 1;
  for (unsigned slice = 0; clock_ns(CLOCK_PROCESS_CPUTIME_ID) < limit_ns; slice++) {
    switch (slice % 8) {
      case 1:
      case 5: sum += handle_write(sum, 0); break;
      case 3: sum += handle_write(sum, 1); break;
      case 7: sum += descend(sum, 20, hash); break;
      default: sum += handle_read(sum); break;
    }
  }
  is_over = 1;
  return sum;
}

KEEP static uint64_t crunch(uint64_t seed) {
  uint64_t result;
  TIMED(SQUARE, result = square(seed));
  return result;
}

static void *worker_main(void *argument) {
  uint64_t sum = 3;
  while (!is_over) sum += crunch(sum);
  *(uint64_t *)argument = sum;
  return NULL;
}

int main(int argc, char **argv) {
  double seconds = argc > 1 ? atof(argv[1]) : 0;
  if (!(seconds > 0)) {
    fprintf(stderr, "usage: shares SECONDS\n");
    return 2;
  }
  pthread_t worker;
  uint64_t worker_sum = 0;
  int error = pthread_create(&worker, NULL, worker_main, &worker_sum);
  if (error != 0) {
    fprintf(stderr, "pthread_create: %s\n", strerror(error));
    return 1;
  }
  uint64_t sum = run_requests((int64_t)(seconds * 1e9));
  pthread_join(worker, NULL);
  fprintf(stderr, "sums %" PRIu64 " %" PRIu64 "\n", sum, worker_sum);
  for (int leaf = 0; leaf < LEAVES; leaf++)
    printf("%s\"%s\":%" PRId64, leaf == 0 ? "{" : ",", leaf_names[leaf], leaf_ns[leaf]);
  printf("}\n");
  return 0;
}
