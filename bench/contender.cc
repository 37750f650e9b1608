// SPDX-License-Identifier: MIT
#include "contender.h"

#include <fcntl.h>
#include <poll.h>
#include <pty.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <utility>

#include "base/unique_fd.h"
#include "tree.h"

namespace grab::bench {
namespace {

constexpr Nanoseconds kMoveDeadline = 30'000'000'000;  // the slowest run seen took 2 s
constexpr Nanoseconds kEndDeadline = 5'000'000'000;    // a contender ends when its tree has ended
constexpr std::uint64_t kQuietReadings = 10;           // ten sleeps: 0.2 s for a thousand
constexpr int kPollMs = 5;

std::vector<std::string> command_of(const Contender& contender, const Tree& tree) {
  if (contender.kind == Kind::kGrab)
    return {contender.program, "--tree", std::to_string(tree.root())};
  if (contender.kind == Kind::kReptyr)
    return {contender.program, std::to_string(tree.root())};
  std::vector<std::string> command{"/proc/self/exe", "--floor"};
  for (const pid_t pid : tree.pids())
    command.push_back(std::to_string(pid));
  return command;
}

// The contender on a terminal of its own, as its user would have it.
class Run {
 public:
  static Result<Run> start(const std::vector<std::string>& command) {
    std::vector<char*> argv;
    argv.reserve(command.size() + 1);
    for (const std::string& word : command)
      argv.push_back(const_cast<char*>(word.c_str()));
    argv.push_back(nullptr);
    const winsize size{.ws_row = 24, .ws_col = 80, .ws_xpixel = 0, .ws_ypixel = 0};
    Run run;
    run.started_ = clock_now();
    int ptmx = -1;
    run.pid_ = ::forkpty(&ptmx, nullptr, nullptr, &size);
    if (run.pid_ < 0)
      return fail_errno(errno, "forkpty");
    if (run.pid_ == 0) {
      ::execv(argv[0], argv.data());
      ::_exit(127);
    }
    run.ptmx_.reset(ptmx);
    (void)::fcntl(ptmx, F_SETFD, FD_CLOEXEC);
    return run;
  }
  Run(Run&& other) noexcept
      : pid_(std::exchange(other.pid_, 0)),
        ptmx_(std::move(other.ptmx_)),
        started_(other.started_),
        output_(std::move(other.output_)) {}
  Run(const Run&) = delete;
  Run& operator=(const Run&) = delete;
  Run& operator=(Run&&) = delete;
  ~Run() {
    if (pid_ <= 0)
      return;
    (void)::kill(pid_, SIGKILL);
    (void)::waitpid(pid_, nullptr, 0);
  }

  [[nodiscard]] Nanoseconds started() const { return started_; }
  [[nodiscard]] const std::string& output() const { return output_; }

  /// Reads what it shows for a moment. True once it has ended; its time of ending is then known.
  bool ended() {
    pollfd readable{.fd = ptmx_.get(), .events = POLLIN, .revents = 0};
    std::array<char, 4096> bytes{};
    if (::poll(&readable, 1, kPollMs) > 0) {
      const ssize_t n = ::read(ptmx_.get(), bytes.data(), bytes.size());
      if (n > 0)
        output_.append(bytes.data(), static_cast<std::size_t>(n));
      else
        (void)::usleep(1000);  // EIO: nobody has the other side open; it will have ended soon
    }
    if (pid_ > 0 && ::waitpid(pid_, nullptr, WNOHANG) == pid_)
      pid_ = 0;
    return pid_ == 0;
  }

