// SPDX-License-Identifier: Apache-2.0
// Classes of stacks that unwinders get wrong. argv[1]: the class; it runs until it is killed.
// argv[2]: the depth of class deep, 900 by default.
// Without an argument the classes are listed. Build with -O2 -fomit-frame-pointer -pthread.
#include <alloca.h>
#include <fcntl.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <ucontext.h>
#include <unistd.h>

#include <cctype>
#include <cmath>
#include <csetjmp>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <map>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#define NOINLINE __attribute__((noinline))
#define KEEP(value) asm volatile("" ::"r"(value) : "memory")

volatile unsigned long sink;
NOINLINE static void spin(long turns) {
  unsigned long x = sink;
  for (long i = 0; i < turns; i++) x = x * 6364136223846793005UL + 1;
  sink = x;
}

// chain: main -> chain_a -> chain_b -> chain_c -> chain_leaf, each with another frame size.
extern "C" {
NOINLINE long chain_leaf(long n) {
  spin(n);
  unsigned long x = sink;
  for (long i = 0; i < n; i++) x = x * 2862933555777941757UL + 3;
  sink = x;
  return static_cast<long>(x);
}
NOINLINE long chain_c(long n) {
  char block[200];
  memset(block, static_cast<int>(n), sizeof block);
  KEEP(block);
  long r = chain_leaf(n);
  KEEP(block);
  return r + block[n & 63];
}
NOINLINE long chain_b(long n) {
  long r = chain_c(n) + chain_c(n + 1);
  return r ^ n;
}
NOINLINE long chain_a(long n) {
  char* block = static_cast<char*>(alloca(static_cast<size_t>(n & 1023) + 16));
  KEEP(block);
  long r = chain_b(n);
  KEEP(block);
  return r + 1;
}
}
static void run_chain() {
  for (;;) sink += static_cast<unsigned long>(chain_a(4000));
}

struct Base {
  virtual ~Base() = default;
  virtual long call(int depth, long x) = 0;
  Base* next = nullptr;
};
template <int K>
struct Derived : Base {
  NOINLINE long call(int depth, long x) override {
    char block[8 * (K + 1)];
    memset(block, static_cast<int>(x), sizeof block);
    KEEP(block);
    if (depth == 0) {
      spin(20000);
      return x + block[0];
    }
    long r = next->call(depth - 1, x ^ K);
    KEEP(block);
    return r + block[K];
  }
};
static void run_virtual() {
  Base* objects[5] = {new Derived<0>, new Derived<3>, new Derived<7>, new Derived<20>, new Derived<63>};
  for (int i = 0; i < 5; i++) objects[i]->next = objects[(i + 2) % 5];
  for (;;) sink += static_cast<unsigned long>(objects[0]->call(40, 3));
}
NOINLINE static long recurse(int depth) {
  if (depth == 0) {
    spin(20000);
    return 1;
  }
  long r = recurse(depth - 1);
  KEEP(r);
  return r + depth;
}
static int deep_depth = 900;
static void run_deep() {
  for (;;) sink += static_cast<unsigned long>(recurse(deep_depth));
}

