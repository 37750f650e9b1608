// SPDX-License-Identifier: MIT
// For tests: a user's terminal with a small shell that runs a viewer on it as a job, its relay, and
// a tree of processes on a pts of its own, made by hand as a move leaves it. All are real
// processes; all are gone when the fixture is.
#pragma once

#include <fcntl.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <functional>
#include <initializer_list>
#include <string>
#include <string_view>
#include <vector>

#include <gtest/gtest.h>

#include "base/unique_fd.h"
#include "relay/proc_info.h"
#include "relay/pts.h"
#include "relay/relay.h"
#include "relay/server.h"
#include "relay/view.h"

namespace grab::relay::fixture {

using Clock = std::chrono::steady_clock;
constexpr auto kDeadline = std::chrono::seconds(20);  // far beyond any test; a hang must not last

/// Waits until the condition holds; false when the deadline passed. For states that no byte tells.
inline bool eventually(const std::function<bool()>& condition) {
  const auto end = Clock::now() + kDeadline;
  while (!condition()) {
    if (Clock::now() > end)
      return false;
    (void)::poll(nullptr, 0, 1);
  }
  return true;
}

/// A process that we forked; killed and reaped at the end.
class Forked {
 public:
  Forked() = default;
  explicit Forked(pid_t pid) : pid_(pid) {}
  Forked(Forked&& other) noexcept : pid_(std::exchange(other.pid_, 0)) {}
  Forked& operator=(Forked&& other) noexcept {
    end();
    pid_ = std::exchange(other.pid_, 0);
    return *this;
  }
  Forked(const Forked&) = delete;
  Forked& operator=(const Forked&) = delete;
  ~Forked() { end(); }

  [[nodiscard]] pid_t pid() const { return pid_; }
  [[nodiscard]] ProcessRef ref() const {
    const auto stat = read_stat(pid_);
    return {pid_, stat ? stat->start_time : 1};
  }
  void end() {
    if (pid_ <= 0)
      return;
    (void)::kill(pid_, SIGKILL);
    (void)::waitpid(pid_, nullptr, 0);
    pid_ = 0;
  }

 private:
  pid_t pid_ = 0;
};

/// Runs `body` in a child that has only these descriptors and 0-2; it exits with what body returns.
inline Forked run(std::initializer_list<int> keep, const std::function<int()>& body) {
  const pid_t pid = ::fork();
  if (pid != 0)
    return Forked(pid);
  for (int fd = 3; fd < 256; ++fd) {
    if (std::find(keep.begin(), keep.end(), fd) == keep.end())
      (void)::close(fd);
  }
  ::_exit(body());
}

struct Pipe {
  UniqueFd read, write;
  Pipe() {
    std::array<int, 2> fds{};
    if (::pipe2(fds.data(), O_CLOEXEC) != 0)
      std::abort();
    read.reset(fds[0]);
    write.reset(fds[1]);
  }
};

inline void say(std::string_view text, int fd = STDOUT_FILENO) {
  while (!text.empty()) {
    const ssize_t n = ::write(fd, text.data(), text.size());
    if (n < 0 && errno == EINTR)
      continue;
    if (n <= 0)
      ::_exit(90);
    text.remove_prefix(static_cast<std::size_t>(n));
  }
}

inline char read_byte(int fd) {
  char byte = 0;
  while (::read(fd, &byte, 1) < 0 && errno == EINTR) {
  }
  return byte;
}

inline void set_raw(int fd) {
  termios modes{};
  (void)::tcgetattr(fd, &modes);
  ::cfmakeraw(&modes);
  (void)::tcsetattr(fd, TCSANOW, &modes);
}

/// Makes the pts 0-2 and, if asked, the controlling terminal of a new session.
inline void use_terminal(int pts, bool own_session) {
  if (own_session && (::setsid() < 0 || ::ioctl(pts, TIOCSCTTY, 0) != 0))
    ::_exit(91);
  for (const int fd : {0, 1, 2})
    (void)::dup2(pts, fd);
}

struct Pair {
  int viewer = -1, relay = -1;
  Pair() {
    std::array<int, 2> fds{};
    if (::socketpair(AF_UNIX, SOCK_STREAM, 0, fds.data()) != 0)
      std::abort();
    viewer = fds[0];
    relay = fds[1];
  }
};

/// A folder that is removed with all that is in it.
class Folder {
 public:
  Folder() : path_((std::filesystem::temp_directory_path() / "grab-relay-XXXXXX").string()) {
    if (::mkdtemp(path_.data()) == nullptr)
      std::abort();
  }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;
  ~Folder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  [[nodiscard]] const char* c_str() const { return path_.c_str(); }

