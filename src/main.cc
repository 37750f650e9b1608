// SPDX-License-Identifier: MIT
// The wiring: options -> terminal -> tracer -> relay. The only place that prints errors. The tracer
// and the relay do not know each other; they meet here, in the ptmx and a few values.
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <unistd.h>

#include <cerrno>
#include <string>
#include <string_view>
#include <utility>

#include "base/error.h"
#include "base/text.h"
#include "cli/describe.h"
#include "cli/options.h"
#include "cli/outcome.h"
#include "relay/relay.h"
#include "tracer/tracer.h"

namespace grab {
namespace {

// What cannot be written has nobody who reads it.
void write_all(int fd, std::string_view text) {
  while (!text.empty()) {
    const ssize_t written = ::write(fd, text.data(), text.size());
    if (written >= 0) {
      text.remove_prefix(static_cast<std::size_t>(written));
    } else if (errno == EAGAIN) {  // somebody who shares the description has made it non-blocking
      pollfd ready{fd, POLLOUT, 0};
      (void)::poll(&ready, 1, -1);
    } else if (errno != EINTR) {
      return;
    }
  }
}

void say(const std::string& text) {
  write_all(STDERR_FILENO, "grab: " + text + "\n");
}

// While the tree is moved and nobody relays yet, a line that would block is left out: stderr may be
// a pipe that is full, or a terminal stopped by ^S.
void say_if_it_does_not_block(const std::string& text) {
  pollfd ready{STDERR_FILENO, POLLOUT, 0};
  if (::poll(&ready, 1, 0) == 1 && (ready.revents & POLLOUT) != 0)
    say(text);
}

int report(const Error& error, bool json) {
  if (json) {
    write_all(STDOUT_FILENO, cli::error_json(error));
  } else {
    say(printable(error.message()));
    if (!error.hint.empty())
      write_all(STDERR_FILENO, "hint: " + printable(error.hint) + "\n");
  }
  return cli::exit_status(error.kind);
}

// Opens what is closed of 0-2, lest the ptmx get such a number and an error message be typed into
// the program that was moved.
void open_standard_descriptors() {
  for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; ++fd) {
    if (::fcntl(fd, F_GETFD) < 0)
      (void)::open("/dev/null", O_RDWR);  // NOLINT(android-cloexec-open): gets number fd
  }
}

int dry_run(const cli::Options& options) {
  const auto snapshot = tracer::look(options.pid, options.move);
  if (!snapshot)
    return report(snapshot.error(), options.json);
  const auto plan = tracer::plan_move(*snapshot, options.move);
  if (plan) {
    write_all(STDOUT_FILENO,
              options.json ? cli::plan_json(*snapshot, *plan)
                           : cli::describe_plan(*snapshot, *plan) + "\nNothing was changed.\n");
    return 0;
  }
  if (options.json) {
    write_all(STDOUT_FILENO, cli::refusal_json(*snapshot, plan.error()));
    return cli::exit_status(plan.error().kind);
  }
  if (options.verbose)
    write_all(STDOUT_FILENO, cli::describe_tree(*snapshot));
  return report(plan.error(), false);
}

// The terminal to show the tree on. Without one, what is wrong with the tree itself is said first.
Result<relay::Viewer> viewer_for(const cli::Options& options) {
  auto viewer = relay::open_viewer();
  if (!viewer && viewer.error().kind == ErrorKind::kRefused)
    GRAB_CHECK(tracer::survey(options.pid, options.move));
  return viewer;
}

Result<int> move(const cli::Options& options) {
  GRAB_TRY(relay::Viewer viewer, viewer_for(options));
  if (options.verbose) {
    GRAB_TRY(const tracer::Survey survey, tracer::survey(options.pid, options.move));
    write_all(STDERR_FILENO, cli::describe_plan(survey.snapshot, survey.plan));
  }
  GRAB_TRY(UniqueFd ptmx, relay::open_ptmx(&viewer));
  GRAB_TRY(tracer::MoveResult result, tracer::move_tree(options.pid, options.move, ptmx.get()));
  const tracer::Moved& moved = result.moved;
  say_if_it_does_not_block(cli::moved_line(moved));
  for (const std::string& warning : moved.warnings)
    say_if_it_does_not_block("warning: " + printable(warning));
  GRAB_TRY(const relay::TreeEnd end,
           relay::run_relay(std::move(ptmx), cli::to_moved_tree(moved), std::move(viewer),
                            std::move(result.notices)));
  say(cli::ended_line(moved.root_name, end));
  return cli::exit_status(end);
}

/// The tracer process is gone long before the tree: nobody is to wait for it.
void leave_no_zombies() {
  struct sigaction action {};
  action.sa_handler = SIG_DFL;
  action.sa_flags = SA_NOCLDWAIT;
  (void)sigaction(SIGCHLD, &action, nullptr);
}

Error not_wired(const std::string& what) {
  return {ErrorKind::kUnsupported, 0, what + " cannot be done in this build", {}};
}

int run(int argc, char** argv) {
  open_standard_descriptors();
  leave_no_zombies();
  const auto options = cli::parse_options(argc, argv);
  if (!options)
    return report(options.error(), cli::wants_json(argc, argv));
  switch (options->action) {
    case cli::Action::kHelp:
      write_all(STDOUT_FILENO, cli::help_text(options->about));
      return 0;
    case cli::Action::kVersion:
      write_all(STDOUT_FILENO, "grab " GRAB_VERSION "\n");
      return 0;
    case cli::Action::kDryRun:
      return dry_run(*options);
    case cli::Action::kMove:
      break;
    case cli::Action::kAttach:
    case cli::Action::kList:
    case cli::Action::kDetach:
    case cli::Action::kSend:
    case cli::Action::kPeek:
    case cli::Action::kWait:
    case cli::Action::kSignal:
    case cli::Action::kRun:
      return report(not_wired("this command"), options->json);
  }
  if (options->detached || !options->log.empty() || !options->record.empty())
    return report(not_wired("--detached, --log and --record"), false);
  const auto status = move(*options);
  return status ? *status : report(status.error(), false);
}

}  // namespace
}  // namespace grab

int main(int argc, char** argv) {
  return grab::run(argc, argv);
}
