// SPDX-License-Identifier: MIT
#include "relay/core.h"

#include <csignal>
#include <cstring>

#include <gmock/gmock.h>

namespace grab::relay {
namespace {

using ::testing::ElementsAre;

constexpr pid_t kJob = 100, kFollowers = 200, kInner = 300;
constexpr WindowSize kSize{24, 80, 0, 0};

PtsState cooked(pid_t foreground = kJob) {
  PtsState pts;
  pts.isig = pts.quotes = true;
  pts.intr = 3;
  pts.quit = 28;
  pts.susp = 26;
  pts.lnext = 22;
  pts.foreground_pgid = foreground;
  return pts;
}

/// A core with hands that write down what they were told to do.
class Hands {
 public:
  explicit Hands(Job job = {kJob, true, {kFollowers}}) : core(std::move(job), kSize) {
    viewer = core.add_viewer();
  }

  void output(std::string_view text) {
    while (!text.empty()) {
      ASSERT_TRUE(core.wants_output());
      const auto space = core.output_space();
      const std::size_t n = std::min(space.size(), text.size());
      std::memcpy(space.data(), text.data(), n);
      core.output_arrived(n);
      text.remove_prefix(n);
    }
  }
  void type(std::string_view text) {
    ASSERT_TRUE(core.wants_input(viewer));
    const auto space = core.input_space(viewer);
    ASSERT_LE(text.size(), space.size());
    std::memcpy(space.data(), text.data(), text.size());
    core.typed(viewer, text.size());
  }
  /// Does everything there is to do; what was done, in order.
  std::vector<std::string> work() {
    std::vector<std::string> done;
    while (const auto action = core.next(pts))
      done.push_back(std::visit([&](const auto& what) { return perform(what); }, *action));
    return done;
  }

  Core core;
  ViewerId viewer = 0;
  PtsState pts = cooked();
  std::size_t viewer_takes = SIZE_MAX, ptmx_takes = SIZE_MAX;  // before they block

