// SPDX-License-Identifier: MIT
// Turns what a plan says of one process into the table of calls that its batch makes. Pure.
//
// The table of one process, and what becomes of it if the tracer dies in each part:
//   prepare...  stop | undo...  [stop] mask end      it undoes by itself what it has prepared
//   depart...   stop | commit...                     it completes its part
//   commit...   stop | mask end                      it completes its part
//   channel, front                                   each goes to the stop behind prepare
// Any unexpected result leads to the first stop; going on from there undoes. That is not to be
// where commit has passed what cannot be undone (root: setsid or TIOCNOTTY; for the others root has
// passed it): the tracer goes on behind the call that failed.
#pragma once

#include <array>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "arch/batch.h"
#include "proc/snapshot.h"
#include "tracer/one_call.h"
#include "tracer/plan.h"

namespace grab::tracer {

/// Where a process gets its new descriptors from: another process that holds them.
// Kernel: pidfd_getfd(2) gives the caller the very open file description of another process, so
// that sharing is kept over the whole tree, needs no path and writes no memory. Source:
// pidfd_getfd(2), Linux >= 5.6; seen.
struct Donor {
  pid_t pid = 0;
  std::vector<int> new_fds;  ///< by description of the snapshot: its successor on the new pts
  int new_terminal_fd = -1;  ///< the new pts, read-write
  int old_terminal_fd = -1;  ///< the old terminal, -1 if there is none
  bool sends = false;        ///< the process may not take them; they are sent to it: Mailbox
};

/// What a call is for: "dup3 of descriptor 1". Made for every call of every process while the tree
/// stands still, so it becomes a string only when somebody reads it.
struct CallName {
  const char* what = "";
  int fd = -1;
  [[nodiscard]] std::string text() const;
};

struct BatchTable {
  arch::CallTable table;
  std::vector<CallName> names;  ///< by call, for errors
  std::map<std::size_t, int>
      flag_checks;          ///< calls that check the close-on-exec of this descriptor
  std::size_t prepare = 0;  ///< index of the first call of each part
  std::size_t first_stop = 0;
  std::size_t undo = 0;
  std::size_t undo_stop = 0;  ///< makes no stop until its signal is set, see kStopSignalArgument
  std::optional<std::size_t>
      undo_front;  ///< gives the job the foreground back, once its request is set: kRequestArgument
  std::size_t commit = 0;
  std::size_t commit_stop = 0;
  std::size_t no_return = 0;  ///< a call of commit that fails from here on is left out: see above
  bool waits_for_guard = false;   ///< behind the stop of commit
  std::vector<int> kept;          ///< lent descriptors that are in use from prepare to the end
  std::set<std::size_t> detours;  ///< calls that are a part by themselves: whatever they return
                                  ///< sends them to the stop behind prepare
  // For a process whose donor sends:
  std::size_t channel = 0;         ///< makes `pair`; to be run before prepare. 0: there is none
  std::array<int, 2> pair{};       ///< sockets; the descriptors are to be sent into the second
  std::vector<int> sent;           ///< the donor's descriptors, in the order in which they are due
  std::vector<std::byte> mailbox;  ///< what must lie at the start of the page, before the table
  // For one that cannot be put back into its group:
  std::size_t depart = 0;  ///< leaves it; to be run before commit. 0: there is none
  std::size_t depart_stop = 0;
  std::size_t front = 0;  ///< to be run before undo, once it has left. 0: there is none
};

/// The argument of a stop call that holds its signal, and of an ioctl(2) that holds its request.
inline constexpr std::size_t kStopSignalArgument = 2;
inline constexpr std::size_t kRequestArgument = 1;

struct TableRequest {
  const ProcessPlan* plan = nullptr;
  const proc::Process* process = nullptr;
  const proc::Snapshot* snapshot = nullptr;  ///< tells what numbers the process knows others by
  Donor donor;
  pid_t tid = 0;                  ///< the thread that runs it, as its process knows it
  std::uint64_t signal_mask = 0;  ///< to be put back at the end
  std::optional<Page> page;  ///< where the table will lie, if not in the vDSO; its end unmaps it.
                             ///< Needed for a donor that sends.
  std::vector<int> lent;     ///< free descriptor numbers, ascending: LentNumbers
  bool is_guarded = false;   ///< of MovePlan::guarding
};

/// Makes the table. One on a page ends by unmapping it and going to make_end_table()'s, in the
/// vDSO.
[[nodiscard]] BatchTable make_batch_table(const TableRequest& request);

}  // namespace grab::tracer