 private:
  std::string path_;
};

/// How view() ended, through a pipe.
struct Outcome {
  bool ok = false;
  bool has_status = false;
  int status = 0;
  std::array<char, 256> error{};
};

/// The user's terminal, with a session leader that does what a shell does about one job.
class UserTerminal {
 public:
  UserTerminal() {
    auto opened = open_ptmx(nullptr);
    ptmx_ = std::move(*opened);
    (void)::fcntl(ptmx_.get(), F_SETFL, O_RDWR);  // what is typed waits for room
    set_window_size(ptmx_.get(), {24, 80, 0, 0});
    pts_ = std::move(*open_pts(ptmx_.get()));
  }
  UserTerminal(UserTerminal&&) = delete;
  ~UserTerminal() {
    (void)::close(commands_.write.release());
    shell_.end();
    if (relay_pid_ > 0)  // reparented: not ours to reap, but ours to end
      (void)::kill(relay_pid_, SIGKILL);
  }

  /// Starts the relay as the foreground job. `orphaned`: in the shell's own group, as a session
  /// leader's: no job control.
  void show(UniqueFd tree_ptmx, const MovedTree& tree, bool orphaned = false) {
    const auto shell = [&] {
      use_terminal(pts_.get(), true);
      (void)::signal(SIGTTOU, SIG_IGN);
      const pid_t relay = ::fork();
      if (relay == 0)
        relay_main(std::move(tree_ptmx), tree, orphaned);
      (void)::signal(SIGHUP, SIG_IGN);
      say({reinterpret_cast<const char*>(&relay), sizeof relay}, events_.write.get());
      shell_main(relay);
      return 0;
    };
    shell_ = run({pts_.get(), tree_ptmx.get(), notices_.read.get(), outcome_.write.get(),
                  events_.write.get(), commands_.read.get()},
                 shell);
    notices_.read.reset();
    outcome_.write.reset();
    events_.write.reset();
    ASSERT_EQ(::read(events_.read.get(), &relay_pid_, sizeof relay_pid_),
              static_cast<ssize_t>(sizeof relay_pid_));
    notice("ready");
    std::string before = expect("grab: ready\r\n");  // the tree may have written before that
    before.erase(std::min(before.find("grab: ready"), before.size()));
    shown_.insert(0, before);
  }

  /// Reads until the text has come; what came up to its end.
  std::string expect(std::string_view text) {
    const auto end = Clock::now() + kDeadline;
    std::size_t searched = 0;
    for (;;) {
      const std::size_t from = searched > text.size() ? searched - text.size() : 0;
      if (const std::size_t at = shown_.find(text, from); at != std::string::npos) {
        std::string before = shown_.substr(0, at + text.size());
        shown_.erase(0, at + text.size());
        return before;
      }
      searched = shown_.size();
      if (Clock::now() > end || !read_more()) {
        ADD_FAILURE() << "waited for \"" << text << "\", got \"" << shown_ << '"';
        return {};
      }
    }
  }
  void type(std::string_view text) const { say(text, ptmx_.get()); }
  void notice(std::string_view line) const { say(std::string(line) + "\n", notices_.write.get()); }
  void resize(WindowSize size) const { set_window_size(ptmx_.get(), size); }
  [[nodiscard]] bool is_raw() const {
    termios modes{};
    return ::tcgetattr(ptmx_.get(), &modes) == 0 && (modes.c_lflag & (ICANON | ECHO | ISIG)) == 0;
  }
  /// As a shell does when its job has stopped.
  void set_cooked() const {
    termios modes{};
    (void)::tcgetattr(ptmx_.get(), &modes);
    modes.c_lflag |= ICANON | ECHO | ISIG;
    modes.c_oflag |= OPOST;
    (void)::tcsetattr(ptmx_.get(), TCSANOW, &modes);
  }
  [[nodiscard]] pid_t relay_pid() const { return relay_pid_; }
  /// The relay itself; relay_pid() is its viewer. 0 if it has none.
  [[nodiscard]] pid_t server_pid() const {
    const std::string pid = std::to_string(relay_pid_);
    pid_t server = 0;
    std::ifstream("/proc/" + pid + "/task/" + pid + "/children") >> server;
    return server;
  }
  [[nodiscard]] int ptmx() const { return ptmx_.get(); }
  void hang_up() {
    pts_.reset();
    ptmx_.reset();
  }

