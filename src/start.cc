// SPDX-License-Identifier: MIT
// The command forks a starter, which moves the tree; when that is done the starter forks the keeper
// and ends, so that keeper and relay are nobody's descendants: a later grab of the shell that this
// command was typed in does not take them for a part of its tree.
#include "start.h"

#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <termios.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <fstream>
#include <optional>
#include <sstream>
#include <utility>
#include <vector>

#include "base/front.h"
#include "base/text.h"
#include "base/unique_fd.h"
#include "cli/outcome.h"
#include "commands.h"
#include "program.h"
#include "relay/keeper.h"
#include "relay/proc_info.h"
#include "relay/pts.h"
#include "relay/recorder.h"
#include "relay/socket_directory.h"
#include "relay/viewer_terminal.h"
#include "tracer/fd_store.h"
#include "tracer/journal.h"
#include "tracer/terminal.h"
#include "tracer/tracer.h"

namespace grab {
namespace {

namespace message = relay::message;

constexpr int kForEver = -1;
constexpr const char* kSoftware = "grab " GRAB_VERSION;

std::int64_t now_us() {
  using namespace std::chrono;
  return duration_cast<microseconds>(system_clock::now().time_since_epoch()).count();
}

struct Pair {
  UniqueFd command, relay;
};

Result<Pair> open_pair() {
  std::array<int, 2> ends{};
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()) != 0)
    return fail_errno(errno, "socketpair");
  return Pair{UniqueFd(ends[0]), UniqueFd(ends[1])};
}

// ---------------------------------------------------------------- whose, and what it is called

/// The ids that a relay is to have.
struct Owner {
  uid_t uid = 0;
  gid_t gid = 0;
  std::vector<gid_t> groups;
};

/// Of a process, as /proc/PID/status tells; ours where it cannot be read or nothing else is
/// allowed.
Owner owner_of(pid_t pid) {
  Owner owner{::geteuid(), ::getegid(), {}};
  if (owner.uid != 0)
    return owner;
  std::ifstream status("/proc/" + std::to_string(pid) + "/status");
  for (std::string line; std::getline(status, line);) {
    std::istringstream words(line);
    std::string key;
    words >> key;
    if (key == "Uid:")
      words >> owner.uid;
    else if (key == "Gid:")
      words >> owner.gid;
  }
  return owner;
}

std::string first_line(const std::string& path) {
  std::ifstream file(path);
  std::string line;
  std::getline(file, line);
  return line;
}

std::string command_line_of(pid_t pid) {
  std::ifstream file("/proc/" + std::to_string(pid) + "/cmdline");
  std::ostringstream text;
  text << file.rdbuf();  // does not throw when the process ends meanwhile
  std::string line = text.str();
  while (!line.empty() && line.back() == '\0')
    line.pop_back();
  for (char& byte : line)
    byte = byte == '\0' ? ' ' : byte;
  return line;
}

std::string join(const std::vector<std::string>& words) {
  std::string line;
  for (const std::string& word : words)
    line += (line.empty() ? "" : " ") + word;
  return line;
}

// ---------------------------------------------------------------- before

/// A name that nobody else can take while this is held.
struct Reservation {
  relay::SocketDirectory directory;
  UniqueFd socket;
};

Result<Reservation> reserve(const std::string& name, uid_t owner) {
  GRAB_TRY(relay::SocketDirectory directory,
           relay::SocketDirectory::open(owner, relay::SocketDirectory::Make::kYes));
  GRAB_TRY(UniqueFd socket, directory.listen(name));
  return Reservation{std::move(directory), std::move(socket)};
}

/// What is opened with the rights and in the folder of the command.
struct Preparation {
  UniqueFd ptmx;
  UniqueFd front;
  relay::Recorder::Files files;
};

std::string environment(const char* name) {
  const char* value = std::getenv(name);
  return value != nullptr ? value : "";
}

