// SPDX-License-Identifier: MIT
// Programs with processes and threads in odd states: zombies, vfork, storms of children, a main
// thread that has ended, filters, sessions of their own.
#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/futex.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <cstring>
#include <thread>

#include "integration/zoo/zoo.h"

namespace zoo {
namespace {

std::atomic<int> futex_word{0};
std::atomic<long> spins{0};

pid_t start_child(int (*run)()) {
  const auto pid = static_cast<pid_t>(must(::fork(), "fork"));
  if (pid == 0) {
    (void)::prctl(PR_SET_PDEATHSIG, SIGKILL);
    ::_exit(run());
  }
  return pid;
}

void wait_until_zombie(pid_t pid) {
  siginfo_t info{};
  must(::waitid(P_PID, static_cast<id_t>(pid), &info, WEXITED | WNOWAIT), "waitid");
}

int make_zombies_for_ever() {
  for (;;) {
    const auto pid = static_cast<pid_t>(must(::fork(), "fork"));
    if (pid == 0)
      ::_exit(0);
    must(::waitpid(pid, nullptr, 0), "waitpid");
  }
}

std::atomic<long> storm_started{0};
std::atomic<long> storm_lost{0};
std::atomic<bool> storm_done{false};

void storm() {
  while (!storm_done.load()) {
    const int wanted = static_cast<int>(storm_started.fetch_add(1) % 100);
    const pid_t pid = ::fork();
    if (pid < 0) {
      storm_lost.fetch_add(1);
      continue;
    }
    if (pid == 0)
      ::_exit(wanted);
    int status = 0;
    if (::waitpid(pid, &status, 0) != pid || !WIFEXITED(status) || WEXITSTATUS(status) != wanted)
      storm_lost.fetch_add(1);
    ::usleep(200);
  }
}

void vfork_true() {
  const pid_t pid = ::vfork();
  if (pid == 0) {
    ::execl("/bin/true", "true", static_cast<char*>(nullptr));
    ::_exit(127);
  }
  int status = 0;
  if (pid < 0 || ::waitpid(pid, &status, 0) != pid || status != 0)
    storm_lost.fetch_add(1);
  storm_started.fetch_add(1);
}

Commands storm_commands() {
  return {{"check", [] {
             say("storm: " + std::string(storm_started.load() > 0 ? "some" : "none") +
                 " started, " + std::to_string(storm_lost.load()) + " lost\n");
           }}};
}

}  // namespace

int threads(const Args& args) {
  const int count = args.empty() ? 4 : std::atoi(args[0].c_str());
  for (int i = 0; i < count; ++i) {
    std::thread([] {
      for (;;) {
        spins.fetch_add(1);
        ::sched_yield();
      }
    }).detach();
    std::thread([] {
      for (;;)
        ::syscall(SYS_futex, &futex_word, FUTEX_WAIT_PRIVATE, 0, nullptr, nullptr, 0);
    }).detach();
    std::thread([] {
      for (;;)
        ::sleep(1000);
    }).detach();
  }
  say_ready();
  return serve({{"spins", [] {
                   const long before = spins.load();
                   while (spins.load() == before)
                     ::usleep(100);
                   say("still spinning\n");
                 }}});
}

int dead_leader(const Args& /*args*/) {
  std::thread([] {
    const std::string stat = "/proc/self/task/" + std::to_string(::getpid()) + "/stat";
    for (char state = '?'; state != 'Z';) {
      char text[512] = {};
      const int fd = ::open(stat.c_str(), O_RDONLY | O_CLOEXEC);
      if (fd >= 0 && ::read(fd, text, sizeof text - 1) > 0)
        state = std::strrchr(text, ')')[2];
      ::close(fd);
    }
    say_ready();
    std::exit(serve());
  }).detach();
  ::pthread_exit(nullptr);
}

int zombie_parent(const Args& /*args*/) {
  const pid_t pid = start_child([] { return 7; });
  wait_until_zombie(pid);
  say_ready();
  return serve({{"reap", [pid] {
                   int status = 0;
                   const bool ok = ::waitpid(pid, &status, 0) == pid && WEXITSTATUS(status) == 7;
                   say(ok ? "reaped 7\n" : "the exit status was stolen\n");
                 }}});
}

int brief_zombie_parent(const Args& /*args*/) {
  std::thread(make_zombies_for_ever).detach();
  say_ready();
  return serve();
}

int vfork_slow(const Args& args) {
  if (args.empty())
    return 2;
  const auto fifo = static_cast<int>(must(::open(args[0].c_str(), O_RDWR | O_CLOEXEC), "fifo"));
  say_ready();
  const pid_t pid = ::vfork();
  if (pid == 0) {
    char byte = 0;
    (void)!::read(fifo, &byte, 1);
    ::execl("/bin/true", "true", static_cast<char*>(nullptr));
    ::_exit(127);
  }
  int status = 0;
  must(::waitpid(pid, &status, 0), "waitpid");
  say("vfork is over\n");
  return serve();
}

int vfork_late(const Args& args) {
  if (args.empty())
    return 2;
  const auto fifo = static_cast<int>(must(::open(args[0].c_str(), O_RDWR | O_CLOEXEC), "fifo"));
  say_ready();
  const pid_t pid = ::vfork();
  if (pid == 0) {
    char byte = 0;
    (void)!::read(fifo, &byte, 1);
    ::execl("/proc/self/exe", "tracee_zoo", "echo-lines", static_cast<char*>(nullptr));
    ::_exit(127);
  }
  int status = 0;
  must(::waitpid(pid, &status, 0), "waitpid");
  return status == 0 ? 0 : 1;
}

int vfork_exec(const Args& args) {
  if (args.empty())
    return 2;
  say_ready();
  const pid_t pid = ::vfork();
  if (pid == 0) {
    ::execl(args[0].c_str(), "sleep", "1000", static_cast<char*>(nullptr));
    ::_exit(127);
  }
  say("runs " + std::to_string(must(pid, "vfork")) + "\n");
  return serve();
}

int vfork_brief(const Args& /*args*/) {
  std::thread([] {
    for (;;) {
      vfork_true();
      ::usleep(500);
    }
  }).detach();
  say_ready();
  return serve(storm_commands());
}

int fork_storm(const Args& /*args*/) {
  for (int i = 0; i < 3; ++i)
    std::thread(storm).detach();
  say_ready();
  return serve(storm_commands());
}

int exec_storm(const Args& args) {
  // The argument is how often it has replaced itself; the child never comes back from it.
  if (!args.empty()) {
    ::usleep(500);
    const std::string next = std::to_string(std::atol(args[0].c_str()) + 1);
    ::execl("/proc/self/exe", "tracee_zoo", "exec-storm", next.c_str(),
            static_cast<char*>(nullptr));
    return 97;
  }
  const pid_t pid = start_child([] {
    ::execl("/proc/self/exe", "tracee_zoo", "exec-storm", "0", static_cast<char*>(nullptr));
    return 97;
  });
  say_ready();
  return serve({{"check", [pid] {
                   int status = 0;
                   say(::waitpid(pid, &status, WNOHANG) == 0 ? "storm goes on\n"
                                                             : "storm has ended\n");
                 }}});
}

int seccomp_filter(const Args& args) {
  const std::string which = args.empty() ? "allow" : args[0];
  const auto answer = which == "kill" ? SECCOMP_RET_KILL_PROCESS : SECCOMP_RET_ERRNO | EACCES;
  std::vector<sock_filter> code = {BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr))};
  const auto add = [&](long number) {
    code.push_back(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, static_cast<unsigned>(number), 0, 1));
    code.push_back(BPF_STMT(BPF_RET | BPF_K, answer));
  };
  if (which == "deny-setsid")
    add(SYS_setsid);
  for (const long number : {SYS_setsid, SYS_setpgid, SYS_ioctl, SYS_dup3, SYS_pidfd_getfd}) {
    if (which == "kill")
      add(number);
  }
  code.push_back(BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW));
  const sock_fprog program{static_cast<unsigned short>(code.size()), code.data()};
  must(::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "PR_SET_NO_NEW_PRIVS");
  must(::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program), "PR_SET_SECCOMP");
  say_ready();
  return serve();
}

