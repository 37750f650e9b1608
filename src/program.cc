// SPDX-License-Identifier: MIT
#include "program.h"

#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <utility>

#include "base/text.h"
#include "relay/pts.h"

namespace grab {
namespace {

struct Pipe {
  UniqueFd read_end, write_end;
};

Result<Pipe> open_pipe() {
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC) != 0)
    return fail_errno(errno, "pipe2");
  return Pipe{UniqueFd(ends[0]), UniqueFd(ends[1])};
}

/// What is written where nobody reads must not end the writer, as with a pipe: the program has not
/// its own signals yet.
Result<Pipe> open_gate() {
  std::array<int, 2> ends{};
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()) != 0)
    return fail_errno(errno, "socketpair");
  return Pipe{UniqueFd(ends[0]), UniqueFd(ends[1])};
}

/// Waits for a byte through the gate; without one it ends.
[[noreturn]] void become_program(const std::vector<std::string>& words, int pts, int gate,
                                 int failure) {
  std::vector<char*> argv;
  for (const std::string& word : words)
    argv.push_back(const_cast<char*>(word.c_str()));  // NOLINT: execvp(3) does not write to them
  argv.push_back(nullptr);
  for (const int signo : {SIGCHLD, SIGXFSZ})
    (void)::signal(signo, SIG_DFL);
  char byte = 0;
  if (::read(gate, &byte, 1) != 1)
    ::_exit(1);
  if (::setsid() >= 0 && ::ioctl(pts, TIOCSCTTY, 0) == 0 && ::dup2(pts, STDIN_FILENO) >= 0 &&
      ::dup2(pts, STDOUT_FILENO) >= 0 && ::dup2(pts, STDERR_FILENO) >= 0)
    (void)::execvp(argv[0], argv.data());
  const int error = errno;
  const ssize_t written = ::write(failure, &error, sizeof error);
  ::_exit(written == sizeof error ? 127 : 126);
}

Error why_not_started(const std::string& word, int error) {
  const std::string name = printable(word);
  if (error == ENOENT)
    return {ErrorKind::kGone, 0, "there is no program " + name, "check its name and PATH"};
  Error failed = from_errno(error, "starting " + name);
  if (failed.kind == ErrorKind::kSystem)
    failed.kind = ErrorKind::kPermission;  // what shells answer with 126: it cannot be executed
  return failed;
}

}  // namespace

Result<Program> Program::fork_on(int ptmx, const std::vector<std::string>& words,
                                 const std::optional<termios>& modes) {
  GRAB_TRY(const UniqueFd pts, relay::open_pts(ptmx));
  if (modes)
    (void)::tcsetattr(pts.get(), TCSANOW, &*modes);
  GRAB_TRY(Pipe gate, open_gate());
  GRAB_TRY(Pipe failure, open_pipe());
  Program program;
  program.word_ = words.front();
  program.pid_ = ::fork();
  if (program.pid_ < 0)
    return fail_errno(errno, "fork");
  if (program.pid_ == 0) {
    gate.write_end.reset();
    become_program(words, pts.get(), gate.read_end.get(), failure.write_end.get());
  }
  program.gate_ = std::move(gate.write_end);
  program.failure_ = std::move(failure.read_end);
  return program;
}

Status Program::begin() {
  if (::send(gate_.get(), "", 1, MSG_NOSIGNAL) != 1)
    return fail(ErrorKind::kSystem, printable(word_) + " was killed before it began");
  int error = 0;
  const ssize_t count = ::read(failure_.get(), &error, sizeof error);
  if (count == sizeof error)
    return tl::unexpected(why_not_started(word_, error));
  return {};
}

}  // namespace grab