static void on_signal(int) { spin(300000); }
static void start_timer(int flags) {
  struct sigaction action {};
  action.sa_handler = on_signal;
  action.sa_flags = flags;
  sigaction(SIGALRM, &action, nullptr);
  itimerval every = {{0, 1000}, {0, 1000}};
  setitimer(ITIMER_REAL, &every, nullptr);
  for (;;) spin(1000);
}
static void run_signal() { start_timer(0); }
static void run_sigaltstack() {
  stack_t stack{};
  stack.ss_sp = malloc(65536);
  stack.ss_size = 65536;
  sigaltstack(&stack, nullptr);
  start_timer(SA_ONSTACK);
}
static void run_plt() {
  for (;;)
    for (int i = 0; i < 1000; i++) sink += static_cast<unsigned long>(toupper('a' + (i & 7)) + abs(i));
}
NOINLINE static long with_alloca(int n) {
  char* p = static_cast<char*>(alloca(static_cast<size_t>(n)));
  memset(p, n, static_cast<size_t>(n));
  KEEP(p);
  spin(100);
  return p[n / 2];
}
static void run_alloca() {
  for (;;)
    for (int i = 1; i < 3000; i += 7) sink += static_cast<unsigned long>(with_alloca(i));
}
static void run_vdso() {
  timespec t;
  for (;;) {
    clock_gettime(CLOCK_MONOTONIC, &t);
    sink += static_cast<unsigned long>(t.tv_nsec);
  }
}
static void run_memcpy() {
  static char a[1 << 20], b[1 << 20];
  for (;;) {
    memcpy(a, b, sizeof a);
    for (int i = 0; i < 100; i++) {
      memcpy(a + i, b, 700 + static_cast<size_t>(i));
      sink += strlen(a) + static_cast<unsigned long>(memcmp(a, b, 3000));
    }
  }
}
NOINLINE static int compare(const void* a, const void* b) {
  int x = *static_cast<const int*>(a), y = *static_cast<const int*>(b);
  return (x > y) - (x < y);
}
static void run_qsort() {
  static int values[50000];
  for (;;) {
    for (int& value : values) value = rand();
    qsort(values, 50000, sizeof(int), compare);
  }
}
static jmp_buf jump;
NOINLINE static void jump_back(int n) {
  if (n < 0) return;
  if (n == 0) {
    spin(500);
    longjmp(jump, 1);
  }
  jump_back(n - 1);
  asm volatile("");
}
static void run_longjmp() {
  for (;;) {
    if (!setjmp(jump))
      jump_back(12);
    else
      spin(300);
  }
}
NOINLINE static void throw_from(int n) {
  if (n == 0) {
    spin(300);
    throw std::runtime_error("zoo");
  }
  std::string s(static_cast<size_t>(n), 'a');
  throw_from(n - 1);
  sink += s.size();
}
static void run_exception() {
  for (;;) {
    try {
      throw_from(10);
    } catch (std::exception& e) {
      sink += static_cast<unsigned long>(e.what()[0]);
    }
  }
}
static void run_threads() {
  std::vector<std::thread> all;
  for (int i = 0; i < 4; i++)
    all.emplace_back([] {
      for (;;) spin(10000);
    });
  for (auto& t : all) t.join();
}
static void run_short_threads() {
  for (;;) {
    std::thread t([] { spin(20000); });
    t.join();
  }
}
static void run_malloc() {
  std::map<int, std::string> all;
  for (;;) {
    all[rand() % 5000] = std::string(static_cast<size_t>(rand() % 200), 'x');
    if (all.size() > 4000) all.clear();
  }
}
static void run_printf() {
  char text[400];
  for (int i = 0;; i++)
    sink += static_cast<unsigned long>(snprintf(text, sizeof text, "%d %s %f %lx", i, "hello", i * 1.5, static_cast<long>(i)));
}
static void run_syscall() {
  for (;;) {
    char bytes[100];
    int fd = open("/proc/self/stat", O_RDONLY);
    sink += static_cast<unsigned long>(read(fd, bytes, sizeof bytes));
    close(fd);
  }
}
static ucontext_t main_context, coroutine_context;
static void coroutine() {
  for (;;) {
    spin(10000);
    swapcontext(&coroutine_context, &main_context);
  }
}
static void run_ucontext() {
  getcontext(&coroutine_context);
  coroutine_context.uc_stack.ss_sp = malloc(65536);
  coroutine_context.uc_stack.ss_size = 65536;
  makecontext(&coroutine_context, coroutine, 0);
  for (;;) {
    swapcontext(&main_context, &coroutine_context);
    spin(1000);
  }
}
struct alignas(64) Aligned {
  double d[8];
};
NOINLINE static double realigned(int n) {
  Aligned v;
  for (int i = 0; i < 8; i++) v.d[i] = n + i;
  KEEP(&v);
  spin(500);
  return v.d[n & 7];
}
NOINLINE static double realigned_with_alloca(int n, int bytes) {
  Aligned v;
  char* p = static_cast<char*>(alloca(static_cast<size_t>(bytes)));
  p[0] = static_cast<char>(n);
  v.d[n & 7] = n;
  KEEP(&v);
  KEEP(p);
  spin(500);
  return v.d[n & 7] + realigned(n);
}
static void run_realigned() {
  for (int i = 0;; i++) sink += static_cast<unsigned long>(realigned(i & 63) + realigned_with_alloca(i & 63, 100 + (i & 63)));
}
static void run_vfork() {
  for (;;) {
    pid_t child = vfork();
    if (child == 0) _exit(0);
    spin(10000);
    int status;
    waitpid(child, &status, 0);
  }
}
static void run_libm() {
  double x = 1;
  for (;;)
    for (int i = 0; i < 1000; i++) {
      x = sin(x) + exp(-x * x) + pow(1.0 + (i & 3), x);
      sink += static_cast<unsigned long>(x);
    }
}

struct Class {
  const char* name;
  void (*run)();
};
static const Class classes[] = {
    {"chain", run_chain},         {"virtual", run_virtual},   {"deep", run_deep},
    {"signal", run_signal},       {"sigaltstack", run_sigaltstack}, {"plt", run_plt},
    {"alloca", run_alloca},       {"vdso", run_vdso},         {"memcpy", run_memcpy},
    {"qsort", run_qsort},         {"longjmp", run_longjmp},   {"exception", run_exception},
    {"threads", run_threads},     {"short_threads", run_short_threads}, {"malloc", run_malloc},
    {"printf", run_printf},       {"syscall", run_syscall},   {"ucontext", run_ucontext},
    {"realigned", run_realigned}, {"vfork", run_vfork},       {"libm", run_libm},
};

int main(int argc, char** argv) {
  if (argc > 2) deep_depth = atoi(argv[2]);
  for (const Class& one : classes) {
    if (argc < 2)
      puts(one.name);
    else if (strcmp(argv[1], one.name) == 0) {
      if (write(1, "ready\n", 6) != 6) return 1;
      one.run();
    }
  }
  return argc < 2 ? 0 : 2;
}