 private:
  Run() = default;
  pid_t pid_ = 0;
  UniqueFd ptmx_;
  Nanoseconds started_ = 0;
  std::string output_;
};

Status wait_done(const Contender& contender, Run& run, const Tree& tree) {
  const Nanoseconds deadline = clock_now() + kMoveDeadline;
  for (;;) {
    const bool ended = run.ended();
    if (contender.kind == Kind::kFloor ? ended : tree.moved() == tree.count())
      return {};
    if (ended || clock_now() > deadline)
      return fail(ended ? ErrorKind::kUnsupported : ErrorKind::kTimeout,
                  std::string(name_of(contender.kind)) + " moved " + std::to_string(tree.moved()) +
                      " of " + std::to_string(tree.count()) + " processes",
                  run.output());
  }
}

constexpr auto kQuiet = static_cast<std::size_t>(Phase::kQuiet);
constexpr auto kRun = static_cast<std::size_t>(Phase::kRun);

Nanoseconds median_window(const Tree& tree) {
  const Nanoseconds sleep = sleep_of(tree.count());
  std::vector<Nanoseconds> windows;
  for (int i = 0; i < tree.count(); ++i) {
    const Slot& slot = tree.board().slots[static_cast<std::size_t>(i)];
    // A window longer than the sleep lies between the delay (the sleep ended within the window) and
    // the gap (it began just before it), which are one sleep apart; the middle is right on average.
    windows.push_back((slot.longest_delay[kRun] + slot.longest_gap[kRun]) / 2);
  }
  const auto middle = windows.begin() + static_cast<std::ptrdiff_t>(windows.size() / 2);
  std::nth_element(windows.begin(), middle, windows.end());
  return *middle > 2 * sleep ? *middle : 0;
}

Result<Sample> collect(const Contender& contender, const Run& run, const Tree& tree,
                       Nanoseconds ended_at) {
  Sample sample;
  std::uint64_t errors = 0;
  for (int i = 0; i < tree.count(); ++i) {
    const Slot& slot = tree.board().slots[static_cast<std::size_t>(i)];
    errors += slot.errors;
    sample.quiet = std::max<Nanoseconds>(sample.quiet, slot.longest_delay[kQuiet]);
    sample.frozen = std::max<Nanoseconds>(sample.frozen, slot.longest_delay[kRun]);
    sample.longest_gap = std::max<Nanoseconds>(sample.longest_gap, slot.longest_gap[kRun]);
  }
  sample.frozen_median = median_window(tree);
  const Nanoseconds done =
      contender.kind == Kind::kFloor ? ended_at : tree.board().slots[0].moved_at.load();
  sample.done = done - run.started();
  if (errors != 0)
    return fail(ErrorKind::kUnsupported,
                std::string(name_of(contender.kind)) + ": " + std::to_string(errors) +
                    " sleeps in the tree ended with an error",
                run.output());
  return sample;
}

// Orphans of the tree and of the contender come to this process, which is their subreaper.
Status reap_all() {
  const Nanoseconds deadline = clock_now() + kEndDeadline;
  for (;;) {
    const pid_t pid = ::waitpid(-1, nullptr, WNOHANG);
    if (pid < 0)
      return {};
    if (pid > 0)
      continue;
    if (clock_now() > deadline)
      return fail(ErrorKind::kTimeout, "some process of this run does not end");
    (void)::usleep(1000);
  }
}

Result<Sample> measure_on(const Contender& contender, Tree& tree) {
  tree.board().phase = Phase::kQuiet;
  GRAB_CHECK(tree.wait_readings(kQuietReadings));
  tree.board().phase = Phase::kRun;
  GRAB_CHECK(tree.wait_readings(1));
  GRAB_TRY(Run run, Run::start(command_of(contender, tree)));
  GRAB_CHECK(wait_done(contender, run, tree));
  const Nanoseconds ended_at = clock_now();
  // The first reading after the window is in the gap; one more makes sure that it was written.
  GRAB_CHECK(tree.wait_readings(2));
  Result<Sample> sample = collect(contender, run, tree, ended_at);
  tree.kill_tree();
  const Nanoseconds deadline = clock_now() + kEndDeadline;
  while (!run.ended())
    if (clock_now() > deadline)
      return fail(ErrorKind::kTimeout,
                  std::string(name_of(contender.kind)) + " did not end with its tree",
                  run.output());
  return sample;
}

}  // namespace

const char* name_of(Kind kind) {
  switch (kind) {
    case Kind::kFloor:
      return "floor";
    case Kind::kGrab:
      return "grab";
    case Kind::kReptyr:
      return "reptyr";
  }
  return "?";
}

Result<Sample> measure(const Contender& contender, int count) {
  Result<Sample> sample = [&]() -> Result<Sample> {
    GRAB_TRY(Tree tree, Tree::start(count));
    return measure_on(contender, tree);
  }();
  GRAB_CHECK(reap_all());
  return sample;
}

int run_floor(const std::vector<pid_t>& pids) {
  for (const pid_t pid : pids)
    if (::ptrace(PTRACE_SEIZE, pid, nullptr, nullptr) != 0)
      return 1;
  for (const pid_t pid : pids)
    if (::ptrace(PTRACE_INTERRUPT, pid, nullptr, nullptr) != 0)
      return 1;
  for (const pid_t pid : pids)
    if (::waitpid(pid, nullptr, __WALL) != pid)
      return 1;
  for (const pid_t pid : pids)
    if (::ptrace(PTRACE_DETACH, pid, nullptr, nullptr) != 0)
      return 1;
  return 0;
}

}  // namespace grab::bench
