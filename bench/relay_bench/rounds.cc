// SPDX-License-Identifier: MIT
#include "relay_bench/rounds.h"

#include <poll.h>

#include <algorithm>
#include <cmath>
#include <iostream>

#include "base/text.h"
#include "relay_bench/processes.h"

namespace grab::bench {
namespace {

constexpr std::uint64_t kFirstTimes = 4;  // 1.3 MB tell how fast a contender is
constexpr double kMostTimes = 20'000;     // 6.5 GB
constexpr std::size_t kHintKept = 300;

// Until what a contender puts off for a moment is done.
int settle_ms(double idle_seconds) {
  return static_cast<int>(std::min(idle_seconds / 2, 1.0) * 1000);
}

}  // namespace

Rounds::Rounds(const Options& options, Places places, std::function<bool()> stop)
    : options_(options), places_(std::move(places)), stop_(std::move(stop)) {
  Contenders found = find_contenders(places_, options_.contenders);
  contenders_ = std::move(found.present);
  report_.missing = std::move(found.missing);
  report_.rounds = options_.rounds;
  report_.idle_seconds = options_.idle;
  for (Contender& contender : contenders_) {
    report_.contenders.push_back(contender.name);
    if (contender.name == kGrab && options_.grab_way == "tree")
      contender.way = Way::kMove;
  }
}

Status Rounds::run() {
  for (int round = 1; round <= options_.rounds; ++round) {
    std::cerr << "round " << round << " of " << options_.rounds << "\n";
    Status status = run_round(round);
    end_sessions();
    GRAB_CHECK(status);
  }
  return {};
}

Status Rounds::run_round(int round) {
  GRAB_CHECK(open_sessions(round));
  if (options_.wants("streams")) {
    doing_ = "numbered streams";
    GRAB_CHECK(streams());
  }
  for (const Output output : kOutputs) {
    if (!options_.wants(name_of(output)))
      continue;
    doing_ = name_of(output);
    GRAB_CHECK(go_round(round, [&](Session& session) { return output_of(session, output); }));
  }
  for (const bool load : {false, true}) {
    if (!options_.wants(load ? "load" : "echo"))
      continue;
    doing_ = load ? "echo under load" : "echo";
    const int count = load ? options_.loaded_echoes : options_.echoes;
    GRAB_CHECK(
        go_round(round, [&](Session& session) { return measure_echo(session, count, load); }));
  }
  if (options_.wants("memory"))
    GRAB_CHECK(memory(round));
  if (options_.wants("idle") && round == options_.rounds)
    GRAB_CHECK(idle(round));
  return {};
}

Status Rounds::open_sessions(int round) {
  for (Contender& contender : contenders_)
    open(contender);
  if (round % 2 == 0 && sessions_.size() > 1) {
    sessions_.reverse();
    sessions_.splice(sessions_.begin(), sessions_, std::prev(sessions_.end()));
  }
  return forget_failed();
}

void Rounds::open(Contender& contender) {
  Result<Session> session = Session::start(contender, places_, ++sessions_started_);
  if (session) {
    sessions_.push_back(std::move(*session));
    return;
  }
  const std::string& said = session.error().hint;
  const std::string hint = printable(said.substr(0, std::min(said.find('\r'), kHintKept)));
  if (session.error().kind == ErrorKind::kUsage && contender.name == kGrab &&
      contender.way == Way::kRun && options_.grab_way == "auto") {
    note("grab was measured as grab --tree; grab run ended at once: " + hint);
    contender.way = Way::kMove;
    open(contender);
    return;
  }
  tell(session.error().message() + ": " + hint);
}

void Rounds::end_sessions() {
  for (Session& session : sessions_)
    if (const Status ended = session.end(); !ended)
      tell(ended.error().message());
  sessions_.clear();
  failed_.clear();
}

Status Rounds::go_round(int round, const Measure& measure) {
  const auto measure_direct = [&]() -> Result<Values> {
    if (stop_())
      return fail(ErrorKind::kRefused, "interrupted");
    Result<Values> values = measure(sessions_.front());
    if (!values)
      values.error().what = std::string(kDirect) + ", " + doing_ + ": " + values.error().what;
    return values;
  };
  GRAB_TRY(Values before, measure_direct());
  record(round, kDirect, before, {}, {});
  for (auto session = std::next(sessions_.begin()); session != sessions_.end(); ++session) {
    const Result<Values> values = measure(*session);
    if (!values && !session->contender().exact && values.error().kind == ErrorKind::kUnsupported)
      note(session->contender().name + ", " + doing_ + ": " + values.error().message());
    else if (!values)
      failed(*session, doing_, values.error());
    GRAB_TRY(const Values after, measure_direct());
    record(round, kDirect, after, {}, {});
    if (values)
      record(round, session->contender().name, *values, before, after);
    before = after;
  }
  return forget_failed();
}

Result<Values> Rounds::output_of(Session& session, Output output) {
  const std::string name = name_of(output);
  const bool flaw = options_.flaw == Flaw::kWritten;
  const auto key = std::pair(session.contender().name, output);
  if (times_.count(key) == 0) {
    GRAB_TRY(Values first, measure_output(session, output, kFirstTimes, flaw));
    const double one = static_cast<double>(make_payload(output).bytes.size());
    const double times = first[name] * 1e6 * options_.seconds / one;
    times_[key] = static_cast<std::uint64_t>(std::clamp(std::round(times), 1.0, kMostTimes));
  }
  return measure_output(session, output, times_[key], flaw);
}

Status Rounds::streams() {
  for (Session& session : sessions_) {
    std::string& result = report_.streams[session.contender().name];
    if (!session.contender().exact) {
      result = "n/a (redraws)";
      continue;
    }
    const Status checked = check_streams(session, options_.lines, options_.flaw);
    if (checked && result.empty())
      result = "byte-exact";
    if (!checked) {
      result = "WRONG";
      failed(session, doing_, checked.error());
    }
  }
  return forget_failed();
}

Status Rounds::memory(int round) {
  for (Session& session : sessions_) {
    if (session.contender().name == kDirect)
      continue;
    if (const auto values = measure_memory(session))
      record(round, session.contender().name, *values, {}, {});
    else
      failed(session, "memory", values.error());
  }
  return forget_failed();
}

Status Rounds::idle(int round) {
  struct Watched {
    Session* session;
    std::vector<pid_t> pids;
    std::uint64_t switches;
  };
  (void)::poll(nullptr, 0, settle_ms(options_.idle));
  std::vector<Watched> all;
  for (Session& session : sessions_) {
    if (session.contender().name == kDirect)
      continue;
    const std::vector<pid_t> pids = session.processes();
    if (const auto switches = switches_of(pids))
      all.push_back({&session, pids, *switches});
    else
      failed(session, "idle", switches.error());
  }
  (void)::poll(nullptr, 0, static_cast<int>(options_.idle * 1000));
  for (const Watched& watched : all) {
    const auto switches = switches_of(watched.pids);
    if (!switches) {
      failed(*watched.session, "idle", switches.error());
      continue;
    }
    const auto wakeups = static_cast<double>(*switches - watched.switches);
    record(round, watched.session->contender().name, {{"wakeups", wakeups}}, {}, {});
  }
  return forget_failed();
}

void Rounds::failed(const Session& session, const std::string& doing, const Error& error) {
  tell(session.contender().name + ", " + doing + ": " + error.message());
  failed_.push_back(&session);
}

void Rounds::tell(const std::string& failure) {
  if (std::find(report_.failures.begin(), report_.failures.end(), failure) ==
      report_.failures.end()) {
    report_.failures.push_back(failure);
    std::cerr << "relay_bench: " << failure << "\n";
  }
}

void Rounds::note(const std::string& text) {
  if (std::find(report_.notes.begin(), report_.notes.end(), text) == report_.notes.end())
    report_.notes.push_back(text);
}

// What a failed session still has under way would be taken for an answer to the next measure.
Status Rounds::forget_failed() {
  for (const Session* gone : failed_)
    sessions_.remove_if([&](Session& session) { return &session == gone; });
  failed_.clear();
  if (sessions_.empty() || sessions_.front().contender().name != kDirect)
    return fail(ErrorKind::kSystem, "nothing can be compared without " + std::string(kDirect));
  return {};
}

void Rounds::record(int round, const std::string& contender, const Values& values,
                    const Values& direct_before, const Values& direct_after) {
  for (const auto& [measure, value] : values) {
    Reading reading{.round = round, .value = value, .beside = std::nullopt};
    const auto before = direct_before.find(measure);
    const auto after = direct_after.find(measure);
    if (before != direct_before.end() && after != direct_after.end())
      reading.beside = (before->second + after->second) / 2;
    report_.readings[measure][contender].push_back(reading);
  }
}

}  // namespace grab::bench
