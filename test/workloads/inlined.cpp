// Two levels of inlined calls that burn CPU until it is ended: inlined SECONDS.
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <ctime>

__attribute__((always_inline)) inline uint64_t mix(uint64_t state, uint64_t turn) {
  return (state ^ turn) * 0x9e3779b97f4a7c15 + (state >> 29);
}

__attribute__((always_inline)) inline uint64_t digest_block(uint64_t state) {
  for (uint64_t turn = 0; turn < 100000; turn++) state = mix(state, turn);
  return state;
}

__attribute__((noinline)) uint64_t digest(uint64_t state) {
  return digest_block(state) | 1;
}

int main(int argc, char** argv) {
  const double seconds = argc > 1 ? atof(argv[1]) : 5;
  uint64_t state = 1;
  while (static_cast<double>(clock()) / CLOCKS_PER_SEC < seconds) state += digest(state);
  printf("%lu\n", static_cast<unsigned long>(state));
}
