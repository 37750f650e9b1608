// SPDX-License-Identifier: MIT
// Trees in which nothing stands still: each of many processes does one thing at full speed, checks
// every result of it, and says in the end whether it, and all that it has started since, is on the
// terminal of the root.
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>
#include <numeric>
#include <thread>

#include "integration/zoo/zoo.h"

extern char** environ;  // NOLINT: as environ(7) has it

namespace zoo {
namespace {

constexpr int kPageFd = 100;
constexpr std::size_t kMost = 1000;
constexpr int kWell = 7;        // exit status of what was started and is where it should be
constexpr int kLastRounds = 3;  // made when the storm is over, to see where new processes are

struct Slot {
  std::atomic<unsigned> rounds;
  std::atomic<int> wrong_line, wrong_errno;  // of the first check that failed
};

struct Page {
  std::atomic<bool> begun;
  std::atomic<bool> over;
  std::atomic<dev_t> home;  // set before `over`: the terminal on which all have to be
  dev_t first_home;
  std::atomic<long> rest_ns;  // longer, the more they are
  Slot slot[kMost];
};

Page& page() {
  static Page* const mapped = static_cast<Page*>(
      ::mmap(nullptr, sizeof(Page), PROT_READ | PROT_WRITE, MAP_SHARED, kPageFd, 0));
  return *mapped;
}

dev_t terminal_on(int fd) {
  struct stat info {};
  return ::fstat(fd, &info) == 0 ? info.st_rdev : 0;
}

/// With the storm over: all of this process's terminal is that of the root.
bool is_home() {
  if (!page().over.load())
    return true;
  const dev_t home = page().home.load();
  for (const int fd : {0, 1, 2}) {
    if (terminal_on(fd) != home)
      return false;
  }
  const int tty = ::open("/dev/tty", O_RDWR | O_NOCTTY | O_CLOEXEC);
  if (tty < 0)
    return true;
  // Kernel: TIOCGDEV tells which terminal /dev/tty is; the path to it tells as much. Source:
  // tty_ioctl(2).
  unsigned device = 0;
  const bool known = ::ioctl(tty, TIOCGDEV, &device) == 0;
  ::close(tty);
  return !known || page().first_home == home || device != page().first_home;
}

void note(std::size_t index, int line) {
  int none = 0;
  if (page().slot[index].wrong_line.compare_exchange_strong(none, line))
    page().slot[index].wrong_errno.store(errno);
}

#define CHECK(condition)     \
  do {                       \
    if (!(condition)) {      \
      note(index, __LINE__); \
    }                        \
  } while (false)

bool ends_with(pid_t pid, int wanted) {
  int status = 0;
  pid_t ended = 0;
  do {
    ended = ::waitpid(pid, &status, 0);
  } while (ended < 0 && errno == EINTR);
  return ended == pid && WIFEXITED(status) && WEXITSTATUS(status) == wanted;
}

void fork_round(std::size_t index) {
  const pid_t pid = ::fork();
  if (pid == 0)
    ::_exit(is_home() ? kWell : 1);
  CHECK(pid > 0 && ends_with(pid, kWell));
}

/// posix_spawn(3) is a vfork and an execve.
void spawn_round(std::size_t index) {
  char program[] = "tracee_zoo";
  char what[] = "storm-newborn";
  char* const argv[] = {program, what, nullptr};
  pid_t pid = 0;
  CHECK(::posix_spawn(&pid, "/proc/self/exe", nullptr, nullptr, argv, environ) == 0);
  CHECK(ends_with(pid, kWell));
}

void thread_round(std::size_t index) {
  std::atomic<int> ran{0};
  std::thread first([&ran] { ran += 1; });
  std::thread second([&ran] { ran += 1; });
  first.join();
  second.join();
  CHECK(ran.load() == 2);
}

struct Child {
  pid_t pid = 0;
  std::atomic<unsigned>* beats = nullptr;
};

/// Lets others have the processor. Kernel: a few dozen processes that stop and continue each other
/// all the time may keep it from all others for ten seconds. Seen on Linux 6.18.
void rest() {
  const timespec moment{0, page().rest_ns.load()};
  ::nanosleep(&moment, nullptr);
}

/// A child that beats, for as long as its parent lives.
Child beating_child() {
  auto* beats = static_cast<std::atomic<unsigned>*>(
      ::mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
  const pid_t pid = ::fork();
  if (pid == 0) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    for (;;) {
      ++*beats;
      rest();
      if (!is_home())
        ::_exit(1);
    }
  }
  return {pid, beats};
}

/// Stops and continues a child. A grab continues what it finds stopped, so only the end is sure.
void stop_round(std::size_t index) {
  static const Child child = beating_child();
  rest();
  CHECK(::kill(child.pid, SIGSTOP) == 0);
  CHECK(::kill(child.pid, SIGCONT) == 0);
  CHECK(::waitpid(child.pid, nullptr, WNOHANG) == 0);  // not ended
  if (page().slot[index].rounds.load() % 64 != 0 && !page().over.load())
    return;
  const unsigned before = child.beats->load();
  while (child.beats->load() == before)
    ::sched_yield();  // for ever, if the child stays stopped: the test sees that
}

volatile sig_atomic_t next_number = 0;
volatile sig_atomic_t number_lost = 0;

void on_number(int /*signo*/, siginfo_t* info, void* /*context*/) {
  if (info->si_value.sival_int != next_number)
    number_lost = 1;
  next_number = info->si_value.sival_int + 1;
}

/// A child sends its parent numbered signals, of which none may be lost, and SIGCHLD.
void signal_round(std::size_t index) {
  static const pid_t sender = [] {
    struct sigaction action {};
    action.sa_sigaction = on_number;
    action.sa_flags = SA_SIGINFO | SA_RESTART;
    ::sigaction(SIGRTMIN + 1, &action, nullptr);
    const pid_t parent = ::getpid();
    const pid_t pid = ::fork();
    if (pid != 0)
      return pid;
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    for (int number = 0;; ++number) {
      sigval value{};
      value.sival_int = number;
      while (::sigqueue(parent, SIGRTMIN + 1, value) != 0)
        ::sched_yield();
      ::kill(parent, SIGCHLD);
      if (!is_home())
        ::_exit(1);
    }
  }();
  rest();
  CHECK(number_lost == 0);
  CHECK(::waitpid(sender, nullptr, WNOHANG) == 0);
}

[[noreturn]] void run(const std::string& kind, std::size_t index, int rounds_left);

/// This process calls execve of itself.
void exec_round(std::size_t index, int rounds_left) {
  const std::string number = std::to_string(index);
  const std::string left = std::to_string(rounds_left);
  ::execl("/proc/self/exe", "tracee_zoo", "storm-again", number.c_str(), left.c_str(),
          static_cast<char*>(nullptr));
  note(index, __LINE__);
}

void round_of(const std::string& kind, std::size_t index, int rounds_left) {
  if (kind == "fork")
    return fork_round(index);
  if (kind == "spawn")
    return spawn_round(index);
  if (kind == "exec")
    return exec_round(index, rounds_left);
  if (kind == "thread")
    return thread_round(index);
  if (kind == "stop")
    return stop_round(index);
  return signal_round(index);
}

void run(const std::string& kind, std::size_t index, int rounds_left) {
  while (rounds_left > 0) {
    if (page().over.load())
      --rounds_left;
    ++page().slot[index].rounds;
    round_of(kind, index, rounds_left);
  }
  CHECK(is_home());
  ::_exit(page().slot[index].wrong_line.load() == 0 ? 0 : 1);
}

std::string rounds_beside(const std::string& file) {
  return file + ".rounds";
}

/// Command substitutions of bash, until there is a file that names the terminal.
[[noreturn]] void run_shell(const std::string& file) {
  const std::string script = "n=0; while [ ! -e " + file +
                             " ]; do x=$(echo a; (echo b) | cat); [ \"$x\" = $'a\\nb' ] || exit 1; "
                             "n=$((n + 1)); done; echo $n >> " +
                             rounds_beside(file) + "; [ \"$(tty)\" = \"$(cat " + file +
                             ")\" ] || exit 2";
  ::execlp("bash", "bash", "-c", script.c_str(), static_cast<char*>(nullptr));
  ::_exit(127);
}

const char* kind_of(std::size_t index, const std::string& kind) {
  static constexpr const char* kAll[] = {"fork", "spawn",  "exec", "thread",
                                         "stop", "signal", "shell"};
  return kind == "mixed" ? kAll[index % (sizeof kAll / sizeof kAll[0])] : kind.c_str();
}

std::string complaint(std::size_t index, const std::string& kind, int status) {
  const Slot& slot = page().slot[index];
  return std::string(kind_of(index, kind)) + " " + std::to_string(index) + ": status " +
         std::to_string(status) + ", line " + std::to_string(slot.wrong_line.load()) + ", " +
         std::strerror(slot.wrong_errno.load()) + "\n";
}

unsigned long rounds_of_shells(const std::string& file) {
  std::ifstream in(rounds_beside(file));
  return std::accumulate(std::istream_iterator<unsigned long>(in), {}, 0UL);
}

/// Ends the storm; how many came out of it as they should.
void check(const std::string& kind, const std::vector<pid_t>& pids, const std::string& file) {
  const char* name = ::ttyname(0);
  page().home.store(terminal_on(0));
  page().over.store(true);
  const std::string draft = file + ".new";
  std::FILE* out = std::fopen(draft.c_str(), "we");
  (void)std::fputs(name == nullptr ? "?" : name, out);
  (void)std::fclose(out);
  must(::rename(draft.c_str(), file.c_str()), "rename");
  std::size_t well = 0;
  unsigned long rounds = 0;
  for (std::size_t i = 0; i < pids.size(); ++i) {
    int status = 0;
    if (::waitpid(pids[i], &status, 0) == pids[i] && status == 0)
      ++well;
    else
      say(complaint(i, kind, status));
    rounds += page().slot[i].rounds.load();
  }
  rounds += rounds_of_shells(file);
  say("storm over: " + std::to_string(well) + " of " + std::to_string(pids.size()) + " well, " +
      std::to_string(rounds) + " rounds\n");
}

}  // namespace

int storm_tree(const Args& args) {
  const std::string kind = args.at(0);
  const auto count = static_cast<std::size_t>(std::atol(args.at(1).c_str()));
  const std::string& file = args.at(2);
  const auto memory = static_cast<int>(must(::memfd_create("storm", 0), "memfd_create"));
  must(::ftruncate(memory, sizeof(Page)), "ftruncate");
  must(::dup2(memory, kPageFd), "dup2");
  ::close(memory);
  page().first_home = terminal_on(0);
  page().rest_ns.store(30'000 * static_cast<long>(count));
  std::vector<pid_t> pids;
  for (std::size_t i = 0; i < count; ++i) {
    const auto pid = static_cast<pid_t>(must(::fork(), "fork"));
    if (pid == 0) {
      ::prctl(PR_SET_PDEATHSIG, SIGKILL);
      (void)!::nice(5);  // so that who grabs and looks at them gets on, too
      while (!page().begun.load())
        ::usleep(1000);
      if (std::strcmp(kind_of(i, kind), "shell") == 0)
        run_shell(file);
      run(kind_of(i, kind), i, kLastRounds);
    }
    pids.push_back(pid);
  }
  say_ready();
  page().begun.store(true);
  return serve({{"check", [&] { check(kind, pids, file); }}});
}

int storm_again(const Args& args) {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  run("exec", static_cast<std::size_t>(std::atol(args.at(0).c_str())),
      std::atoi(args.at(1).c_str()));
}

int storm_newborn(const Args& /*args*/) {
  return is_home() ? kWell : 1;
}

}  // namespace zoo
