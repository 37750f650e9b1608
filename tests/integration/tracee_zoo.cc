// SPDX-License-Identifier: MIT
// One small odd program a behaviour, to be grabbed by the tests: `tracee_zoo NAME [ARGUMENTS]`.
// All say "ready PID" when they are what they are meant to be. `tracee_zoo` alone lists them.
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include <cstdio>

#include "integration/zoo/zoo.h"

namespace zoo {
namespace {

int echo_lines(const Args& /*args*/) {
  say_ready();
  return serve();
}

int count(const Args& args) {
  const long last = args.empty() ? 100'000 : std::atol(args[0].c_str());
  const long pause_us = args.size() < 2 ? 0 : std::atol(args[1].c_str());
  say_ready();
  for (long n = 1; n <= last; ++n) {
    char line[32];
    std::snprintf(line, sizeof line, "n%08ld\n", n);
    say(line);
    if (pause_us == 0)
      continue;
    timespec pause{pause_us / 1'000'000, (pause_us % 1'000'000) * 1000};
    if (::nanosleep(&pause, nullptr) != 0)
      say("nanosleep failed\n");
  }
  say("counted all\n");
  return 0;
}

int comm(const Args& args) {
  // The name is what /proc/PID/stat shows between parentheses.
  std::FILE* file = std::fopen("/proc/self/comm", "we");
  if (file != nullptr && !args.empty()) {
    (void)std::fputs(args[0].c_str(), file);
    (void)std::fclose(file);
  }
  return echo_lines(args);
}

struct Behaviour {
  const char* name;
  int (*run)(const Args& args);
  const char* description;
};

constexpr Behaviour kBehaviours[] = {
    {"echo-lines", echo_lines, "answers every line with `got: LINE`"},
    {"count", count, "LAST [PAUSE_US]: writes numbered lines as fast as it can, or with pauses"},
    {"whole-writes", whole_writes,
     "BLOCKS LINES [now [writev]]: at SIGUSR1 writes numbered lines, LINES in one call each"},
    {"whole-send", whole_send,
     "sends numbered lines to a child, which begins to read them when a line is typed"},
    {"timed-write", timed_write, "one large write(2), which SIGUSR1 ends with what it has written"},
    {"comm", comm, "NAME: echo-lines under a name of its own"},
    {"blocked", blocked, "threads blocked in every call that may be; `release` says what they saw"},
    {"blocked-tree", blocked_tree, "N: the same in N children; `release` ends them"},
    {"limited-calls", limited_calls,
     "threads in calls with a timeout; each says what the call gave when it ends"},
    {"readers", readers,
     "MS CALL...: threads that wait for input by these calls, -1 for ever; then echo-lines"},
    {"handlers", handlers, "signals with handlers arrive in read and poll; `check` counts"},
    {"line-modes", line_modes, "[locked]: a terminal in odd modes; `modes` says which it has"},
    {"fd-keeper", fd_keeper, "many descriptors on its terminal, shared with a child; `fds`"},
    {"fd-exhausted", fd_exhausted, "every descriptor number below RLIMIT_NOFILE is in use"},
    {"shared-table", shared_table, "two processes with one descriptor table (CLONE_FILES)"},
    {"epoll-lines", epoll_lines,
     "[edge|exclusive|nested|oneshot|pair|spent|stale|stale-elsewhere|twice]: echo-lines by "
     "epoll_wait(2)"},
    {"epoll-parent", epoll_parent,
     "waits by an epoll set that its child, which is what is ready, has too"},
    {"ring-lines", ring_lines, "waits for lines by a read(2) of its io_uring"},
    {"sigio-lines", sigio_lines, "echo-lines by SIGIO (O_ASYNC)"},
    {"no-terminal", no_terminal, "FILE: a session without a terminal; writes numbered lines there"},
    {"catch", catch_signals, "NAME...: says the name of each such signal; WINCH with the size"},
    {"catch-and-wait", catch_and_wait, "NAME...: the same, but reads nothing"},
    {"ignore", ignore_signals, "NAME...: ignores these signals"},
    {"pending", pending_signals, "NAME...: blocks these signals and has each pending once"},
    {"read-late", read_late, "reads nothing before it gets SIGUSR1"},
    {"signal-stream", signal_stream,
     "a child sends numbered signals; `check` tells if one is lost"},
    {"fullscreen", fullscreen,
     "[MS]: alternate screen, raw modes; cleans up at SIGTSTP, as ncurses does, after so much "
     "work"},
    {"threads", threads, "N: spinning, in a futex and in sleep, beside echo-lines"},
    {"thread-storm", thread_storm, "N threads that start threads all the time; `check`"},
    {"many-descriptors", many_descriptors,
     "N descriptors of its terminal, one of eight opened by itself; `fds` counts the good ones"},
    {"many-threads", many_threads, "N threads that wait, beside echo-lines"},
    {"many-processes", many_processes, "N children that wait"},
    {"dead-leader", dead_leader, "the main thread has ended, another one does echo-lines"},
    {"zombie-parent", zombie_parent, "a zombie child stays in its group until `reap`"},
    {"brief-zombie", brief_zombie_parent, "children of its group end all the time and are reaped"},
    {"vfork-slow", vfork_slow, "FIFO: waits in vfork until something is written there"},
    {"vfork-late", vfork_late, "FIFO: by vfork, an echo-lines when something is written there"},
    {"vfork-exec", vfork_exec, "PROGRAM: starts it by vfork, for 1000 s, and waits until it runs"},
    {"vfork-brief", vfork_brief, "starts programs by vfork all the time"},
    {"storm", storm_tree,
     "KIND N FILE: N processes that fork, spawn, exec, thread, stop, signal or shell; `check`"},
    {"storm-again", storm_again, "what storm calls execve of"},
    {"storm-newborn", storm_newborn, "what storm spawns"},
    {"fork-storm", fork_storm, "children come and go; `check` tells if one was lost"},
    {"exec-storm", exec_storm, "a child that replaces its program all the time"},
    {"seccomp", seccomp_filter, "allow|deny-setsid|kill: echo-lines under a filter"},
    {"without-stack", without_stack, "its stack pointer stands right above a guard page"},
    {"small-stack", small_stack, "reads on the last bytes of a stack; `stack` counts changed ones"},
    {"signal-stack", signal_stack, "echo-lines in a handler on a signal stack, until `leave`"},
    {"user-dispatch", user_dispatch, "echo-lines under PR_SET_SYSCALL_USER_DISPATCH"},
#if defined(__x86_64__)
    {"restartable", restartable, "runs in a restartable sequence; `sequence` counts its aborts"},
#endif
    {"undumpable", undumpable, "echo-lines after PR_SET_DUMPABLE 0"},
    {"vdso-moved", vdso_moved, "echo-lines with its vDSO elsewhere than its auxv says"},
    {"vdso-unmapped", vdso_unmapped, "echo-lines without a vDSO"},
    {"vdso-file", vdso_file, "FILE: the same, with a shared file where the vDSO was"},
    {"own-ptmx", own_ptmx, "echo-lines with a terminal of its own making beside its own"},
    {"own-devpts", own_devpts,
     "a terminal of the same number as its own, of another devpts; `own` says if it still has it"},
    {"no-descriptors", without_terminal_descriptors,
     "FILE: its terminal is open as no descriptor; makes FILE then"},
    {"thief", descriptor_thief, "COMM: takes all descriptors of processes of that name"},
    {"false-guard", false_guard,
     "open|path|nobody|deaf FILE [N|shell]: echo-lines with N children, traced (or its shell is) "
     "under the name of grab's guard by one that has FILE where that has its memory"},
    {"int80-lines", int80_lines, "echo-lines by int 0x80, the call of 32-bit programs"},
#if defined(__x86_64__)
    {"code32", code_32, "runs 32-bit code, which reads from the terminal"},
#endif
    {"run-below", run_below, "PROGRAM...: starts it as a child and is echo-lines beside it"},
    {"client-of-server", client_of_server,
     "a client like tmux's; its server answers each line, as echo-lines does"},
    {"own-session", own_session, "a child in a session of its own, with its terminal open"},
};

int usage() {
  for (const Behaviour& behaviour : kBehaviours)
    std::printf("%-14s %s\n", behaviour.name, behaviour.description);
  return 2;
}

}  // namespace
}  // namespace zoo

int main(int argc, char** argv) {
  const std::string name = argc > 1 ? argv[1] : "";
  for (const auto& behaviour : zoo::kBehaviours) {
    if (name == behaviour.name)
      return behaviour.run(zoo::Args(argv + 2, argv + argc));
  }
  return zoo::usage();
}