  /// The shell saw its job stop / was told to continue it in the foreground.
  void wait_stopped() { EXPECT_EQ(read_byte(events_.read.get()), 'Z'); }
  void fg() const { say("f", commands_.write.get()); }
  void bg() const { say("b", commands_.write.get()); }

  Outcome wait_end() {
    Outcome outcome;
    pollfd poll{outcome_.read.get(), POLLIN, 0};
    const auto limit = std::chrono::duration_cast<std::chrono::milliseconds>(kDeadline).count();
    if (::poll(&poll, 1, static_cast<int>(limit)) != 1 ||
        ::read(poll.fd, &outcome, sizeof outcome) != static_cast<ssize_t>(sizeof outcome)) {
      ADD_FAILURE() << "the relay did not end";
      return outcome;
    }
    EXPECT_EQ(read_byte(events_.read.get()), 'E');
    relay_pid_ = 0;
    return outcome;
  }

 private:
  [[noreturn]] void relay_main(UniqueFd tree_ptmx, const MovedTree& tree, bool orphaned) {
    if (!orphaned) {
      (void)::setpgid(0, 0);
      (void)::tcsetpgrp(pts_.get(), ::getpid());
    }
    (void)::signal(SIGTTOU, SIG_DFL);
    pts_.reset();
    Outcome outcome;
    auto viewer = open_viewer();
    const Pair connection;
    const Pair link;
    if (::fork() == 0)
      server_main(std::move(tree_ptmx), tree, connection.relay, link.relay);
    tree_ptmx.reset();
    notices_.read.reset();
    Connection to_relay(UniqueFd(::dup(connection.viewer)), Side::kRelay);
    if (viewer && exchange_hello(to_relay, "test", 5000)) {
      const auto end = view(std::move(to_relay), std::move(*viewer), {}, [] {
        return Result<Connection>(fail(ErrorKind::kSystem, "the relay has gone"));
      });
      note(end, outcome);
    }
    say({reinterpret_cast<const char*>(&outcome), sizeof outcome}, outcome_.write.get());
    ::_exit(0);
  }

  // Ends with the viewer, whatever becomes of the tree.
  [[noreturn]] void server_main(UniqueFd tree_ptmx, const MovedTree& tree, int connection,
                                int link) {
    (void)::prctl(PR_SET_PDEATHSIG, SIGKILL);
    (void)::setsid();
    (void)::setenv("XDG_RUNTIME_DIR", runtime_.c_str(), 1);
    say(encode(message::Hello{kProtocolVersion, "test"}), connection);
    RelaySetup setup;
    setup.ptmx = std::move(tree_ptmx);
    setup.tree = tree;
    setup.info.name = "test";
    setup.owner = ::geteuid();
    setup.command = UniqueFd(connection);
    setup.command_attaches = true;
    setup.notices = std::move(notices_.read);
    ::_exit(serve(std::move(setup), UniqueFd(link)) ? 0 : 1);
  }