Result<relay::Recorder::Files> open_recording(const cli::Options& options,
                                              const std::string& command, int ptmx) {
  using namespace std::chrono;
  relay::Recorder::Files files;
  files.log_path = options.log;
  files.record_path = options.record;
  files.started_us = static_cast<std::uint64_t>(
      duration_cast<microseconds>(steady_clock::now().time_since_epoch()).count());
  if (!options.log.empty()) {
    GRAB_TRY(files.log, relay::open_log(options.log));
  }
  if (!options.record.empty()) {
    const relay::RecordHeader header{relay::window_size(ptmx), now_us() / 1'000'000, command,
                                     environment("TERM"), environment("SHELL")};
    GRAB_TRY(files.record, relay::open_record(options.record, header));
  }
  return files;
}

Result<Preparation> prepare(const cli::Options& options, const relay::Viewer* viewer,
                            const std::string& command) {
  Preparation prepared;
  GRAB_TRY(prepared.ptmx, relay::open_ptmx(viewer));
  GRAB_TRY(prepared.front, Front::create());
  GRAB_TRY(prepared.files, open_recording(options, command, prepared.ptmx.get()));
  return prepared;
}

relay::RelaySetup setup_of(Preparation& prepared, UniqueFd command, const cli::Options& options,
                           relay::TreeInfo info, uid_t owner) {
  relay::RelaySetup setup;
  setup.ptmx = std::move(prepared.ptmx);
  setup.front = std::move(prepared.front);
  setup.info = std::move(info);
  setup.owner = owner;
  setup.files = std::move(prepared.files);
  setup.command = std::move(command);
  setup.command_attaches = !options.detached;
  return setup;
}

/// False if all were killed who would have said that it is done.
Result<bool> await_done(relay::Connection& connection, const Say& say, message::Status& status) {
  for (;;) {
    Result<relay::Message> said = relay::await_message(connection, kForEver);
    if (!said && said.error().kind == ErrorKind::kGone)
      return false;
    GRAB_CHECK(said);
    if (const auto* notice = std::get_if<message::Notice>(&*said))
      say(notice->text);
    else if (auto* told = std::get_if<message::Status>(&*said))
      status = std::move(*told);
    else if (const auto* failed = std::get_if<message::Failed>(&*said))
      return tl::unexpected(relay::to_error(*failed));
    else if (std::holds_alternative<message::Done>(*said))
      return true;
  }
}

tl::unexpected<Error> relay_has_gone() {
  return fail(ErrorKind::kGone, "the relay has gone", "");
}

/// Waits until the tree is on its new terminal; nothing if all were killed who would have said so.
Result<std::optional<Begun>> await_start(UniqueFd socket, bool same_user, const Say& say) {
  Begun begun{relay::Connection(std::move(socket), relay::Side::kRelay), {}, same_user};
  GRAB_CHECK(
      relay::send_if_there(begun.connection, message::Hello{relay::kProtocolVersion, kSoftware}));
  GRAB_TRY(const bool done, await_done(begun.connection, say, begun.status));
  return done ? std::optional(std::move(begun)) : std::nullopt;
}

// ---------------------------------------------------------------- in the starter and the keeper

/// Says things to the command, on a copy of its connection; who has gone is told nothing.
void tell_command(int socket, const std::vector<relay::Message>& messages) {
  relay::Connection connection(UniqueFd(::fcntl(socket, F_DUPFD_CLOEXEC, 0)), relay::Side::kViewer);
  for (const relay::Message& said : messages)
    (void)connection.send(said);
}

/// What the command has to know of the tree.
message::Status brief_status(const relay::RelaySetup& setup) {
  message::Status status;
  status.name = setup.info.name;
  status.pid = setup.info.pid;
  status.process = setup.tree.name;
  return status;
}

/// Becomes the user whose tree it is, unless the tree is of several users, whom only root reaches.
void drop_privileges(const Owner& owner, const relay::MovedTree& tree) {
  if (::geteuid() != 0 || owner.uid == 0)
    return;
  for (const relay::ProcessRef& process : tree.processes) {
    struct stat status {};
    const std::string path = "/proc/" + std::to_string(process.pid) + "/stat";
    if (::stat(path.c_str(), &status) == 0 && status.st_uid != owner.uid)
      return;
  }
  if (::setgroups(owner.groups.size(), owner.groups.data()) != 0 ||
      ::setresgid(owner.gid, owner.gid, owner.gid) != 0 ||
      ::setresuid(owner.uid, owner.uid, owner.uid) != 0)
    ::_exit(1);
}

