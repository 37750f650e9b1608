// SPDX-License-Identifier: MIT
#include "commands.h"

#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <sstream>
#include <utility>

#include "cli/outcome.h"
#include "proc/surroundings.h"
#include "relay/socket_directory.h"

namespace grab {
namespace {

namespace message = relay::message;

// A relay that was killed is started again by its keeper within milliseconds.
constexpr std::chrono::seconds kReconnectLimit{5};
constexpr int kReconnectPauseMs = 10;

bool all_digits(const std::string& word) {
  return !word.empty() && std::all_of(word.begin(), word.end(),
                                      [](char byte) { return byte >= '0' && byte <= '9'; });
}

Result<Found> connect(const relay::SocketDirectory& directory, const std::string& name,
                      int limit_ms = kAnswerLimitMs) {
  GRAB_TRY(UniqueFd socket, directory.connect(name));
  GRAB_TRY(const relay::Peer peer, relay::peer_of(socket.get()));
  relay::Connection connection(std::move(socket), relay::Side::kRelay);
  GRAB_CHECK(relay::exchange_hello(connection, "grab " GRAB_VERSION, limit_ms));
  GRAB_TRY(message::Status status,
           relay::ask<message::Status>(connection, message::AskStatus{}, limit_ms));
  return Found{std::move(connection), std::move(status),
               peer.uid == ::geteuid() && directory.owner() == ::geteuid()};
}

/// The newest of those that live; of the others if none does. Root's own before other users'.
bool is_better(const Found& one, const Found& other) {
  const bool lives = one.status.state != message::Status::State::kEnded;
  const bool other_lives = other.status.state != message::Status::State::kEnded;
  if (one.same_user != other.same_user)
    return one.same_user;
  return lives != other_lives ? lives : one.status.since > other.status.since;
}

tl::unexpected<Error> none_found(const std::string& target, const std::vector<std::string>& names) {
  if (names.empty())
    return fail(ErrorKind::kGone, "there is no tree that grab has moved",
                "grab --tree PID moves one");
  std::string hint = "there is";
  for (const std::string& name : names)
    hint += (name == names.front() ? " " : ", ") + name;
  return fail(ErrorKind::kGone, "there is no tree of the name or process id " + target, hint);
}

void parse_tree_text(const std::string& text, KnownTree& tree) {
  std::istringstream lines(text);
  for (proc::ProcessId process; lines >> process.pid >> process.start_time;)
    tree.processes.push_back(process);
  lines.clear();  // of the word at which that ended
  std::string word;
  for (dev_t terminal = 0; lines >> word >> terminal;)
    tree.terminals.push_back(terminal);
}

bool lives(const proc::ProcessId& process) {
  const auto stat = proc::stat_of(process.pid);
  return stat && stat->start_time == process.start_time;
}

// A user's relay can say what its user likes; root must not act on that against somebody else.
bool may_speak_for(uid_t relay, pid_t pid) {
  struct stat status {};
  return ::geteuid() != 0 || relay == 0 ||
         (::stat(("/proc/" + std::to_string(pid)).c_str(), &status) == 0 && status.st_uid == relay);
}

std::optional<KnownTree> ask_for_tree(Found found, uid_t relay, int limit_ms) {
  const Result<std::string> text = relay::ask_tree_text(found.connection, limit_ms);
  if (!text || found.status.state == message::Status::State::kEnded)
    return std::nullopt;
  KnownTree tree{std::move(found.status), {}, {}};
  parse_tree_text(*text, tree);
  std::erase_if(tree.processes, [relay](const proc::ProcessId& process) {
    return !lives(process) || !may_speak_for(relay, process.pid);
  });
  return tree;
}

bool has_at_its_top(const KnownTree& tree, pid_t pid) {
  const auto has = [&tree](pid_t wanted) {
    return std::any_of(tree.processes.begin(), tree.processes.end(),
                       [wanted](const proc::ProcessId& one) { return one.pid == wanted; });
  };
  const std::vector<pid_t> lineage = proc::lineage_of(pid);
  return !lineage.empty() && has(pid) && std::none_of(lineage.begin() + 1, lineage.end(), has);
}

}  // namespace

std::optional<KnownTree> find_tree_of(pid_t pid, int limit_ms) {
  std::optional<KnownTree> best;
  std::vector<dev_t> terminals;
  const auto directories = relay::directories_to_search();
  if (!directories)
    return best;
  for (const relay::SocketDirectory& directory : *directories) {
    const Result<std::vector<std::string>> names = directory.names();
    for (const std::string& name : names ? *names : std::vector<std::string>()) {
      Result<Found> found = connect(directory, name, limit_ms);
      const Result<relay::Peer> peer =
          found ? relay::peer_of(found->connection.fd()) : Result<relay::Peer>();
      auto tree = found && peer ? ask_for_tree(std::move(*found), peer->uid, limit_ms)
                                : std::optional<KnownTree>();
      if (!tree || !has_at_its_top(*tree, pid))
        continue;
      terminals.insert(terminals.end(), tree->terminals.begin(), tree->terminals.end());
      if (!best || tree->status.since > best->status.since)
        best = std::move(tree);
    }
  }
  if (best) {
    std::sort(terminals.begin(), terminals.end());
    terminals.erase(std::unique(terminals.begin(), terminals.end()), terminals.end());
    best->terminals = std::move(terminals);
  }
  return best;
}

Result<Found> find_relay(const std::string& target, int limit_ms) {
  GRAB_TRY(const auto directories, relay::directories_to_search());
  std::optional<Found> best;
  std::optional<Error> trouble;
  std::vector<std::string> seen;
  for (const relay::SocketDirectory& directory : directories) {
    const Result<std::vector<std::string>> names = directory.names();
    for (const std::string& name : names ? *names : std::vector<std::string>()) {
      seen.push_back(name);
      if (!target.empty() && !all_digits(target) && name != target)
        continue;
      Result<Found> found = connect(directory, name, limit_ms);
      if (!found) {
        trouble = std::move(found).error();
        continue;
      }
      if (all_digits(target) && std::to_string(found->status.pid) != target)
        continue;
      if (!target.empty() && found->status.name == target)
        return found;
      // A tree that was moved on is known to two: to the relay that it has left, too.
      if (!best || is_better(*found, *best))
        best = std::move(*found);
    }
  }
  if (best)
    return std::move(*best);
  if (trouble)
    return tl::unexpected(std::move(*trouble));
  return none_found(target, seen);
}

Result<std::vector<message::Status>> ask_all(std::vector<std::string>* silent) {
  GRAB_TRY(const auto directories, relay::directories_to_search());
  std::vector<message::Status> all;
  for (const relay::SocketDirectory& directory : directories) {
    const Result<std::vector<std::string>> names = directory.names();
    for (const std::string& name : names ? *names : std::vector<std::string>()) {
      Result<Found> found = connect(directory, name);
      if (found)
        all.push_back(std::move(found->status));
      else if (found.error().kind != ErrorKind::kGone)
        silent->push_back(name);
    }
  }
  return all;
}

Result<relay::TreeEnd> await_end(relay::Connection& connection) {
  GRAB_TRY(const message::Ended ended,
           relay::ask<message::Ended>(connection, message::AwaitEnd{}, -1));
  return relay::TreeEnd{ended.wait_status, ended.moved_away};
}

Result<relay::ViewEnd> show(relay::Connection connection, relay::Viewer viewer,
                            const std::string& name, const std::string& process,
                            const cli::Options& options, bool same_user) {
  relay::ViewOptions view;
  view.read_only = options.read_only;
  view.detach_others = options.detach_others;
  view.detach_key = options.detach_key;
  view.lend_terminal = same_user;
  view.stopped_line = "grab: " + cli::stopped_line(process) + "\n";
  const auto reconnect = [&name]() -> Result<relay::Connection> {
    const auto deadline = std::chrono::steady_clock::now() + kReconnectLimit;
    for (;;) {
      Result<Found> found = find_relay(name);
      if (found)
        return std::move(found->connection);
      if (std::chrono::steady_clock::now() > deadline)
        return fail(ErrorKind::kSystem, "the relay of " + name + " has gone, and no other came",
                    "grab list shows what there is");
      (void)::poll(nullptr, 0, kReconnectPauseMs);
    }
  };
  return relay::view(std::move(connection), std::move(viewer), view, reconnect);
}

}  // namespace grab
