// SPDX-License-Identifier: MIT
// What the tracer reports comes out of the pipe as it went in, whatever the names.
#include "tracer/report.h"

#include <gtest/gtest.h>

namespace grab::tracer {
namespace {

template <class T>
T round_trip(const T& report) {
  const std::string line = to_line(report);
  EXPECT_EQ(line.find('\n'), line.size() - 1) << "one line";
  const Result<Report> parsed = parse_line(std::string_view(line).substr(0, line.size() - 1));
  EXPECT_TRUE(parsed) << parsed.error().message();
  const T* const back = parsed ? std::get_if<T>(&*parsed) : nullptr;
  EXPECT_NE(back, nullptr);
  return back != nullptr ? *back : T{};
}

TEST(Report, HeldKeepsPidsAndStartTimes) {
  const Held held = round_trip(Held{{{1, 2}, {4194304, ~0ULL}}, {{3, 4}}, 5, {{1, 2}}});
  ASSERT_EQ(held.processes.size(), 2U);
  EXPECT_EQ(held.processes[1].pid, 4194304);
  EXPECT_EQ(held.processes[1].start_time, ~0ULL);
  ASSERT_EQ(held.stopped.size(), 1U);
  EXPECT_EQ(held.stopped[0].pid, 3);
  EXPECT_EQ(held.front, 5);
  ASSERT_EQ(held.serving.size(), 1U);
  EXPECT_EQ(held.serving[0].start_time, 2U);
  EXPECT_TRUE(round_trip(Held{}).processes.empty());
}

TEST(Report, MovedKeepsEveryField) {
  Moved moved;
  moved.root_name = "4711 (a \"b\" \\ c)";
  moved.old_terminal = "/dev/pts/3";
  moved.topology = Topology::kKeepSession;
  moved.processes = {{5, 6}};
  moved.job_pgid = 7;
  moved.follower_pgids = {8, 9};
  moved.redraw = {10};
  moved.status_pid = 11;
  moved.guarding = {{{{12, 13}, true}}, {14}, {{15, 16}}, 17, 18, 19};
  moved.warnings = {"one\ntwo", ""};
  moved.frozen_ms = 1.25;
  const Moved back = round_trip(moved);
  EXPECT_EQ(back.root_name, moved.root_name);
  EXPECT_EQ(back.old_terminal, moved.old_terminal);
  EXPECT_EQ(back.topology, moved.topology);
  ASSERT_EQ(back.processes.size(), 1U);
  EXPECT_EQ(back.processes[0].pid, 5);
  EXPECT_EQ(back.processes[0].start_time, 6U);
  EXPECT_EQ(back.job_pgid, moved.job_pgid);
  EXPECT_EQ(back.follower_pgids, moved.follower_pgids);
  EXPECT_EQ(back.redraw, moved.redraw);
  EXPECT_EQ(back.status_pid, moved.status_pid);
  ASSERT_EQ(back.guarding.shells.size(), 1U);
  EXPECT_EQ(back.guarding.shells[0].pid, 12);
  EXPECT_EQ(back.guarding.shells[0].start_time, 13U);
  EXPECT_TRUE(back.guarding.shells[0].lacks_terminal);
  EXPECT_EQ(back.guarding.job_pgids, moved.guarding.job_pgids);
  ASSERT_EQ(back.guarding.self_stoppers.size(), 1U);
  EXPECT_EQ(back.guarding.self_stoppers[0].pid, 15);
  EXPECT_EQ(back.guarding.self_stoppers[0].start_time, 16U);
  EXPECT_EQ(back.guarding.root, 17);
  EXPECT_EQ(back.guarding.job_pgid, 18);
  EXPECT_EQ(back.guarding.front_pgid, 19);
  EXPECT_EQ(back.warnings, moved.warnings);
  EXPECT_EQ(back.frozen_ms, moved.frozen_ms);
}

TEST(Report, ErrorsKeepTheirKindAndHint) {
  const Error error{ErrorKind::kTimeout, 110, "what\nand", "hint"};
  const Error back = round_trip(error);
  EXPECT_EQ(back.kind, error.kind);
  EXPECT_EQ(back.err, error.err);
  EXPECT_EQ(back.what, error.what);
  EXPECT_EQ(back.hint, error.hint);
}

TEST(Report, NamesThatAreNoTextDoNotBreakIt) {
  Moved moved;
  moved.root_name = "7 (\xff\xfe)";
  EXPECT_NE(round_trip(moved).root_name.find("7 ("), std::string::npos);
}

TEST(Report, AnythingElseIsAnError) {
  const std::string line = to_line(Held{{{1, 2}}, {}});
  for (const std::string_view bad :
       {"", "{}", "[]", "nonsense", "{\"moved\":{}}", "{\"held\":7}", "{\"error\":{\"kind\":1}}"}) {
    EXPECT_FALSE(parse_line(bad)) << bad;
  }
  EXPECT_FALSE(parse_line(std::string_view(line).substr(0, line.size() / 2)));
}

}  // namespace
}  // namespace grab::tracer