/// From a tree that was moved to a keeper that is nobody's descendant, and is to keep no memory of
/// the tracers'; the caller ends.
void hand_over(const cli::Options& options, relay::RelaySetup& setup, const tracer::Moved& moved,
               const Owner& owner, tracer::Journal& journal) {
  if (::fork() != 0)
    return;
  journal = {};
  setup.tree = cli::to_moved_tree(moved);
  std::vector<relay::Message> said{
      message::Hello{relay::kProtocolVersion, kSoftware},
      message::Notice{options.detached ? cli::moved_away_line(moved, setup.info.name)
                                       : cli::moved_line(moved, options.detach_key)}};
  for (const std::string& warning : moved.warnings)
    said.emplace_back(message::Notice{"warning: " + printable(warning)});
  said.emplace_back(brief_status(setup));
  said.emplace_back(message::Done{});
  tell_command(setup.command.get(), said);
  drop_privileges(owner, setup.tree);
  relay::keep(std::move(setup));
}

/// Whether the tree is shown: a pipe that whoever is to show it holds open, and in which a relay
/// that has begun leaves a byte. An end of file tells the tracer that all of those were killed.
class Shown {
 public:
  static Result<Shown> open() {
    std::array<int, 2> ends{};
    if (::pipe2(ends.data(), O_CLOEXEC) != 0)
      return fail_errno(errno, "pipe2");
    Shown shown;
    shown.read_end_ = UniqueFd(ends[0]);
    shown.write_end_ = UniqueFd(ends[1]);
    return shown;
  }
  /// For who is to show the tree.
  [[nodiscard]] UniqueFd take_write_end() { return std::move(write_end_); }
  void drop_write_end() { write_end_.reset(); }
  /// Waits; false if nobody is left who would show it.
  [[nodiscard]] bool await() const {
    char byte = 0;
    ssize_t count = 0;
    while ((count = ::read(read_end_.get(), &byte, 1)) < 0 && errno == EINTR) {
    }
    return count == 1;
  }

 private:
  UniqueFd read_end_, write_end_;
};

/// What a starter moves a tree with, and by which another one completes what was broken off.
struct MoveTools {
  tracer::Journal journal;
  tracer::FdStore left_open;
  pid_t command = 0;
  bool resumes = false;  ///< a starter was killed before
};

/// The starter of a move.
[[noreturn]] void move_and_hand_over(const cli::Options& options, relay::RelaySetup setup,
                                     const Owner& owner, Shown shown, MoveTools tools) {
  // ^C on the command's terminal ends the command, and thereby what has not been committed yet.
  (void)::setpgid(0, 0);
  tracer::MoveFor whom;
  whom.ptmx = setup.ptmx.get();
  whom.command = setup.command.get();
  whom.command_pid = tools.command;
  whom.front = setup.front.get();
  whom.journal = &tools.journal;
  whom.left_open = std::move(tools.left_open);
  setup.left_open = whom.left_open.holder();
  whom.begun = [&] { shown.drop_write_end(); };
  whom.see_to = [&](const tracer::Moved& moved) {
    constexpr int kTries = 10;  // each but the first is of somebody who was killed
    for (int i = 0; i < kTries && !shown.await(); ++i) {
      Result<Shown> again = Shown::open();
      if (!again)
        return;
      shown = std::move(*again);
      setup.shown = shown.take_write_end();
      hand_over(options, setup, moved, owner, tools.journal);
      setup.shown.reset();
    }
  };
  Result<tracer::MoveResult> moved = tools.resumes
                                         ? tracer::resume_move(options.pid, options.move, whom)
                                         : tracer::move_tree(options.pid, options.move, whom);
  if (!moved) {
    tell_command(setup.command.get(), {message::Hello{relay::kProtocolVersion, kSoftware},
                                       relay::to_failed(moved.error())});
    ::_exit(1);
  }
  setup.shown = shown.take_write_end();
  setup.notices = std::move(moved->notices);
  hand_over(options, setup, moved->moved, owner, tools.journal);
  ::_exit(0);
}