int undumpable(const Args& /*args*/) {
  must(::prctl(PR_SET_DUMPABLE, 0), "PR_SET_DUMPABLE");
  say_ready();
  return serve();
}

int own_session(const Args& /*args*/) {
  const pid_t pid = start_child([]() -> int {
    ::setsid();
    for (;;)
      ::pause();
  });
  wait_until_process_asleep(pid);
  say_ready();
  return serve();
}

// Under the names by which grab knows tmux's. The server is nobody's descendant and has no
// controlling terminal, but has this one open by a number that daemons do not have by chance.
// It is ready when its starter has been waited for, too.
int client_of_server(const Args& /*args*/) {
  int gate[2];
  must(::pipe(gate), "pipe");
  const auto starter = static_cast<pid_t>(must(::fork(), "fork"));
  if (starter == 0) {
    must(::setsid(), "setsid");
    if (must(::fork(), "fork") != 0)
      ::_exit(0);
    must(::prctl(PR_SET_NAME, "tmux: server"), "PR_SET_NAME");
    ::close(gate[1]);
    char none = 0;
    must(::read(gate[0], &none, 1), "read");
    ::close(gate[0]);
    must(::dup2(STDIN_FILENO, 5), "dup2");
    say_ready();
    ::_exit(serve());
  }
  must(::prctl(PR_SET_NAME, "tmux: client"), "PR_SET_NAME");
  must(::waitpid(starter, nullptr, 0), "waitpid");
  ::close(gate[0]);
  ::close(gate[1]);
  for (;;)
    ::pause();
}

int run_below(const Args& args) {
  if (must(::fork(), "fork") == 0) {
    std::vector<char*> words;
    for (const std::string& word : args)
      words.push_back(const_cast<char*>(word.c_str()));  // NOLINT: execvp(3) changes none
    words.push_back(nullptr);
    ::execvp(words[0], words.data());
    ::_exit(127);
  }
  say_ready();
  return serve();
}

}  // namespace zoo
