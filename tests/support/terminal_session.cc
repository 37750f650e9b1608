// SPDX-License-Identifier: MIT
#include "support/terminal_session.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <condition_variable>
#include <cstring>
#include <filesystem>
#include <mutex>
#include <set>
#include <stdexcept>
#include <system_error>
#include <thread>

#include "base/unique_fd.h"

namespace grab::test {
namespace {

// The harness can not go on without these; the test that needed them fails with the text.
template <class T>
T must(T result, const char* what) {
  if (result < 0)
    throw std::system_error(errno, std::generic_category(), what);
  return result;
}

std::vector<char*> pointers(std::vector<std::string>& strings) {
  std::vector<char*> result;
  result.reserve(strings.size() + 1);
  for (std::string& text : strings)
    result.push_back(text.data());
  result.push_back(nullptr);
  return result;
}

winsize to_winsize(WindowSize size) {
  return {.ws_row = size.rows, .ws_col = size.columns, .ws_xpixel = 0, .ws_ypixel = 0};
}

// Runs after fork: async-signal-safe calls only.
[[noreturn]] void become_session(int pts, int error_fd, char* const* argv, char* const* envp,
                                 const char* folder) {
  sigset_t none;
  ::sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
  for (int signo = 1; signo < NSIG; ++signo)
    ::signal(signo, SIG_DFL);
  // What this process has inherited itself is nothing for a shell on a terminal.
  (void)::close_range(3, ~0U, CLOSE_RANGE_CLOEXEC);
  if (::setsid() >= 0 && ::ioctl(pts, TIOCSCTTY, 0) == 0 && ::dup2(pts, 0) == 0 &&
      ::dup2(pts, 1) == 1 && ::dup2(pts, 2) == 2 && ::chdir(folder) == 0)
    ::execve(argv[0], argv, envp);
  const int err = errno;
  (void)!::write(error_fd, &err, sizeof err);
  ::_exit(127);
}

std::mutex& registry_mutex() {
  static std::mutex mutex;
  return mutex;
}

std::set<const TerminalSession*>& registry() {
  static std::set<const TerminalSession*> sessions;
  return sessions;
}

std::string& scratch_folder_path() {
  static std::string path;
  return path;
}

}  // namespace

struct TerminalSession::State {
  std::string name;
  UniqueFd ptmx;
  UniqueFd wake;  ///< readable: the reader is to end
  std::string path;
  dev_t device = 0;
  pid_t pid = 0;
  std::thread reader;

  mutable std::mutex mutex;
  std::condition_variable changed;
  std::string shown;
  std::size_t found = 0;  ///< expect() looks behind this
  bool ended = false;     ///< nobody has the pts open any more
  std::unique_ptr<Emulator> emulator;