// ---------------------------------------------------------------- grab run

std::string program_name(const std::string& path) {
  return path.substr(path.rfind('/') + 1);
}

/// Starts the program and sets up all that the relay is to know of it.
Status run(const cli::Options& options, const std::optional<termios>& modes,
           relay::RelaySetup& setup) {
  const std::string& word = options.command.front();
  GRAB_TRY(Program program, Program::fork_on(setup.ptmx.get(), options.command, modes));
  const pid_t pid = program.pid();
  setup.info.pid = pid;
  setup.info.name =
      options.name.empty() ? relay::default_name(program_name(word), pid) : options.name;
  GRAB_TRY(Reservation reservation, reserve(setup.info.name, setup.owner));
  const auto stat = relay::read_stat(pid);
  setup.tree.processes = {{pid, stat ? stat->start_time : 0}};
  setup.tree.status_pid = setup.tree.job_pgid = pid;
  setup.tree.name = std::to_string(pid) + " (" + printable(program_name(word)) + ")";
  if (const Status begun = program.begin(); !begun) {
    reservation.directory.remove(setup.info.name);
    return begun;
  }
  setup.directory = std::move(reservation.directory);
  setup.listener = std::move(reservation.socket);
  return {};
}

[[noreturn]] void run_and_keep(const cli::Options& options, relay::RelaySetup setup,
                               const std::optional<termios>& modes) {
  // Its status stays in a zombie for the relay, also if it ends at once.
  (void)::signal(SIGCHLD, SIG_DFL);
  const message::Hello hello{relay::kProtocolVersion, kSoftware};
  if (const Status started = run(options, modes, setup); !started) {
    tell_command(setup.command.get(), {hello, relay::to_failed(started.error())});
    ::_exit(1);
  }
  tell_command(setup.command.get(), {hello, brief_status(setup), message::Done{}});
  relay::keep(std::move(setup));
}

std::string name_of(const cli::Options& options) {
  if (!options.name.empty())
    return options.name;
  return relay::default_name(first_line("/proc/" + std::to_string(options.pid) + "/comm"),
                             options.pid);
}

/// The relay that a tree is moved away from keeps its name until that is done.
Result<Reservation> reserve_for(const cli::Options& options, std::string& name, uid_t owner) {
  Result<Reservation> reservation = reserve(name, owner);
  constexpr int kMostMoves = 100;
  const std::string first = name;
  for (int i = 2; options.move.force && options.name.empty() && !reservation && i < kMostMoves;
       ++i) {
    name = first + "." + std::to_string(i);
    reservation = reserve(name, owner);
  }
  return reservation;
}

Result<MoveTools> open_tools() {
  MoveTools tools;
  GRAB_TRY(tools.journal, tracer::Journal::open());
  GRAB_TRY(tools.left_open, tracer::FdStore::open());
  tools.command = ::getpid();
  return tools;
}

using Starter = std::function<void(UniqueFd socket, Shown shown)>;

/// Forks one, which does not return. What is returned is the socket to it, and to who comes after.
Result<UniqueFd> fork_starter(const Starter& starter) {
  GRAB_TRY(Shown shown, Shown::open());
  GRAB_TRY(Pair pair, open_pair());
  const pid_t pid = ::fork();
  if (pid < 0)
    return fail_errno(errno, "fork");
  if (pid == 0) {
    pair.command.reset();  // its end tells that the command has gone
    starter(std::move(pair.relay), std::move(shown));
  }
  return std::move(pair.command);
}

/// The same for who follows one that was killed: while there is no room for a process or a file,
/// the tree must not lose its terminal, which ends with us.
Result<UniqueFd> fork_next_starter(const Starter& starter) {
  constexpr int kTries = 100, kPauseMs = 100;
  for (int i = 1;; ++i) {
    Result<UniqueFd> socket = fork_starter(starter);
    if (socket || i == kTries)
      return socket;
    (void)::poll(nullptr, 0, kPauseMs);
  }
}

