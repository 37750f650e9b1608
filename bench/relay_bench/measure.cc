// SPDX-License-Identifier: MIT
#include "relay_bench/measure.h"

#include <algorithm>
#include <cmath>

#include "relay_bench/processes.h"

namespace grab::bench {
namespace {

constexpr Nanoseconds kSecond = 1'000'000'000;
constexpr Nanoseconds kRunDeadline = 30 * kSecond;
constexpr Nanoseconds kEchoDeadline = 5 * kSecond;   // a byte must not be lost
constexpr Nanoseconds kShownDeadline = kSecond / 2;  // it may be, by who draws the screen anew
constexpr int kMostLost = 5;
constexpr int kWarmUp = 20;
constexpr double kGiB = 1024.0 * 1024 * 1024;
constexpr double kMiB = 1024.0 * 1024;

// They are in no payload, and in no escape sequence that a terminal's description has.
constexpr std::string_view kTyped = "~{}&";

double quantile(const std::vector<Nanoseconds>& sorted, double part) {
  const std::int64_t at = std::llround(part * static_cast<double>(sorted.size() - 1));
  return static_cast<double>(sorted[static_cast<std::size_t>(at)]);
}

// The seconds that it takes.
Result<double> run_output(Session& session, const Payload& payload, Output output,
                          std::uint64_t times, bool flaw) {
  const std::uint64_t run = session.next_run();
  GRAB_CHECK(session.send("write " + std::string(name_of(output)) + " " + std::to_string(times) +
                          " " + std::to_string(run) + " " + (flaw ? "1" : "0")));
  Outer& outer = session.outer();
  Nanoseconds begun = clock_now();
  const Nanoseconds deadline = begun + kRunDeadline;
  if (session.contender().exact) {
    GRAB_CHECK(outer.skip_to(begin_mark(run), deadline));
    begun = clock_now();
    GRAB_CHECK(outer.expect(payload.shown, times, deadline));
  } else {  // the first mark may never be shown
    GRAB_CHECK(outer.skip_to(end_mark(run), deadline));
  }
  const Nanoseconds ended = clock_now();
  if (session.contender().exact)
    GRAB_CHECK(outer.skip_to(end_mark(run), deadline));
  GRAB_CHECK(session.answered());
  return static_cast<double>(ended - begun) / static_cast<double>(kSecond);
}

}  // namespace

Result<Values> measure_output(Session& session, Output output, std::uint64_t times, bool flaw) {
  const Payload payload = make_payload(output);
  const double bytes = static_cast<double>(payload.bytes.size()) * static_cast<double>(times);
  GRAB_CHECK(session.synchronize());
  GRAB_TRY(const Session::Cpu before, session.settled_cpu());
  GRAB_TRY(const double seconds, run_output(session, payload, output, times, flaw));
  GRAB_TRY(const Session::Cpu after, session.settled_cpu());
  const std::string name = name_of(output);
  Values values{{name, bytes / seconds / 1e6}};
  if (before.pids != after.pids)
    return fail(ErrorKind::kUnsupported, "the contender's processes are not the same as before");
  if (!after.pids.empty())
    values["cpu." + name] =
        static_cast<double>(after.used - before.used) / static_cast<double>(kSecond) / bytes * kGiB;
  return values;
}

Result<Values> measure_echo(Session& session, int count, bool load) {
  GRAB_CHECK(session.synchronize());
  GRAB_CHECK(session.ask("echo"));
  if (load)
    GRAB_CHECK(session.ask("load"));
  const bool exact = session.contender().exact;
  std::vector<Nanoseconds> times;
  int lost = 0;
  for (int i = -kWarmUp; i < count && lost < kMostLost; ++i) {
    const char typed = kTyped[static_cast<std::size_t>(i + kWarmUp) % kTyped.size()];
    const Result<Nanoseconds> time =
        session.outer().echo(typed, clock_now() + (exact ? kEchoDeadline : kShownDeadline));
    if (!time && (exact || time.error().kind != ErrorKind::kTimeout))
      return tl::unexpected(time.error());
    lost += time ? 0 : 1;
    if (time && i >= 0)
      times.push_back(*time);
  }
  if (load)
    GRAB_CHECK(session.ask("unload"));
  GRAB_CHECK(session.synchronize());
  if (lost == kMostLost || times.empty())
    return fail(ErrorKind::kUnsupported, "does not show every byte that is typed");
  std::sort(times.begin(), times.end());
  const std::string name = load ? "load" : "echo";
  return Values{{name + ".p50", quantile(times, 0.5) / 1000},
                {name + ".p99", quantile(times, 0.99) / 1000}};
}

Status check_streams(Session& session, std::size_t lines, Flaw flaw) {
  const std::string output = numbered_output(lines);
  const std::size_t typed_lines = lines / 4 + 1;  // people type less than programs write
  std::string typed = numbered_input(typed_lines);
  if (flaw == Flaw::kTyped)
    typed[typed.size() / 2] = '?';  // it is in no numbered line
  GRAB_CHECK(session.synchronize());
  const std::uint64_t run = session.next_run();
  const Nanoseconds deadline = clock_now() + kRunDeadline;
  GRAB_CHECK(session.send("exchange " + std::to_string(lines) + " " + std::to_string(typed_lines) +
                          " " + std::to_string(run) + (flaw == Flaw::kWritten ? " 1" : " 0")));
  GRAB_CHECK(session.outer().skip_to(begin_mark(run), deadline));
  GRAB_CHECK(session.outer().exchange(output, typed, deadline));
  GRAB_CHECK(session.outer().skip_to(end_mark(run), deadline));
  return session.answered();
}

Result<Values> measure_memory(const Session& session) {
  const std::vector<pid_t> pids = session.processes();
  GRAB_TRY(const Memory memory, memory_of(pids));
  Values values{{"processes", static_cast<double>(pids.size())},
                {"rss", memory.rss / kMiB},
                {"rss.largest", memory.rss_largest / kMiB}};
  if (memory.pss >= 0) {
    values["pss"] = memory.pss / kMiB;
    values["own"] = memory.own / kMiB;
  }
  return values;
}

}  // namespace grab::bench