  void read_all();
  [[nodiscard]] std::string show(std::string_view bytes);
  void start(const std::vector<std::string>& argv, const Options& options);
  void stop_reader();
};

void TerminalSession::State::read_all() {
  pollfd fds[2] = {{ptmx.get(), POLLIN, 0}, {wake.get(), POLLIN, 0}};
  for (;;) {
    if (::poll(fds, 2, -1) < 0 && errno != EINTR)
      break;
    if (fds[1].revents != 0)
      return;
    if (fds[0].revents == 0)
      continue;
    char buffer[16384];
    const ssize_t count = ::read(ptmx.get(), buffer, sizeof buffer);
    if (count < 0 && errno == EINTR)
      continue;
    if (count <= 0)
      break;  // Kernel: EIO when the last descriptor of the pts is closed. Source: pty_close().
    const std::string answers = show({buffer, static_cast<std::size_t>(count)});
    if (!answers.empty())
      (void)!::write(ptmx.get(), answers.data(), answers.size());
  }
  const std::lock_guard lock(mutex);
  ended = true;
  changed.notify_all();
}

/// What the terminal types when that is shown on it.
std::string TerminalSession::State::show(std::string_view bytes) {
  constexpr std::string_view kDa1 = "\x1b[c";
  const std::lock_guard lock(mutex);
  const std::size_t before = shown.size();
  shown.append(bytes);
  changed.notify_all();
  if (emulator) {
    emulator->feed(bytes);
    return emulator->take_answers();
  }
  const std::size_t from = before - std::min(before, kDa1.size() - 1);
  return shown.find(kDa1, from) == std::string::npos ? "" : "\x1b[?1;2c";
}

void TerminalSession::State::start(const std::vector<std::string>& argv, const Options& options) {
  std::map<std::string, std::string> environment = options.environment;
  environment.emplace("PATH", "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin");
  environment.emplace("HOME", scratch_folder());
  environment.emplace("TERM", "xterm-256color");
  environment.emplace("LANG", "C.UTF-8");
  environment.emplace("XDG_RUNTIME_DIR", runtime_folder());
  std::vector<std::string> env_strings;
  for (const auto& [key, value] : environment)
    env_strings.push_back(key + "=" + value);
  std::vector<std::string> arg_strings = argv;
  const auto arg_pointers = pointers(arg_strings);
  const auto env_pointers = pointers(env_strings);

  const UniqueFd pts(must(::open(path.c_str(), O_RDWR | O_NOCTTY | O_CLOEXEC), path.c_str()));
  int ends[2];
  must(::pipe2(ends, O_CLOEXEC), "pipe2");
  const UniqueFd error_in(ends[0]);
  UniqueFd error_out(ends[1]);
  pid = must(::fork(), "fork");
  if (pid == 0)
    become_session(pts.get(), error_out.get(), arg_pointers.data(), env_pointers.data(),
                   scratch_folder_path().c_str());
  forget_reaped(pid);
  error_out.reset();
  int err = 0;
  if (::read(error_in.get(), &err, sizeof err) == static_cast<ssize_t>(sizeof err))
    throw std::system_error(err, std::generic_category(), "start of " + argv[0]);
}

void TerminalSession::State::stop_reader() {
  if (!reader.joinable())
    return;
  const std::uint64_t one = 1;
  (void)!::write(wake.get(), &one, sizeof one);
  reader.join();
}

TerminalSession::TerminalSession(std::string name, const std::vector<std::string>& argv,
                                 Options options)
    : state_(std::make_unique<State>()) {
  State& s = *state_;
  s.name = std::move(name);
  s.ptmx.reset(must(::posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC), "posix_openpt"));
  must(::unlockpt(s.ptmx.get()), "unlockpt");
  char path[64];
  if (const int err = ::ptsname_r(s.ptmx.get(), path, sizeof path); err != 0)
    throw std::system_error(err, std::generic_category(), "ptsname_r");
  s.path = path;
  struct stat info {};
  must(::stat(path, &info), path);
  s.device = info.st_rdev;
  s.wake.reset(must(::eventfd(0, EFD_CLOEXEC), "eventfd"));
  if (options.emulated)
    s.emulator = std::make_unique<Emulator>(options.size);
  resize(options.size);
  (void)scratch_folder();
  s.start(argv, options);
  s.reader = std::thread([&s] { s.read_all(); });
  const std::lock_guard lock(registry_mutex());
  registry().insert(this);
}

TerminalSession::~TerminalSession() {
  {
    const std::lock_guard lock(registry_mutex());
    registry().erase(this);
  }
  state_->stop_reader();
}

pid_t TerminalSession::pid() const {
  return state_->pid;
}
const std::string& TerminalSession::path() const {
  return state_->path;
}
dev_t TerminalSession::device() const {
  return state_->device;
}

void TerminalSession::type(std::string_view keys) {
  while (!keys.empty()) {
    const ssize_t count = ::write(state_->ptmx.get(), keys.data(), keys.size());
    if (count < 0 && errno == EINTR)
      continue;
    must(count, "write to a ptmx");
    keys.remove_prefix(static_cast<std::size_t>(count));
  }
}

