// SPDX-License-Identifier: MIT
// Runs the batch of one stopped process. Each step leaves the process such that, if the tracer died
// behind it, the process would come out of its batch by itself: see batch_table.h.
#pragma once

#include <sys/types.h>

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "arch/batch.h"
#include "base/error.h"
#include "tracer/batch_table.h"

namespace grab::tracer {

class BatchRun {
 public:
  /// Reads what is needed of the thread that is to run it; changes nothing. Errors: kUnsupported
  /// if there is no vDSO such as ours with an end that nobody uses; kRefused if the process still
  /// is in the calls of a grab before.
  [[nodiscard]] static Result<BatchRun> look(const proc::Process& process, pid_t tid, int mem_fd);

  /// The mask that the table has to put back.
  [[nodiscard]] std::uint64_t signal_mask() const { return signal_mask_; }

  /// Whether the table has room in the vDSO; if not, it has to be made for a page.
  [[nodiscard]] bool fits(const BatchTable& table) const;

  /// Maps a page (or some) of at least `size` bytes into the process, at an address where nothing
  /// is near. It is unmapped at the end of the batch that runs on it, or by finish(). `writable`:
  /// for calls that write to memory.
  [[nodiscard]] Result<Page> map_page(std::size_t size, bool writable);

  /// Writes code and table into the process, the table into the page if there is one. Changes only
  /// bytes that nothing uses.
  [[nodiscard]] Status load(BatchTable table);

  /// The thread that runs it, as its process knows it.
  [[nodiscard]] pid_t known_tid() const { return known_tid_; }

  /// Where the donor sends: has the process make its sockets and sends it what it is due. Before
  /// start_prepare().
  [[nodiscard]] Status receive();

  /// Where the process cannot be put back into its group: has it leave that. Behind all prepares,
  /// and with the commit announced: if the tracer dies here, the process goes on and commits.
  [[nodiscard]] Status depart();

  /// Sends the process into prepare, undo or commit. It runs until await().
  [[nodiscard]] Status start_prepare();
  [[nodiscard]] Status start_undo();
  [[nodiscard]] Status start_commit();

  /// One that has prepared commits from here on, not undoes, if the tracer dies.
  [[nodiscard]] Status stand_before_commit();

  /// Waits for the stop at the end of the part that was started.
  /// Errors: the call that failed and why; kGone if the process was killed.
  [[nodiscard]] Status await();

  /// The same for a commit. What fails behind the point from which there is no way back is left out
  /// and told in `left_out`; the process has then committed the rest.
  [[nodiscard]] Status await_commit(std::vector<Error>& left_out);

  /// After a failed await(): the descriptor whose close-on-exec is other than the plan has it, if
  /// it was that.
  struct OtherFlag {
    int fd = -1;
    bool close_on_exec = false;
  };
  [[nodiscard]] std::optional<OtherFlag> other_flag() const { return other_flag_; }

  /// Whether the process is inside its batch: from a start until leave().
  [[nodiscard]] bool is_inside() const { return entered_; }

  /// Takes the process out of its batch, still stopped: another table can be loaded then.
  void leave();

  /// Puts the registers, the mask and the bytes back and detaches: the process goes on where it
  /// was.
  void finish();

  /// Instead of finish(), after a commit: detaches a guarded process that waits for its guard in
  /// its batch, of which it comes out by itself within a second if none comes. False, and nothing
  /// is done, where it cannot wait.
  [[nodiscard]] bool hand_over();

  /// In a guard that was forked off since, at the first stop of the process: what finish() does but
  /// for the detaching, if that is in its batch still.
  void take_over();

  [[nodiscard]] pid_t pid() const { return pid_; }
  [[nodiscard]] pid_t tid() const { return tid_; }

 private:
  BatchRun() = default;
  [[nodiscard]] Status stand_before(std::size_t call);
  [[nodiscard]] Status go(std::size_t first_call);
  [[nodiscard]] Status find_room(const proc::Process& process);
  [[nodiscard]] Status load_code_and(const arch::CallTable& table);
  [[nodiscard]] Result<std::int64_t> run_one_call(const arch::CallTable& table);
  [[nodiscard]] Status set_argument(std::size_t call, std::size_t argument,
                                    std::int32_t value) const;
  [[nodiscard]] Status write(std::uint64_t address, const std::vector<std::byte>& bytes) const;
  [[nodiscard]] Result<std::array<int, 2>> read_pair() const;
  [[nodiscard]] Status close_other(const std::array<int, 2>& pair);

  pid_t pid_ = 0;
  pid_t tid_ = 0;
  pid_t known_pid_ = 0;  // the same as the process itself knows them
  pid_t known_tid_ = 0;
  int mem_fd_ = -1;  // borrowed from the TreeReader
  std::string name_;
  arch::Registers stopped_;  // as found, with a restartable sequence left
  std::uint64_t signal_mask_ = 0;
  bool continue_pending_ = false;
  bool was_stopped_ = false;
  std::uint64_t code_ = 0;            // addresses in the process
  std::uint64_t vdso_table_ = 0;      // where a table has room behind the code
  std::uint64_t limit_ = 0;           // where that room ends
  std::uint64_t page_limit_ = 0;      // where mapped pages end
  std::uint64_t table_at_ = 0;        // of the table that is loaded
  std::optional<Page> page_;          // mapped now
  std::vector<std::uint64_t> stops_;  // addresses of its stop calls
  std::size_t written_ = 0;
  bool entered_ = false;   // the registers are no longer those found
  bool departed_ = false;  // into its new group
  bool in_commit_ = false;
  bool ran_ = false;  // a batch has run, and a SIGSTOP with it
  BatchTable batch_;
  std::optional<OtherFlag> other_flag_;
  std::optional<arch::BatchFailure> failure_;  // what the last await() found
};

/// Sets that flag in the plan; whether it was another one there.
bool set_right(ProcessPlan& plan, BatchRun::OtherFlag flag);

}  // namespace grab::tracer
