// SPDX-License-Identifier: MIT
// Starts the tracer process and reads what it reports.
#include "tracer/tracer.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <functional>
#include <optional>

#include "proc/surroundings.h"
#include "proc/tree_reader.h"
#include "tracer/guards.h"
#include "tracer/journal.h"
#include "tracer/let_go_on.h"
#include "tracer/move.h"
#include "tracer/report.h"
#include "tracer/served_screen.h"
#include "tracer/standstill.h"

namespace grab::tracer {
namespace {

struct Pipe {
  UniqueFd read_end, write_end;
};

Result<Pipe> open_pipe() {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0)
    return fail_errno(errno, "pipe2");
  return Pipe{UniqueFd(ends[0]), UniqueFd(ends[1])};
}

void write_all(int fd, std::string_view text) {
  while (!text.empty()) {
    const ssize_t count = write(fd, text.data(), text.size());
    if (count < 0 && errno == EINTR)
      continue;
    if (count <= 0)
      return;  // nobody reads any more; the move goes on all the same
    text.remove_prefix(static_cast<std::size_t>(count));
  }
}

/// A group of its own keeps ^C on grab's terminal from ending it half way. It may be in the
/// background of the old terminal, and reads and writes there all the same.
void be_tracer() {
  (void)setpgid(0, 0);
  (void)prctl(PR_SET_NAME, kTracerName);  // for who looks with ps(1)
  (void)signal(SIGPIPE, SIG_IGN);
  (void)signal(SIGTTIN, SIG_IGN);
  (void)signal(SIGTTOU, SIG_IGN);
}

[[noreturn]] void trace(pid_t named, const MoveOptions& options, const MoveFor& whom,
                        const Moved* unfinished, const UniqueFd& reports, const UniqueFd& notices) {
  const pid_t caller = getppid();
  be_tracer();
  if (whom.begun)
    whom.begun();
  const MoveChannel channel{
      [&](const Report& report) {
        const std::string line = to_line(report);
        const bool noted = whom.journal == nullptr || whom.journal->append(line);
        write_all(reports.get(), line);
        if (const auto* moved = std::get_if<Moved>(&report); moved != nullptr && whom.see_to)
          whom.see_to(*moved);
        return noted;
      },
      [&](const std::string& sentence) { write_all(notices.get(), sentence + "\n"); }};
  const MoveEnds ends{.ptmx = whom.ptmx,
                      .command = whom.command,
                      .command_pid = whom.command_pid != 0 ? whom.command_pid : caller,
                      .front = whom.front,
                      .left_open = whom.left_open,
                      .unfinished = unfinished};
  const Status moved = run_move(named, options, ends, channel);
  if (!moved)
    (void)channel.report(moved.error());
  _exit(0);
}

/// Waits until there is something to read. A tracer that does not get on is killed: then what it
/// holds goes on. Whether that was so.
bool await_report(int fd, pid_t tracer, Standstill& standstill) {
  pollfd poll_fd{fd, POLLIN, 0};
  bool killed = false;
  while (poll(&poll_fd, 1, static_cast<int>(Standstill::kLook.count())) == 0) {
    if (killed || !standstill.lasts())
      continue;
    (void)kill(tracer, SIGKILL);
    killed = true;
  }
  return killed;
}

/// The next line of a pipe, without its newline; nothing at its end. `wait` is called before a
/// read.
std::optional<std::string> read_line(int fd, std::string& buffer,
                                     const std::function<void()>& wait) {
  for (;;) {
    if (const std::size_t end = buffer.find('\n'); end != std::string::npos) {
      std::string line = buffer.substr(0, end);
      buffer.erase(0, end + 1);
      return line;
    }
    wait();
    char bytes[4096];
    const ssize_t count = read(fd, bytes, sizeof bytes);
    if (count < 0 && errno == EINTR)
      continue;
    if (count <= 0)
      return std::nullopt;
    buffer.append(bytes, static_cast<std::size_t>(count));
  }
}

/// Tells the shell in a process of its own, for a tracer that may have been killed before it did.
void tell_after_all(Telling telling, const MoveFor& whom, const UniqueFd& notices) {
  telling.again = true;
  if (fork() != 0)
    return;
  be_tracer();
  tell_shell(telling, {[] {}, [&] { whom.left_open.clear(); },
                       [&](const std::string& said) { write_all(notices.get(), said + "\n"); }});
  _exit(0);
}

// Kernel: a ptmx is hung up from when the last descriptor of its pts was closed until it is opened
// again; what was written before can be read. Source: drivers/tty/pty.c pty_close(); seen.
bool was_used(int ptmx) {
  pollfd poll_ptmx{ptmx, POLLIN, 0};
  return poll(&poll_ptmx, 1, 0) >= 0 && (poll_ptmx.revents & (POLLHUP | POLLIN)) != POLLHUP;
}

/// Forks a tracer and waits until it is done or dead; in that case what it held goes on.
/// Errors: those that it has reported.
Result<Told> run_tracer(pid_t named, const MoveOptions& options, const MoveFor& whom,
                        const Moved* unfinished, const UniqueFd& notices) {
  GRAB_TRY(Pipe reports, open_pipe());
  const pid_t tracer = fork();
  if (tracer < 0)
    return fail_errno(errno, "fork");
  if (tracer == 0)
    trace(named, options, whom, unfinished, reports.write_end, notices);
  reports.write_end.reset();

  Told told;
  std::string buffer;
  Standstill standstill(tracer);
  const auto wait = [&] {
    if (await_report(reports.read_end.get(), tracer, standstill))
      told.stood_still = true;
  };
  while (const auto line = read_line(reports.read_end.get(), buffer, wait)) {
    GRAB_TRY(Report report, parse_line(*line));
    told.take(std::move(report));
    if (told.moved)
      return told;
    if (told.error)
      break;
  }
  (void)waitpid(tracer, nullptr, 0);
  if (told.error)
    return tl::unexpected(std::move(*told.error));
  let_go_on(told.held);
  return told;
}

/// Moves what a tracer that was killed behind the commit has left, by as many others as it takes.
Moved complete(pid_t named, MoveOptions options, const MoveFor& whom, Moved unfinished,
               const UniqueFd& notices) {
  constexpr int kLives = 10;  // each but the first is of somebody who was killed
  const bool leads = unfinished.topology != Topology::kKeepSession;
  const pid_t root = leads ? unfinished.job_pgid : named;
  options.keep_session = !leads;
  std::string why = "tracers were killed again and again";
  for (int life = 0; life < kLives; life++) {
    const Result<Told> told = run_tracer(root, options, whom, &unfinished, notices);
    if (told && told->moved)
      return *told->moved;
    if (!told) {
      why = told.error().message();
      break;
    }
  }
  unfinished.warnings.push_back(
      "the tracer was killed in the middle of the move, and processes of " + unfinished.root_name +
      " may be left on " + unfinished.old_terminal + ": " + why + "; grab --force moves them");
  const auto stat = proc::stat_of(root);
  const bool root_has_left = !stat || stat->tty != unfinished.old_devices.front();
  if (unfinished.telling && root_has_left)
    tell_after_all(*unfinished.telling, whom, notices);
  return unfinished;
}

/// What is to be done after a tracer was killed.
Result<MoveResult> go_on(pid_t named, const MoveOptions& options, const MoveFor& whom, Told told,
                         Pipe notices) {
  if (!told.committing || !was_used(whom.ptmx)) {
    if (told.stood_still) {
      return fail(
          ErrorKind::kTimeout,
          "a call that the tracer made did not come back for " +
              std::to_string(Standstill::kLimit / std::chrono::seconds(1)) + " s",
          "does the tree wait for a file system that it serves itself? It goes on as before");
    }
    return fail(ErrorKind::kSystem, "the tracer was killed before anything was moved",
                "the tree goes on where it was; run grab again");
  }
  // Somebody is there already, and would lose the terminal with us.
  Moved moved = complete(named, options, whom, std::move(*told.committing), notices.write_end);
  return MoveResult{std::move(moved), std::move(notices.read_end)};
}

Result<proc::TreeReader> open_reader(pid_t named, const MoveOptions& options) {
  return proc::TreeReader::open(
      named,
      {.force_stdio = options.force_stdio, .also = options.also, .also_from = options.also_from});
}

}  // namespace