testing::AssertionResult TerminalSession::expect(std::string_view text, Duration limit) {
  State& s = *state_;
  std::unique_lock lock(s.mutex);
  std::size_t at = std::string::npos;
  const auto arrived = [&] {
    at = s.shown.find(text, s.found);
    return at != std::string::npos || s.ended;
  };
  const auto end = std::chrono::steady_clock::now() + limit * slowness();
  // An ended terminal is looked at once more: its last output came before its end.
  while (!arrived() && std::chrono::steady_clock::now() < end) {
    s.changed.wait_for(lock, Duration{50});
    lock.unlock();
    reap();
    lock.lock();
  }
  if (at != std::string::npos) {
    s.found = at + text.size();
    return testing::AssertionSuccess();
  }
  const std::size_t found = s.found;
  lock.unlock();
  return testing::AssertionFailure()
         << "\"" << visible(text) << "\" was not shown on " << s.name
         << (s.ended ? " (which has ended)" : "") << " behind byte " << found << "\n"
         << all_transcripts();
}

std::string TerminalSession::transcript() const {
  const std::lock_guard lock(state_->mutex);
  return state_->shown;
}

std::string TerminalSession::unread() const {
  const std::lock_guard lock(state_->mutex);
  return state_->shown.substr(state_->found);
}

void TerminalSession::skip_shown() {
  const std::lock_guard lock(state_->mutex);
  state_->found = state_->shown.size();
}

void TerminalSession::stop_reading() {
  state_->stop_reader();
}

void TerminalSession::read_on() {
  State& s = *state_;
  std::uint64_t woken = 0;
  must(::read(s.wake.get(), &woken, sizeof woken), "read of an eventfd");
  s.reader = std::thread([&s] { s.read_all(); });
}

void TerminalSession::resize(WindowSize size) {
  const winsize wanted = to_winsize(size);
  {
    const std::lock_guard lock(state_->mutex);
    if (state_->emulator)
      state_->emulator->resize(size);
  }
  must(::ioctl(state_->ptmx.get(), TIOCSWINSZ, &wanted), "TIOCSWINSZ");
}

std::unique_lock<std::mutex> TerminalSession::lock_emulator() const {
  return std::unique_lock(state_->mutex);
}

Emulator& TerminalSession::emulator() const {
  return *state_->emulator;
}

WindowSize TerminalSession::size() const {
  winsize is{};
  must(::ioctl(state_->ptmx.get(), TIOCGWINSZ, &is), "TIOCGWINSZ");
  return {is.ws_row, is.ws_col};
}

void TerminalSession::close_window() {
  state_->stop_reader();
  state_->ended = true;
  state_->ptmx.reset();
}

termios TerminalSession::modes() const {
  termios modes{};
  must(::tcgetattr(state_->ptmx.get(), &modes), "tcgetattr");
  return modes;
}

pid_t TerminalSession::foreground_pgid() const {
  pid_t pgid = 0;
  // Kernel: asked on the ptmx, it is the foreground group of the pts. Source: tty_ioctl(2).
  must(::ioctl(state_->ptmx.get(), TIOCGPGRP, &pgid), "TIOCGPGRP");
  return pgid;
}

std::string all_transcripts() {
  const std::lock_guard lock(registry_mutex());
  std::string text;
  for (const TerminalSession* session : registry()) {
    text += "---- " + session->state_->name + " (" + session->path() + ") has shown:\n" +
            visible(session->transcript()) + "\n";
  }
  return text + "----\n";
}

std::string visible(std::string_view text) {
  std::string result;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '\n') {
      result += '\n';
    } else if (byte < 0x20 && c != '\r') {
      result += '^';
      result += static_cast<char>(byte + 0x40);
    } else if (c != '\r') {
      result += c;
    }
  }
  return result;
}

const std::string& scratch_folder() {
  std::string& path = scratch_folder_path();
  if (path.empty()) {
    std::string pattern = std::filesystem::temp_directory_path() / "grab-test-XXXXXX";
    if (::mkdtemp(pattern.data()) == nullptr)
      must(-1, "mkdtemp");
    path = pattern;
  }
  return path;
}

std::string runtime_folder() {
  std::string path = scratch_folder() + "/run";
  if (::mkdir(path.c_str(), S_IRWXU) != 0 && errno != EEXIST)
    must(-1, path.c_str());
  return path;
}

void remove_scratch_folder() {
  std::error_code ignored;
  std::filesystem::remove_all(scratch_folder_path(), ignored);
  scratch_folder_path().clear();
}

}  // namespace grab::test
