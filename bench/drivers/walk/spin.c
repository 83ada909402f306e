/* SPDX-License-Identifier: Apache-2.0 */
/* Burns CPU at a known depth: argv: seconds of CPU, frames of recursion, bytes to touch between two looks at
 * the clock (0: caches stay warm). */
#include <stdint.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static double until;
static size_t touched;
static volatile unsigned char* memory;
static volatile uint64_t sink;

static double cpu_seconds(void) {
  struct timespec now;
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
  return now.tv_sec + now.tv_nsec / 1e9;
}

__attribute__((noinline)) static void burn(void) {
  while (cpu_seconds() < until) {
    for (size_t at = 0; at < touched; at += 64) memory[at]++;
    for (uint64_t i = 0; i < 200000; i++) sink = sink * 31 + i;
  }
}

__attribute__((noinline)) static void descend(long left) {
  if (left > 0)
    descend(left - 1);
  else
    burn();
  sink++; /* keeps the call from being a jump */
}

int main(int argc, char** argv) {
  if (argc != 5) return 2;
  touched = strtoul(argv[4], NULL, 10);
  for (long copy = atol(argv[2]); copy > 1; copy--)
    if (fork() == 0) break;
  memory = malloc(touched + 1);
  until = cpu_seconds() + atof(argv[1]);
  descend(atol(argv[3]));
  while (wait(NULL) > 0) continue;
  return 0;
}