 private:
  std::string perform(const action::WriteViewer& write) {
    const std::size_t n = std::min(viewer_takes, write.bytes.size());
    std::string text = "show " + std::string(write.bytes.substr(0, n));
    viewer_takes -= viewer_takes == SIZE_MAX ? 0 : n;
    if (n == 0)
      core.viewer_blocked(viewer);
    else
      core.viewer_took(viewer, n);
    return n == 0 ? "viewer full" : text;
  }
  std::string perform(const action::WritePtmx& write) {
    const std::size_t n = std::min(ptmx_takes, write.bytes.size());
    std::string text = "type " + std::string(write.bytes.substr(0, n));
    ptmx_takes -= ptmx_takes == SIZE_MAX ? 0 : n;
    if (n == 0)
      core.ptmx_blocked();
    else
      core.ptmx_took(n);
    return n == 0 ? "ptmx full" : text;
  }
  static std::string perform(const action::SignalGroup& signal) {
    return std::string(sigabbrev_np(signal.signo)) + " " + std::to_string(signal.pgid);
  }
  static std::string perform(const action::SetWindowSize& size) {
    return "rows " + std::to_string(size.size.rows);
  }
  static std::string perform(const action::AwaitRedraw&) { return "await redraw"; }
  static std::string perform(const action::Suspend&) { return "suspend"; }
  static std::string perform(const action::Ended&) { return "ended"; }
};

TEST(Core, InterruptSignalsTheFollowersAfterTheBytesBeforeIt) {
  Hands hands;
  hands.type(
      "ab\x03"
      "cd");
  EXPECT_THAT(hands.work(), ElementsAre("type ab\x03", "INT 200", "type cd"));
  hands.type("\x1c");
  EXPECT_THAT(hands.work(), ElementsAre("type \x1c", "QUIT 200"));
}

TEST(Core, NoSignalBeforeThePtmxHasTakenItsByte) {
  Hands hands;
  hands.ptmx_takes = 2;
  hands.type("ab\x03");
  EXPECT_THAT(hands.work(), ElementsAre("type ab", "ptmx full"));
  hands.ptmx_takes = SIZE_MAX;
  EXPECT_THAT(hands.work(), ElementsAre());
  hands.core.ptmx_writable();
  EXPECT_THAT(hands.work(), ElementsAre("type \x03", "INT 200"));
}

TEST(Core, QuotedDisabledAndRawSignalCharactersArePlain) {
  Hands hands;
  hands.type("\x16\x03");
  EXPECT_THAT(hands.work(), ElementsAre("type \x16\x03"));
  hands.type("\x16\x16\x03");
  EXPECT_THAT(hands.work(), ElementsAre("type \x16\x16\x03", "INT 200"));
  hands.ptmx_takes = 1;
  hands.type("\x16\x03");
  EXPECT_THAT(hands.work(), ElementsAre("type \x16", "ptmx full"));
  hands.ptmx_takes = SIZE_MAX;
  hands.core.ptmx_writable();
  EXPECT_THAT(hands.work(), ElementsAre("type \x03")) << "quoted across two writes";

  hands.pts.isig = false;
  hands.type("\x03\x1a");
  EXPECT_THAT(hands.work(), ElementsAre("type \x03\x1a"));
  hands.pts = cooked();
  hands.pts.intr = 0;
  hands.type(std::string_view("\0\x03", 2));
  EXPECT_THAT(hands.work(), ElementsAre(std::string("type \0\x03", 7)));
  hands.pts = cooked();
  hands.pts.quotes = false;
  hands.type("\x16\x03");
  EXPECT_THAT(hands.work(), ElementsAre("type \x16\x03", "INT 200")) << "VLNEXT needs ICANON";
  hands.type("\x16");
  EXPECT_THAT(hands.work(), ElementsAre("type \x16"));
  hands.pts.quotes = true;
  hands.type("\x03");
  EXPECT_THAT(hands.work(), ElementsAre("type \x03", "INT 200")) << "it was none when it came";
}

TEST(Core, AnInnerJobInTheForegroundIsTheKernelsAlone) {
  Hands hands;
  hands.pts = cooked(kInner);
  hands.type("\x03\x1c\x1a");
  EXPECT_THAT(hands.work(), ElementsAre("type \x03", "type \x1c", "type \x1a"));
  hands.core.resized({30, 80, 0, 0});
  EXPECT_THAT(hands.work(), ElementsAre("rows 30"));
}

TEST(Core, WithoutASessionOnThePtsTheJobIsSignalledToo) {
  Hands hands(Job{kJob, false, {kFollowers}});
  hands.pts = cooked(0);
  hands.type("\x03");
  EXPECT_THAT(hands.work(), ElementsAre("type \x03", "INT 100", "INT 200"));
  hands.core.resized({30, 80, 0, 0});
  EXPECT_THAT(hands.work(), ElementsAre("rows 30", "WINCH 100", "WINCH 200"));
  hands.core.resized({30, 80, 0, 0});
  EXPECT_THAT(hands.work(), ElementsAre());
}

TEST(Core, SuspendStopsTheTreeGivesTheScreenBackAndGoesOn) {
  Hands hands;
  hands.output("\x1b[?1049hdrawing");
  hands.type("x\x1ay");
  EXPECT_THAT(hands.work(), ElementsAre("show \x1b[?1049hdrawing", "type x", "STOP 100", "STOP 200",
                                        "show \x1b[?1049l", "suspend"));
  EXPECT_FALSE(hands.core.wants_output());
  EXPECT_FALSE(hands.core.wants_input(hands.viewer));
  hands.core.continued({});
  EXPECT_THAT(hands.work(), ElementsAre("CONT 100", "CONT 200", "show \x1b[?1049h", "type y",
                                        "rows 23", "await redraw", "WINCH 200"));
  hands.core.redraw_consumed();
  EXPECT_THAT(hands.work(), ElementsAre("rows 24", "WINCH 200"));
}

TEST(Core, SuspendWaitsForAViewerThatDoesNotDrain) {
  Hands hands;
  hands.viewer_takes = 3;
  hands.output("\x1b[1mtext");
  hands.type("\x1a");
  EXPECT_THAT(hands.work(), ElementsAre("show \x1b[1", "viewer full", "STOP 100", "STOP 200"));
  hands.viewer_takes = SIZE_MAX;
  hands.core.viewer_writable(hands.viewer);
  EXPECT_THAT(hands.work(), ElementsAre("show mtext", "show \x1b[m", "suspend"));
}

TEST(Core, SuspendKeyIsPassedOnWhereTheJobIgnoresItOrStopsNatively) {
  Hands ignoring;
  ignoring.pts.job_ignores_sigtstp = true;
  ignoring.type("\x1a");
  EXPECT_THAT(ignoring.work(), ElementsAre("type \x1a"));
}

TEST(Core, AStoppedTreeGoesOnWhenItsLastViewerHasGone) {
  Hands hands;
  hands.type("\x1a");
  EXPECT_THAT(hands.work(), ElementsAre("STOP 100", "STOP 200", "suspend"));
  hands.core.viewer_gone(hands.viewer);
  EXPECT_THAT(hands.work(), ElementsAre("CONT 100", "CONT 200"));
  EXPECT_TRUE(hands.core.wants_output());
}

TEST(Core, OutputBeyondTheBoundIsNotRead) {
  Hands hands;
  hands.viewer_takes = 0;
  hands.output(std::string(Core::kOutputBound, 'x'));
  EXPECT_FALSE(hands.core.wants_output());
  EXPECT_THAT(hands.work(), ElementsAre("viewer full"));
  EXPECT_FALSE(hands.core.wants_output());
  hands.viewer_takes = 10;
  hands.core.viewer_writable(hands.viewer);
  EXPECT_THAT(hands.work(), ElementsAre("show xxxxxxxxxx", "viewer full"));
  EXPECT_TRUE(hands.core.wants_output());
}

TEST(Core, TypedBytesBeyondTheBoundAreNotRead) {
  Hands hands;
  hands.ptmx_takes = 0;
  hands.type(std::string(Core::kInputBound, 'x'));
  EXPECT_FALSE(hands.core.wants_input(hands.viewer));
  EXPECT_THAT(hands.work(), ElementsAre("ptmx full"));
  hands.core.discard_input();
  EXPECT_TRUE(hands.core.wants_input(hands.viewer));
}

TEST(Core, TheSlowestViewerIsShownEverything) {
  Hands hands;
  const ViewerId second = hands.core.add_viewer();
  hands.core.viewer_blocked(second);
  hands.output(std::string(Core::kOutputBound, 'x'));
  EXPECT_EQ(hands.work().size(), 1U);
  EXPECT_FALSE(hands.core.wants_output());
  hands.core.viewer_gone(second);
  EXPECT_TRUE(hands.core.wants_output());
}

TEST(Core, WithoutViewersOutputIsTakenAndThrownAway) {
  Hands hands;
  hands.core.viewer_gone(hands.viewer);
  for (int i = 0; i < 10; ++i)
    hands.output(std::string(Core::kOutputBound, 'x'));
  EXPECT_THAT(hands.work(), ElementsAre());
}

TEST(Core, NoticesComeBetweenSequencesOnALineOfTheirOwn) {
  Hands hands;
  hands.core.notice("first");
  hands.output("text \x1b[3");
  hands.core.notice("second");
  EXPECT_THAT(hands.work(), ElementsAre("show grab: first\r\n", "show text \x1b[3"));
  hands.output("1m");
  EXPECT_THAT(hands.work(), ElementsAre("show 1m", "show \r\ngrab: second\r\n"));
}

TEST(Core, EndsAfterTheLastByteWithTheScreenGivenBack) {
  Hands hands;
  hands.viewer_takes = 2;
  hands.output("\x1b[?25l end");
  hands.core.output_ended();
  EXPECT_THAT(hands.work(), ElementsAre("show \x1b[", "viewer full"));
  hands.viewer_takes = SIZE_MAX;
  hands.core.viewer_writable(hands.viewer);
  EXPECT_THAT(hands.work(), ElementsAre("show ?25l end", "show \x1b[?25h", "ended"));
  EXPECT_THAT(hands.work(), ElementsAre());
}

TEST(Core, RedrawReachesGroupsThatNothingElseSignals) {
  Hands hands;
  hands.core.redraw({kJob, kFollowers, kInner});
  EXPECT_THAT(hands.work(), ElementsAre("rows 23", "await redraw", "WINCH 200", "WINCH 300"));
  EXPECT_TRUE(hands.core.awaits_redraw());
  hands.core.redraw_consumed();
  EXPECT_THAT(hands.work(), ElementsAre("rows 24", "WINCH 200", "WINCH 300"));
  EXPECT_FALSE(hands.core.awaits_redraw());
}

TEST(Core, ARealChangeOfSizeEndsARedraw) {
  Hands hands;
  hands.core.redraw({});
  EXPECT_THAT(hands.work(), ElementsAre("rows 23", "await redraw", "WINCH 200"));
  hands.core.resized({40, 80, 0, 0});
  EXPECT_THAT(hands.work(), ElementsAre("rows 40", "WINCH 200"));
  hands.core.redraw_consumed();
  EXPECT_THAT(hands.work(), ElementsAre());
}

TEST(Core, AWindowOfOneRowGrowsToBeRedrawn) {
  Hands hands;
  hands.core.resized({1, 80, 0, 0});
  EXPECT_THAT(hands.work(), ElementsAre("rows 1", "WINCH 200"));
  hands.core.redraw({});
  EXPECT_THAT(hands.work(), ElementsAre("rows 2", "await redraw", "WINCH 200"));
}

}  // namespace
}  // namespace grab::relay
