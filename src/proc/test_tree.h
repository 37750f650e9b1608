// SPDX-License-Identifier: MIT
// For the tests of this folder: real processes on a pty of their own. The test process is their
// subreaper, holds the ptmx, and ends and reaps every one of them. Header only, so that none of it
// gets into the library.
#pragma once

#include <fcntl.h>
#include <poll.h>
#include <pty.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <utmp.h>

#include <array>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <functional>
#include <iterator>
#include <map>
#include <string>
#include <string_view>

#include "base/unique_fd.h"
#include "proc/parse.h"

namespace grab::proc {

constexpr std::chrono::seconds kTestDeadline{20};  // far more than a loaded machine needs

/// What runs inside the processes: system calls only, and nothing of gtest.
class Actor {
 public:
  explicit Actor(int report_fd) : report_fd_(report_fd) {}

  /// Forks a process that runs `body`, reports itself to the test under `name`, and pauses.
  pid_t fork(std::string_view name, const std::function<void()>& body = {}) const {
    const pid_t pid = ::fork();
    if (pid == 0) {
      if (body)
        body();
      report(name);
      pause_for_good();
    }
    return pid;
  }

  /// Tells the test that `pid` is there, by default the caller.
  void report(std::string_view name, pid_t pid = ::getpid()) const {
    Report report{};
    report.pid = pid;
    name.copy(report.name.data(), report.name.size() - 1);
    if (::write(report_fd_, &report, sizeof report) != sizeof report)
      std::_Exit(1);
  }

  [[noreturn]] static void pause_for_good() {
    while (true)
      ::pause();
  }

  struct Report {
    pid_t pid;
    std::array<char, 28> name;
  };

 private:
  int report_fd_;
};

class TestTree {
 public:
  TestTree() {
    ::prctl(PR_SET_CHILD_SUBREAPER, 1);
    int ptmx = -1;
    int pts = -1;
    if (::openpty(&ptmx, &pts, nullptr, nullptr, nullptr) != 0)
      std::abort();
    ptmx_.reset(ptmx);
    pts_.reset(pts);
    ::fcntl(ptmx, F_SETFD, FD_CLOEXEC);
    ::fcntl(pts, F_SETFD, FD_CLOEXEC);
    struct stat st {};
    if (::fstat(pts, &st) != 0)
      std::abort();
    device_ = st.st_rdev;
    path_ = ::ttyname(pts);
    std::array<int, 2> ends{};
    if (::pipe2(ends.data(), O_CLOEXEC) != 0)
      std::abort();
    report_.reset(ends[0]);
    report_end_.reset(ends[1]);
  }
  TestTree(const TestTree&) = delete;
  TestTree& operator=(const TestTree&) = delete;
  TestTree(TestTree&&) = delete;
  TestTree& operator=(TestTree&&) = delete;

  ~TestTree() {
    // The fork of one that is killed may come after the kill: go on until there is none left.
    report_end_.reset();
    while (read_report(0)) {
    }
    for (const auto& [name, pid] : pids_)
      ::kill(pid, SIGKILL);
    while (!pids_.empty() && ::waitpid(-1, nullptr, 0) > 0) {
    }
  }

  /// Starts a session leader named "leader" on the pty, with its 0-2 there, and nothing else open
  /// but the end of the report pipe; `keep_ptmx` keeps the ptmx, too.
  void start(const std::function<void(const Actor&)>& body, bool keep_ptmx = false) {
    const pid_t pid = ::fork();
    if (pid == 0) {
      const Actor actor(::dup3(report_end_.get(), kReportFd, O_CLOEXEC));
      if (keep_ptmx)
        ::dup2(ptmx_.get(), kKeptPtmx);
      if (::login_tty(::fcntl(pts_.get(), F_DUPFD, 3)) != 0)
        std::_Exit(1);
      ::close_range(3, kKeptPtmx - 1, 0);
      ::close_range(kKeptPtmx + (keep_ptmx ? 1 : 0), kReportFd - 1, 0);
      ::close_range(kFirstUnused, ~0U, 0);
      body(actor);
      actor.report("leader");
      Actor::pause_for_good();
    }
    pids_["leader"] = pid;
    (void)wait_report("leader");
    pts_.reset();
  }
  static constexpr int kKeptPtmx = 100;
  static constexpr int kReportFd = 200;     ///< the test may keep others open between this one
  static constexpr int kFirstUnused = 220;  ///< and this one

  /// The pid that was reported under that name; waits for it. 0 if it does not come.
  pid_t pid(const std::string& name) { return wait_report(name) ? pids_.at(name) : 0; }

  /// Waits until the process is in one of these states.
  static bool wait_for_state(pid_t pid, std::string_view states) {
    const auto deadline = std::chrono::steady_clock::now() + kTestDeadline;
    while (std::chrono::steady_clock::now() < deadline) {
      const char state = state_of(pid);
      if (states.find(state) != std::string_view::npos)
        return true;
      ::poll(nullptr, 0, 1);
    }
    return false;
  }

  /// The state in /proc/PID/stat, '-' if there is none.
  static char state_of(pid_t pid) {
    std::ifstream file("/proc/" + std::to_string(pid) + "/stat");
    const Result<Stat> stat = parse_stat(std::string(std::istreambuf_iterator<char>(file), {}));
    return stat ? stat->state : '-';
  }

  /// SIGSTOPs every process that has been reported, and waits until they have stopped.
  [[nodiscard]] bool stop_all() {
    for (const auto& [name, pid] : pids_) {
      if (state_of(pid) == 'Z')
        continue;
      if (::kill(pid, SIGSTOP) != 0 || !wait_for_state(pid, "T"))
        return false;
    }
    return true;
  }

  [[nodiscard]] dev_t device() const { return device_; }
  [[nodiscard]] const std::string& path() const { return path_; }

 private:
  bool wait_report(const std::string& name) {
    const auto deadline = std::chrono::steady_clock::now() + kTestDeadline;
    while (!reported_.contains(name) && std::chrono::steady_clock::now() < deadline)
      (void)read_report(100);
    return reported_.contains(name);
  }

  bool read_report(int timeout_ms) {
    pollfd ready{report_.get(), POLLIN, 0};
    Actor::Report report{};
    if (::poll(&ready, 1, timeout_ms) != 1 ||
        ::read(report_.get(), &report, sizeof report) != sizeof report)
      return false;
    pids_[report.name.data()] = report.pid;
    reported_[report.name.data()] = true;
    return true;
  }

  UniqueFd ptmx_, pts_, report_, report_end_;
  dev_t device_ = 0;
  std::string path_;
  std::map<std::string, pid_t> pids_;
  std::map<std::string, bool> reported_;
};

}  // namespace grab::proc
