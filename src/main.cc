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
#include <variant>
#include <vector>

#include "base/error.h"
#include "base/text.h"
#include "cli/describe.h"
#include "cli/list.h"
#include "cli/options.h"
#include "cli/outcome.h"
#include "commands.h"
#include "relay/relay.h"
#include "relay/view.h"
#include "start.h"
#include "tracer/tracer.h"

namespace grab {
namespace {

namespace message = relay::message;

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

int dry_run(cli::Options options) {
  if (options.move.force)
    (void)follow_earlier_move(options);
  const auto survey = tracer::survey(options.pid, options.move);
  if (survey) {
    const auto& [snapshot, plan] = *survey;
    write_all(STDOUT_FILENO, options.json
                                 ? cli::plan_json(snapshot, plan)
                                 : cli::describe_plan(snapshot, plan) + "\nNothing was changed.\n");
    return 0;
  }
  if (!options.json && !options.verbose)
    return report(survey.error(), false);
  // What is refused is shown, too, where it can be looked at.
  const auto snapshot = tracer::look(options.pid, options.move);
  if (!snapshot)
    return report(snapshot.error(), options.json);
  if (options.json) {
    write_all(STDOUT_FILENO, cli::refusal_json(*snapshot, survey.error()));
    return cli::exit_status(survey.error().kind);
  }
  write_all(STDOUT_FILENO, cli::describe_tree(*snapshot));
  return report(survey.error(), false);
}

// The terminal to show the tree on. Without one, what is wrong with the tree itself is said first.
Result<relay::Viewer> viewer_for(const cli::Options& options) {
  auto viewer = relay::open_viewer();
  if (!viewer && viewer.error().kind == ErrorKind::kRefused)
    GRAB_CHECK(tracer::survey(options.pid, options.move));
  return viewer;
}

/// What ended the view of a tree, said and as an exit status.
int report_end(const relay::ViewEnd& end, const std::string& name, const std::string& process) {
  if (const auto* tree = std::get_if<relay::TreeEnd>(&end)) {
    say(cli::ended_line(process, *tree));
    return cli::exit_status(*tree);
  }
  if (const auto* signalled = std::get_if<relay::view_end::Signalled>(&end)) {
    say_if_it_does_not_block(cli::detached_line(name, "by " + cli::signal_name(signalled->signo)));
    return 128 + signalled->signo;
  }
  const auto& detached = std::get<relay::view_end::Detached>(end);
  say(cli::detached_line(name, detached.why));
  if (detached.keys_lost)
    say("what came in one piece with the detach key is lost: the kernel lets nobody give it back");
  return 0;
}

/// After a move or a start: shows the tree, or says how to come to it.
Result<int> show_begun(Begun begun, std::optional<relay::Viewer> viewer,
                       const cli::Options& options) {
  const message::Status& status = begun.status;
  if (!viewer) {
    if (options.action == cli::Action::kRun)
      say(cli::started_line(status.name));
    GRAB_CHECK(await_notices(begun.connection, say));
    return 0;
  }
  if (options.action == cli::Action::kRun)
    say(cli::attached_line(status.name, false, options.detach_key));
  GRAB_TRY(const relay::ViewEnd end, show(std::move(begun.connection), std::move(*viewer),
                                          status.name, status.process, options, begun.same_user));
  return report_end(end, status.name, status.process);
}

Result<int> move(cli::Options options) {
  GRAB_CHECK(follow_earlier_move(options));
  std::optional<relay::Viewer> viewer;
  if (!options.detached) {
    GRAB_TRY(viewer, viewer_for(options));
  }
  if (options.verbose) {
    GRAB_TRY(const tracer::Survey survey, tracer::survey(options.pid, options.move));
    write_all(STDERR_FILENO, cli::describe_plan(survey.snapshot, survey.plan));
  }
  GRAB_TRY(Begun begun, begin_move(options, viewer ? &*viewer : nullptr, say_if_it_does_not_block));
  return show_begun(std::move(begun), std::move(viewer), options);
}

Result<int> run_program(const cli::Options& options) {
  std::optional<relay::Viewer> viewer;
  if (!options.detached) {
    GRAB_TRY(viewer, relay::open_viewer());
  }
  GRAB_TRY(Begun begun, begin_run(options, viewer ? &*viewer : nullptr, say));
  return show_begun(std::move(begun), std::move(viewer), options);
}

Result<int> attach(const cli::Options& options) {
  GRAB_TRY(relay::Viewer viewer, relay::open_viewer());
  GRAB_TRY(Found found, find_relay(options.target));
  const std::string name = found.status.name;
  const std::string process = found.status.process;
  if (found.status.state == message::Status::State::kEnded) {
    GRAB_TRY(const std::string text, relay::ask_screen_text(found.connection, kAnswerLimitMs));
    write_all(STDOUT_FILENO, text);
    GRAB_TRY(const relay::TreeEnd end, await_end(found.connection));
    return report_end(end, name, process);
  }
  if (options.verbose)
    say(cli::attached_line(name, options.read_only, options.detach_key));
  GRAB_TRY(const relay::ViewEnd end, show(std::move(found.connection), std::move(viewer), name,
                                          process, options, found.same_user));
  return report_end(end, name, process);
}

Result<int> list(const cli::Options& options) {
  std::vector<std::string> silent;
  GRAB_TRY(const auto all, ask_all(&silent));
  write_all(STDOUT_FILENO, options.json ? cli::list_json(all) : cli::list_table(all));
  for (const std::string& name : silent)
    say("the relay of " + printable(name) + " does not answer");
  return 0;
}

/// The commands that ask one thing of one relay.
Result<int> ask(const cli::Options& options) {
  GRAB_TRY(Found found, find_relay(options.target));
  relay::Connection& connection = found.connection;
  if (options.action == cli::Action::kPeek) {
    GRAB_TRY(const std::string text, relay::ask_screen_text(connection, kAnswerLimitMs));
    write_all(STDOUT_FILENO, text);
  } else if (options.action == cli::Action::kSend) {
    GRAB_CHECK(relay::ask<message::Done>(connection, message::SendText{false, options.text},
                                         kAnswerLimitMs));
  } else if (options.action == cli::Action::kSignal) {
    GRAB_CHECK(
        relay::ask<message::Done>(connection, message::SignalTree{options.signo}, kAnswerLimitMs));
  } else if (options.action == cli::Action::kDetach) {
    GRAB_CHECK(relay::ask<message::Done>(connection, message::DetachViewers{}, kAnswerLimitMs));
  } else {
    GRAB_TRY(const relay::TreeEnd end, await_end(connection));
    say(cli::ended_line(found.status.process, end));
    return cli::exit_status(end);
  }
  return 0;
}

/// The tracer process is gone long before the tree: nobody is to wait for it.
void leave_no_zombies() {
  struct sigaction action {};
  action.sa_handler = SIG_DFL;
  action.sa_flags = SA_NOCLDWAIT;
  (void)sigaction(SIGCHLD, &action, nullptr);
}

Result<int> carry_out(const cli::Options& options) {
  switch (options.action) {
    case cli::Action::kDryRun:
      return dry_run(options);
    case cli::Action::kMove:
      return move(options);
    case cli::Action::kRun:
      return run_program(options);
    case cli::Action::kAttach:
      return attach(options);
    case cli::Action::kList:
      return list(options);
    default:
      return ask(options);
  }
}

int run(int argc, char** argv) {
  open_standard_descriptors();
  leave_no_zombies();
  // A file that may not grow (ulimit -f) is an error like others, for all that is forked from here.
  (void)signal(SIGXFSZ, SIG_IGN);
  const auto options = cli::parse_options(argc, argv);
  if (!options)
    return report(options.error(), cli::wants_json(argc, argv));
  if (options->action == cli::Action::kHelp) {
    write_all(STDOUT_FILENO, cli::help_text(options->about));
    return 0;
  }
  if (options->action == cli::Action::kVersion) {
    write_all(STDOUT_FILENO, "grab " GRAB_VERSION "\n");
    return 0;
  }
  const Result<int> status = carry_out(*options);
  return status ? *status : report(status.error(), options->json);
}

}  // namespace
}  // namespace grab

int main(int argc, char** argv) {
  return grab::run(argc, argv);
}
