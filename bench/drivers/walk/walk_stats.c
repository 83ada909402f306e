/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Runs a program under fp_walk and tells what walks cost: argv: Hz, niceness, settling time in ms, program
 * and its arguments. Prints one line of JSON: runs, nanoseconds and frames of fp_walk, and runs and
 * nanoseconds of the agent's sample_cpu meanwhile. Hz 0 attaches no fp_walk. The kernel counts only while
 * this process holds its statistics open.
 */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <linux/perf_event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fp_walk.skel.h"

struct cost {
  unsigned long long runs, ns;
};

/* Id of the youngest loaded program of that name, 0 without one: other agents of the host were there before.
 */
static __u32 youngest(const char* name) {
  __u32 found = 0;
  for (__u32 id = 0; bpf_prog_get_next_id(id, &id) == 0;) {
    int fd = bpf_prog_get_fd_by_id(id);
    if (fd < 0) continue;
    struct bpf_prog_info info = {0};
    __u32 size = sizeof(info);
    if (bpf_obj_get_info_by_fd(fd, &info, &size) == 0 && strcmp((const char*)info.name, name) == 0)
      found = id;
    close(fd);
  }
  return found;
}

static struct cost cost_of(__u32 id) {
  struct cost cost = {0, 0};
  int fd = id ? bpf_prog_get_fd_by_id(id) : -1;
  if (fd < 0) return cost;
  struct bpf_prog_info info = {0};
  __u32 size = sizeof(info);
  if (bpf_obj_get_info_by_fd(fd, &info, &size) == 0) {
    cost.runs = info.run_cnt;
    cost.ns = info.run_time_ns;
  }
  close(fd);
  return cost;
}

static int die(const char* what) {
  fprintf(stderr, "walk_stats: %s: %s\n", what, strerror(errno));
  return 1;
}

int main(int argc, char** argv) {
  if (argc < 5) return die("walk_stats HZ NICENESS SETTLE_MS PROGRAM ARGUMENTS");
  unsigned long long hz = strtoull(argv[1], NULL, 10);
  int stats = bpf_enable_stats(BPF_STATS_RUN_TIME);
  if (stats < 0) return die("bpf_enable_stats");
  struct fp_walk_bpf* walk = fp_walk_bpf__open_and_load();
  if (!walk) return die("load");

  /* The program waits until its events are open. */
  int gate[2];
  if (pipe(gate)) return die("pipe");
  pid_t pid = fork();
  if (pid == 0) {
    char byte;
    close(gate[1]);
    if (read(gate[0], &byte, 1) < 0) _exit(1);
    if (setpriority(PRIO_PROCESS, 0, atoi(argv[2]))) _exit(126);
    execv(argv[4], argv + 4);
    _exit(127);
  }
  if (hz > 0) {
    struct perf_event_attr attr = {.type = PERF_TYPE_SOFTWARE,
                                   .size = sizeof(attr),
                                   .config = PERF_COUNT_SW_CPU_CLOCK,
                                   .freq = 1,
                                   .inherit = 1,
                                   .sample_freq = hz,
                                   .exclude_kernel = 1};
    int event = syscall(SYS_perf_event_open, &attr, pid, -1, -1, PERF_FLAG_FD_CLOEXEC);
    if (event < 0) return die("perf_event_open");
    if (!bpf_program__attach_perf_event(walk->progs.fp_walk, event)) return die("attach");
  }
  close(gate[0]);
  close(gate[1]);
  /* The agent walks a program once it knows it; until then a sample is a copy of the stack's top. */
  usleep(strtoul(argv[3], NULL, 10) * 1000);
  __u32 agent = youngest("sample_cpu");
  struct cost before = cost_of(agent);
  int status = 0;
  waitpid(pid, &status, 0);
  struct cost after = cost_of(agent), own = cost_of(youngest("fp_walk"));
  printf("{\"fpRuns\":%llu,\"fpNs\":%llu,\"fpFrames\":%llu,\"agentRuns\":%llu,\"agentNs\":%llu}\n", own.runs,
         own.ns, (unsigned long long)walk->bss->frames, after.runs - before.runs, after.ns - before.ns);
  close(stats);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}
