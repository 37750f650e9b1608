// SPDX-License-Identifier: MIT
// One contender at work: a fresh outer terminal, the contender on it, and the program inside, which
// obeys over a socket of its own.
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

#include "base/error.h"
#include "base/unique_fd.h"
#include "board.h"
#include "relay_bench/contenders.h"
#include "relay_bench/outer.h"

namespace grab::bench {

class Session {
 public:
  /// Starts the contender and waits until what the program inside writes is shown outside. `id`
  /// tells sessions apart. Errors: kUsage when grab knows no `run`; kTimeout, kSystem, kGone.
  [[nodiscard]] static Result<Session> start(const Contender& contender, const Places& places,
                                             int id);
  Session(Session&& other) noexcept;
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;
  Session& operator=(Session&&) = delete;
  /// Ends the session as end() does.
  ~Session();

  [[nodiscard]] const Contender& contender() const { return contender_; }
  [[nodiscard]] Outer& outer() { return outer_; }

  /// A number for the next marks.
  [[nodiscard]] std::uint64_t next_run() { return ++run_; }
  [[nodiscard]] Status send(const std::string& request);
  /// The answer to the request sent last. Errors: kUnsupported with what the program inside says.
  [[nodiscard]] Status answered();
  [[nodiscard]] Status ask(const std::string& request);
  /// Waits until all that was written before is shown: writes a mark and reads up to it.
  [[nodiscard]] Status synchronize();

  /// The processes of the contender: relay, server, client, helpers. Not the program inside.
  [[nodiscard]] std::vector<pid_t> processes() const;
  /// The same, once none of them has used CPU time for a few milliseconds; and that time.
  struct Cpu {
    std::vector<pid_t> pids;
    Nanoseconds used = 0;
  };
  [[nodiscard]] Result<Cpu> settled_cpu() const;

  /// Ends the program inside; the contender has to follow. Whoever does not is killed, by pid.
  /// Errors: kTimeout, with the commands of those that had to be killed.
  [[nodiscard]] Status end();

 private:
  explicit Session(Contender contender) : contender_(std::move(contender)) {}
  [[nodiscard]] Status launch(const Places& places, int id, int listener,
                              const std::string& socket_path);
  [[nodiscard]] Status meet(int listener);

  Contender contender_;
  Outer outer_;
  UniqueFd old_ptmx_;  ///< the terminal that the program is moved away from
  UniqueFd control_;
  pid_t holder_ = 0;  ///< parent of everything in this session
  pid_t actor_ = 0;
  pid_t shell_ = 0;  ///< that the program is moved away from
  std::uint64_t run_ = 0;
};

}  // namespace grab::bench