  static void note(const Result<ViewEnd>& end, Outcome& outcome) {
    const auto* tree_end = end ? std::get_if<TreeEnd>(&*end) : nullptr;
    outcome.ok = tree_end != nullptr;
    outcome.has_status = tree_end != nullptr && tree_end->wait_status;
    outcome.status = outcome.has_status ? *tree_end->wait_status : 0;
    std::string error = end ? "" : end.error().message();
    if (const auto* signalled = end ? std::get_if<view_end::Signalled>(&*end) : nullptr)
      error = std::string("SIG") + sigabbrev_np(signalled->signo);
    if (const auto* detached = end ? std::get_if<view_end::Detached>(&*end) : nullptr)
      error = "detached " + detached->why;
    (void)std::strncpy(outcome.error.data(), error.c_str(), outcome.error.size() - 1);
  }

  void shell_main(pid_t relay) {
    for (;;) {
      int status = 0;
      if (::waitpid(relay, &status, WUNTRACED) != relay)
        return;
      if (!WIFSTOPPED(status)) {
        say("E", events_.write.get());
        (void)::pause();  // a session leader that ended would hang up the terminal
        return;
      }
      (void)::tcsetpgrp(pts_.get(), ::getpid());
      say("Z", events_.write.get());
      const char command = read_byte(commands_.read.get());
      if (command == 0)
        return;
      if (command == 'f')
        (void)::tcsetpgrp(pts_.get(), relay);
      (void)::kill(-relay, SIGCONT);
    }
  }

  bool read_more() {
    std::array<char, 65536> part{};
    pollfd poll{ptmx_.get(), POLLIN, 0};
    if (::poll(&poll, 1, 100) == 0)
      return true;
    const ssize_t n = ::read(ptmx_.get(), part.data(), part.size());
    if (n <= 0)
      return false;
    shown_.append(part.data(), static_cast<std::size_t>(n));
    return true;
  }

  Folder runtime_;
  UniqueFd ptmx_, pts_;
  Pipe notices_, outcome_, events_, commands_;
  Forked shell_;
  pid_t relay_pid_ = 0;
  std::string shown_;
};

/// The new terminal of a tree.
struct TreeTerminal {
  UniqueFd ptmx = std::move(*open_ptmx(nullptr));
  UniqueFd pts = std::move(*open_pts(ptmx.get()));
  TreeTerminal() { set_window_size(ptmx.get(), {24, 80, 0, 0}); }

  /// Root: a new session with the pts as controlling terminal.
  [[nodiscard]] Forked root(const std::function<int()>& body,
                            std::initializer_list<int> keep = {}) const {
    return start(body, true, keep);
  }
  /// A follower: on the pts, in a group of its own in the session of this test.
  [[nodiscard]] Forked follower(const std::function<int()>& body,
                                std::initializer_list<int> keep = {}) const {
    Forked process = start(
        [&] {
          (void)::setpgid(0, 0);
          return body();
        },
        false, keep);
    (void)::setpgid(process.pid(), process.pid());
    return process;
  }
  /// What a move would say of it. We keep no descriptor of it ourselves from here on.
  [[nodiscard]] MovedTree tree(const Forked& root,
                               std::initializer_list<const Forked*> followers = {}) {
    MovedTree moved;
    moved.name = "tree";
    moved.status_pid = moved.job_pgid = root.pid();
    moved.processes.push_back(root.ref());
    for (const Forked* follower : followers) {
      moved.processes.push_back(follower->ref());
      moved.follower_pgids.push_back(follower->pid());
    }
    pts.reset();
    return moved;
  }

 private:
  [[nodiscard]] Forked start(const std::function<int()>& body, bool own_session,
                             std::initializer_list<int> keep) const {
    std::array<int, 3> kept{-1, -1, pts.get()};
    std::copy_n(keep.begin(), std::min<std::size_t>(keep.size(), 2), kept.begin());
    return run({kept[0], kept[1], kept[2]}, [&] {
      use_terminal(pts.get(), own_session);
      (void)::close(pts.get());
      return body();
    });
  }
};

}  // namespace grab::relay::fixture