/// Waits until the tree is on its new terminal, which stays open meanwhile: this process has the
/// ptmx, too.
Result<Begun> await_one_of(const Starter& starter, MoveTools& tools, bool same_user,
                           const Say& say) {
  constexpr int kLives = 10;  // each but the first is of one that was killed with its tracer
  for (int life = 0; life < kLives; ++life) {
    GRAB_TRY(UniqueFd socket, tools.resumes ? fork_next_starter(starter) : fork_starter(starter));
    GRAB_TRY(std::optional<Begun> begun, await_start(std::move(socket), same_user, say));
    if (begun)
      return std::move(*begun);
    tools.resumes = true;
  }
  return fail(ErrorKind::kSystem, "grab's processes were killed again and again",
              "grab --force moves what may be left of the tree");
}

}  // namespace

Status follow_earlier_move(cli::Options& options) {
  constexpr int kBriefMs = 100;  // one that is stopped is no reason to keep the user waiting
  const std::optional<KnownTree> tree = find_tree_of(options.pid, kBriefMs);
  if (!tree)
    return {};
  if (!options.move.force) {
    const std::string name = printable(tree->status.name);
    return fail(ErrorKind::kRefused,
                printable(tree->status.process) + " was moved before and is shown as " + name,
                "grab attach " + name + " shows it here; --force moves it once more");
  }
  if (options.move.whole_tree) {
    options.pid = tree->processes.front().pid;
    options.move.also = tree->processes;
    options.move.also_from = tree->terminals;
  }
  return {};
}

Result<Begun> begin_move(const cli::Options& options, const relay::Viewer* viewer, const Say& say) {
  const Owner owner = owner_of(options.pid);
  relay::TreeInfo info{name_of(options), options.pid, command_line_of(options.pid), now_us()};
  GRAB_TRY(Preparation prepared, prepare(options, viewer, info.command));
  GRAB_TRY(MoveTools tools, open_tools());
  GRAB_TRY(Reservation reservation, reserve_for(options, info.name, owner.uid));
  const auto starter = [&](UniqueFd socket, Shown shown) {
    relay::RelaySetup setup = setup_of(prepared, std::move(socket), options, info, owner.uid);
    setup.directory = std::move(reservation.directory);
    setup.listener = std::move(reservation.socket);
    move_and_hand_over(options, std::move(setup), owner, std::move(shown), std::move(tools));
  };
  Result<Begun> begun = await_one_of(starter, tools, owner.uid == ::geteuid(), say);
  if (!begun)
    reservation.directory.remove(info.name);
  return begun;
}

Result<Begun> begin_run(const cli::Options& options, const relay::Viewer* viewer, const Say& say) {
  GRAB_TRY(Preparation prepared, prepare(options, viewer, join(options.command)));
  GRAB_TRY(Pair pair, open_pair());
  std::optional<termios> modes;
  if (viewer != nullptr && ::tcgetattr(viewer->terminal.get(), &modes.emplace()) != 0)
    modes.reset();
  tracer::set_missing_size(-1, prepared.ptmx.get());
  const pid_t starter = ::fork();
  if (starter < 0)
    return fail_errno(errno, "fork");
  if (starter == 0) {
    // Its child is the keeper, and the program's parent, which leaves its status to the relay.
    if (::fork() == 0)
      run_and_keep(options,
                   setup_of(prepared, std::move(pair.relay), options,
                            {"", 0, join(options.command), now_us()}, ::geteuid()),
                   modes);
    ::_exit(0);
  }
  pair.relay.reset();
  GRAB_TRY(std::optional<Begun> begun, await_start(std::move(pair.command), true, say));
  if (!begun)
    return relay_has_gone();
  return std::move(*begun);
}

Status await_notices(relay::Connection& connection, const Say& say) {
  message::Status status;
  GRAB_TRY(const bool done, await_done(connection, say, status));
  return done ? Status() : relay_has_gone();
}

}  // namespace grab
