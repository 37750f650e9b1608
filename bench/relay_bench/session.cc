// SPDX-License-Identifier: MIT
#include "relay_bench/session.h"

#include <fcntl.h>
#include <poll.h>
#include <pty.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <utility>

#include "relay_bench/holder.h"
#include "relay_bench/payload.h"
#include "relay_bench/processes.h"

namespace grab::bench {
namespace {

constexpr Nanoseconds kStartDeadline = 10'000 * kMillisecond;  // the slowest takes 0.3 s
constexpr Nanoseconds kEndDeadline = 3'000 * kMillisecond;
constexpr Nanoseconds kKillDeadline = 3'000 * kMillisecond;
constexpr Nanoseconds kAnswerDeadline = 40'000 * kMillisecond;  // more than an exchange may take
constexpr Nanoseconds kMarkPatience = 200 * kMillisecond;  // a mark may come before the contender
constexpr Nanoseconds kSettleDeadline = 500 * kMillisecond;
constexpr int kSettledMs = 3;
constexpr winsize kSize{.ws_row = 24, .ws_col = 80, .ws_xpixel = 0, .ws_ypixel = 0};

struct Terminal {
  UniqueFd ptmx;
  UniqueFd pts;
};

Result<Terminal> open_terminal() {
  int ptmx = -1;
  int pts = -1;
  if (::openpty(&ptmx, &pts, nullptr, nullptr, &kSize) != 0)
    return fail_errno(errno, "openpty");
  Terminal terminal{UniqueFd(ptmx), UniqueFd(pts)};
  (void)::fcntl(ptmx, F_SETFD, FD_CLOEXEC);
  (void)::fcntl(ptmx, F_SETFL, O_RDWR | O_NONBLOCK);
  return terminal;
}

Result<UniqueFd> listen_on(const std::string& path) {
  UniqueFd listener(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path)
    return fail(ErrorKind::kUsage, "TMPDIR is too long for a socket: " + path);
  std::copy(path.begin(), path.end(), address.sun_path);
  if (::bind(listener.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 ||
      ::listen(listener.get(), 1) != 0)
    return fail_errno(errno, "listen on " + path);
  return listener;
}

bool readable_by(int fd, Nanoseconds deadline) {
  pollfd waited{.fd = fd, .events = POLLIN, .revents = 0};
  const Nanoseconds left = std::max<Nanoseconds>(deadline - clock_now(), 0);
  return ::poll(&waited, 1, static_cast<int>(left / kMillisecond)) == 1;
}

std::string self() {
  return std::filesystem::read_symlink("/proc/self/exe").string();
}

std::string command_line(pid_t pid) {
  std::ifstream file("/proc/" + std::to_string(pid) + "/cmdline");
  std::string words{std::istreambuf_iterator<char>(file), {}};
  std::replace(words.begin(), words.end(), '\0', ' ');
  return std::to_string(pid) + " (" + words.substr(0, 60) + ")";
}

}  // namespace

Session::Session(Session&& other) noexcept
    : contender_(std::move(other.contender_)),
      outer_(std::move(other.outer_)),
      old_ptmx_(std::move(other.old_ptmx_)),
      control_(std::move(other.control_)),
      holder_(std::exchange(other.holder_, 0)),
      actor_(other.actor_),
      shell_(other.shell_),
      run_(other.run_) {}

Session::~Session() {
  (void)end();  // whoever wants to know has called it before
}

Result<Session> Session::start(const Contender& contender, const Places& places, int id) {
  Session session(contender);
  const std::string path = places.scratch + "/control" + std::to_string(id);
  GRAB_TRY(const UniqueFd listener, listen_on(path));
  GRAB_CHECK(session.launch(places, id, listener.get(), path));
  Status shown = session.synchronize();
  (void)::unlink(path.c_str());
  if (!shown) {
    shown.error().what = contender.name + " did not start: " + shown.error().what;
    shown.error().hint = session.outer_.dropped();
    return tl::unexpected(shown.error());
  }
  return session;
}

Status Session::launch(const Places& places, int id, int listener, const std::string& path) {
  const std::vector<std::string> program{self(), "--actor", path};
  Launch launch{.command = command_of(contender_, places, id, program), .program = {}};
  GRAB_TRY(Terminal outer, open_terminal());
  Terminal old;
  std::array<int, 2> pid_to_move{-1, -1};
  std::array<int, 2> shell_pid{-1, -1};
  if (contender_.way == Way::kMove) {
    GRAB_TRY(old, open_terminal());
    if (::pipe2(pid_to_move.data(), O_CLOEXEC) != 0 || ::pipe2(shell_pid.data(), O_CLOEXEC) != 0)
      return fail_errno(errno, "pipe2");
    launch.program = program;
  }
  const UniqueFd pid_read(pid_to_move[0]);
  const UniqueFd pid_write(pid_to_move[1]);
  const UniqueFd shell_read(shell_pid[0]);
  UniqueFd shell_write(shell_pid[1]);
  launch.pts = outer.pts.get();
  launch.old_pts = old.pts.get();
  launch.pid_to_move = pid_read.get();
  launch.shell_pid = shell_write.get();
  outer_ = Outer(std::move(outer.ptmx));
  old_ptmx_ = std::move(old.ptmx);
  holder_ = ::fork();
  if (holder_ < 0)
    return fail_errno(errno, "fork");
  if (holder_ == 0)
    be_holder(launch);
  shell_write.reset();
  outer.pts.reset();
  old.pts.reset();
  if (contender_.way == Way::kMove &&
      ::read(shell_read.get(), &shell_, sizeof shell_) != sizeof shell_)
    return fail(ErrorKind::kSystem, "the shell to move from did not start");
  GRAB_CHECK(meet(listener));
  if (contender_.way == Way::kMove) {
    const std::string digits = std::to_string(actor_);
    if (::write(pid_write.get(), digits.data(), digits.size()) < 0)
      return fail_errno(errno, "write of the pid");
  }
  return {};
}

// Waits for the program inside. A contender that ends before has its reason on its terminal.
Status Session::meet(int listener) {
  const Nanoseconds deadline = clock_now() + kStartDeadline;
  while (!readable_by(listener, clock_now() + 20 * kMillisecond)) {
    Status nothing = outer_.skip_to("<<none>>", clock_now());  // keeps what was said
    const bool ended = !nothing && nothing.error().kind == ErrorKind::kGone;
    if (ended || clock_now() > deadline)
      return fail(ended ? ErrorKind::kUsage : ErrorKind::kTimeout,
                  contender_.name + " did not start the program", outer_.dropped());
  }
  control_.reset(::accept4(listener, nullptr, nullptr, SOCK_CLOEXEC));
  ucred peer{};
  socklen_t size = sizeof peer;
  if (::getsockopt(control_.get(), SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0)
    return fail_errno(errno, "SO_PEERCRED");
  actor_ = peer.pid;
  return {};
}

Status Session::send(const std::string& request) {
  if (::send(control_.get(), request.data(), request.size(), MSG_NOSIGNAL) < 0)
    return fail_errno(errno, "request to the program inside");
  return {};
}

Status Session::answered() {
  std::array<char, 256> bytes{};
  if (!readable_by(control_.get(), clock_now() + kAnswerDeadline))
    return fail(ErrorKind::kTimeout, "the program inside does not answer");
  const ssize_t size = ::recv(control_.get(), bytes.data(), bytes.size(), 0);
  if (size <= 0)
    return fail(ErrorKind::kGone, "the program inside has ended");
  const std::string answer(bytes.data(), static_cast<std::size_t>(size));
  if (answer != "ok")
    return fail(ErrorKind::kUnsupported, answer);
  return {};
}

Status Session::ask(const std::string& request) {
  GRAB_CHECK(send(request));
  return answered();
}

Status Session::synchronize() {
  const Nanoseconds deadline = clock_now() + kStartDeadline;
  for (;;) {
    const std::uint64_t run = next_run();
    GRAB_CHECK(send("mark " + std::to_string(run)));
    const Nanoseconds patience = std::min(clock_now() + kMarkPatience, deadline);
    // Read before the answer is waited for: the program cannot write while the terminal is full.
    Status shown = outer_.skip_to(end_mark(run), patience);
    if (shown || shown.error().kind == ErrorKind::kTimeout)
      GRAB_CHECK(answered());
    if (shown || shown.error().kind != ErrorKind::kTimeout || clock_now() > deadline)
      return shown;
  }
}

std::vector<pid_t> Session::processes() const {
  std::set<pid_t> without{actor_};
  if (shell_ > 0)
    without.insert(shell_);
  return contender_.name == kDirect ? std::vector<pid_t>{} : descendants_of(holder_, without);
}

Result<Session::Cpu> Session::settled_cpu() const {
  const Nanoseconds deadline = clock_now() + kSettleDeadline;
  Cpu cpu{processes(), 0};
  GRAB_TRY(cpu.used, cpu_time_of(cpu.pids));
  for (int quiet = 0; quiet < 2 && clock_now() < deadline;) {
    (void)::poll(nullptr, 0, kSettledMs);
    GRAB_TRY(const Nanoseconds now, cpu_time_of(cpu.pids));
    quiet = now == cpu.used ? quiet + 1 : 0;
    cpu.used = now;
  }
  return cpu;
}

Status Session::end() {
  if (holder_ <= 0)
    return {};
  const pid_t holder = std::exchange(holder_, 0);
  control_.reset();
  const auto gone_by = [&](Nanoseconds deadline) {
    while (::waitpid(holder, nullptr, WNOHANG) == 0) {
      if (clock_now() > deadline)
        return false;
      outer_.drain();  // what it says last must not hold it up
      (void)::poll(nullptr, 0, 1);
    }
    return true;
  };
  if (gone_by(clock_now() + kEndDeadline))
    return {};
  std::string killed;
  const Nanoseconds deadline = clock_now() + kKillDeadline;
  do {
    for (const pid_t pid : descendants_of(holder, {})) {
      killed += (killed.empty() ? "" : ", ") + command_line(pid);
      (void)::kill(pid, SIGKILL);
    }
  } while (!gone_by(clock_now() + 50 * kMillisecond) && clock_now() < deadline);
  return fail(ErrorKind::kTimeout,
              contender_.name + " did not end with its program; killed: " + killed);
}

}  // namespace grab::bench
