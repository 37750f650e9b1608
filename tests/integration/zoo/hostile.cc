// SPDX-License-Identifier: MIT
// Programs that lie about themselves, or wait for a chance: a vDSO elsewhere, none, a file in its
// place, a terminal of their own making, a thief of descriptors, a guard that is none.
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <array>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <set>
#include <vector>

#include "integration/zoo/zoo.h"

namespace zoo {
namespace {

struct Mapping {
  void* start = nullptr;
  std::size_t size = 0;
};

Mapping vdso() {
  std::ifstream maps("/proc/self/maps");
  for (std::string line; std::getline(maps, line);) {
    unsigned long start = 0;
    unsigned long end = 0;
    if (line.find(" [vdso]") != std::string::npos &&
        std::sscanf(line.c_str(), "%lx-%lx", &start, &end) == 2)
      return {reinterpret_cast<void*>(start), end - start};  // NOLINT: an address of the kernel's
  }
  say("tracee_zoo: no vDSO\n");
  std::exit(97);
}

/// Moves it to where the kernel finds room; where it was there is nothing then.
Mapping move_vdso() {
  const Mapping at = vdso();
  void* const room = ::mmap(nullptr, at.size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (::mremap(at.start, at.size, at.size, MREMAP_MAYMOVE | MREMAP_FIXED, room) == MAP_FAILED)
    must(-1, "mremap");
  return at;
}

/// Traces them under that name until it is killed; `kind` as in false_guard().
[[noreturn]] void trace_all(const std::vector<pid_t>& pids, const char* name,
                            const std::string& kind, const std::string& file, int ready) {
  constexpr int kMemory = 3;
  must(::setsid(), "setsid");
  must(::prctl(PR_SET_NAME, name), "PR_SET_NAME");
  const int flags = kind == "path" ? O_PATH : kind == "open" ? O_RDWR : O_RDONLY;
  must(::dup2(static_cast<int>(must(::open(file.c_str(), flags), file.c_str())), kMemory), "dup2");
  for (const pid_t pid : pids)
    must(::ptrace(PTRACE_SEIZE, pid, nullptr, nullptr), "PTRACE_SEIZE");
  constexpr uid_t kNobody = 65534;
  if (kind == "nobody")
    must(::setresuid(kNobody, kNobody, kNobody), "setresuid");
  if (kind == "deaf")
    (void)::signal(SIGUSR1, SIG_IGN);
  must(::write(ready, "", 1), "write");
  for (const int fd : {0, 1, 2})
    ::close(fd);
  int status = 0;
  for (pid_t pid = 0; (pid = ::waitpid(-1, &status, __WALL)) > 0 || errno == EINTR;) {
    if (pid > 0 && WIFSTOPPED(status))
      (void)::ptrace(PTRACE_CONT, pid, nullptr, status >> 16 != 0 ? 0L : WSTOPSIG(status));
  }
  ::_exit(0);
}

}  // namespace

// None of these may ask for the time any more: libc would jump to where the vDSO was.
int vdso_moved(const Args& /*args*/) {
  (void)move_vdso();
  say_ready();
  return serve();
}

int vdso_unmapped(const Args& /*args*/) {
  const Mapping at = vdso();
  must(::munmap(at.start, at.size), "munmap");
  say_ready();
  return serve();
}

int vdso_file(const Args& args) {
  const int fd = static_cast<int>(must(::open(args.at(0).c_str(), O_RDWR), args.at(0).c_str()));
  const Mapping was = move_vdso();
  if (::mmap(was.start, was.size, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_SHARED | MAP_FIXED, fd,
             0) == MAP_FAILED)
    must(-1, "mmap");
  say_ready();
  return serve();
}

int own_ptmx(const Args& /*args*/) {
  const int ptmx = static_cast<int>(must(::posix_openpt(O_RDWR | O_NOCTTY), "posix_openpt"));
  must(::unlockpt(ptmx), "unlockpt");
  const int pts = static_cast<int>(must(::open(::ptsname(ptmx), O_RDWR | O_NOCTTY), "pts"));
  say("ptmx " + std::to_string(ptmx) + " pts " + std::to_string(pts) + "\n");
  say_ready();
  return serve();
}

int without_terminal_descriptors(const Args& args) {
  const int null = static_cast<int>(must(::open("/dev/null", O_RDWR), "/dev/null"));
  say_ready();
  for (int fd = 0; fd <= 2; ++fd)
    must(::dup2(null, fd), "dup2");
  ::close(null);
  std::ofstream(args.at(0)) << "closed\n";
  for (;;)
    ::pause();
}

int false_guard(const Args& args) {
  int ready[2], tracing[2];
  must(::pipe(ready) | ::pipe(tracing), "pipe");
  const bool of_shell = args.size() > 2 && args[2] == "shell";
  std::vector<pid_t> pids{of_shell ? ::getppid() : ::getpid()};
  const int children = args.size() > 2 ? std::atoi(args[2].c_str()) : 0;
  for (int i = 0; i < children; ++i) {
    const auto child = static_cast<pid_t>(must(::fork(), "fork"));
    if (child == 0) {
      (void)::prctl(PR_SET_PTRACER, PR_SET_PTRACER_ANY);
      must(::write(ready[1], "", 1), "write");
      for (;;)
        ::pause();
    }
    pids.push_back(child);
  }
  (void)::prctl(PR_SET_PTRACER, PR_SET_PTRACER_ANY);
  char byte = 0;
  for (int i = 0; i < children; ++i)
    must(::read(ready[0], &byte, 1), "read");
  // Nobody's child, lest it be of the tree.
  const auto between = static_cast<pid_t>(must(::fork(), "fork"));
  if (between == 0) {
    if (::fork() == 0)
      trace_all(pids, of_shell ? "grab-guard" : "grab-jobs", args.at(0), args.at(1), tracing[1]);
    ::_exit(0);
  }
  must(::waitpid(between, nullptr, 0), "waitpid");
  ::close(tracing[1]);
  if (::read(tracing[0], &byte, 1) == 1)
    say_ready();
  return serve();
}

int descriptor_thief(const Args& args) {
  const std::string prey = args.at(0);
  std::set<std::string> taken;
  say_ready();
  for (;;) {
    DIR* const proc = ::opendir("/proc");
    while (const dirent* entry = ::readdir(proc)) {
      const pid_t pid = std::atoi(entry->d_name);
      std::ifstream comm(std::string("/proc/") + entry->d_name + "/comm");
      std::string name;
      if (pid <= 0 || !std::getline(comm, name) || name != prey)
        continue;
      ::kill(pid, SIGSTOP);
      const auto pidfd = static_cast<int>(::syscall(SYS_pidfd_open, pid, 0));
      for (int fd = 0; fd < 300; ++fd) {
        const auto copy = static_cast<int>(::syscall(SYS_pidfd_getfd, pidfd, fd, 0));
        if (copy < 0)
          continue;
        std::array<char, 256> target{};
        (void)!::readlink(("/proc/self/fd/" + std::to_string(copy)).c_str(), target.data(),
                          target.size() - 1);
        if (taken.insert(target.data()).second)
          say(std::string("taken ") + target.data() + "\n");
        ::close(copy);
      }
      ::close(pidfd);
      std::ifstream environment(std::string("/proc/") + entry->d_name + "/environ");
      std::string text;
      std::getline(environment, text);
      if (text.find('=') != std::string::npos && taken.insert("environment").second)
        say("taken environment\n");
    }
    ::closedir(proc);
  }
}

}  // namespace zoo