Result<proc::Snapshot> look(pid_t named, const MoveOptions& options) {
  GRAB_TRY(auto reader, open_reader(named, options));
  return reader.read();
}

Result<Survey> survey(pid_t named, const MoveOptions& options) {
  GRAB_TRY(auto reader, open_reader(named, options));
  for (;;) {
    GRAB_TRY(auto snapshot, reader.read());
    GRAB_TRY(auto plan, plan_move(snapshot, options));
    GRAB_TRY(const bool look_again, take_servers(reader, snapshot, plan, options));
    if (!look_again)
      return Survey{std::move(snapshot), std::move(plan)};
  }
}

Result<MoveResult> move_tree(pid_t named, const MoveOptions& options, const MoveFor& whom) {
  GRAB_TRY(Pipe notices, open_pipe());
  GRAB_TRY(Told told, run_tracer(named, options, whom, nullptr, notices.write_end));
  if (told.moved)
    return MoveResult{std::move(*told.moved), std::move(notices.read_end)};
  return go_on(named, options, whom, std::move(told), std::move(notices));
}

Result<MoveResult> resume_move(pid_t named, const MoveOptions& options, const MoveFor& whom) {
  GRAB_TRY(Pipe notices, open_pipe());
  Told told = whom.journal->read();
  if (told.moved) {  // and let go; only the telling may not have come to its end
    if (told.moved->telling)
      tell_after_all(*told.moved->telling, whom, notices.write_end);
    return MoveResult{std::move(*told.moved), std::move(notices.read_end)};
  }
  const bool undone = told.error && (!told.committing || !was_used(whom.ptmx));
  if (undone)  // before it was said
    return tl::unexpected(std::move(*told.error));
  let_go_on(told.held);
  return go_on(named, options, whom, std::move(told), std::move(notices));
}

}  // namespace grab::tracer
