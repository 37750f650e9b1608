// SPDX-License-Identifier: MIT
// The rounds of the benchmark. In each, a fresh session of every contender is opened; then each
// measure goes round: direct, contender, direct, contender, ..., direct, so that each value of a
// contender has two of the program directly on a terminal beside it. The order is reversed from
// round to round.
#pragma once

#include <functional>
#include <list>
#include <map>
#include <string>
#include <utility>

#include "relay_bench/contenders.h"
#include "relay_bench/measure.h"
#include "relay_bench/options.h"
#include "relay_bench/report.h"
#include "relay_bench/session.h"

namespace grab::bench {

class Rounds {
 public:
  /// `stop` is asked now and then; once it is true, run() ends its sessions and fails.
  Rounds(const Options& options, Places places, std::function<bool()> stop);
  /// All rounds. Errors: the program directly on a terminal could not be measured.
  [[nodiscard]] Status run();
  [[nodiscard]] const Report& report() const { return report_; }

 private:
  using Measure = std::function<Result<Values>(Session&)>;

  [[nodiscard]] Status run_round(int round);
  [[nodiscard]] Status open_sessions(int round);
  void open(Contender& contender);
  void end_sessions();
  /// One measure of all sessions, each between two of the direct one.
  [[nodiscard]] Status go_round(int round, const Measure& measure);
  [[nodiscard]] Result<Values> output_of(Session& session, Output output);
  [[nodiscard]] Status streams();
  [[nodiscard]] Status memory(int round);
  [[nodiscard]] Status idle(int round);
  void failed(const Session& session, const std::string& doing, const Error& error);
  void tell(const std::string& failure);
  void note(const std::string& text);
  [[nodiscard]] Status forget_failed();
  void record(int round, const std::string& contender, const Values& values,
              const Values& direct_before, const Values& direct_after);

  Options options_;
  Places places_;
  std::function<bool()> stop_;
  std::vector<Contender> contenders_;
  std::list<Session> sessions_;  ///< the first one is direct
  std::vector<const Session*> failed_;
  std::map<std::pair<std::string, Output>, std::uint64_t> times_;  ///< of the payload
  int sessions_started_ = 0;
  std::string doing_;
  Report report_;
};

}  // namespace grab::bench
