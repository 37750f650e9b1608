// SPDX-License-Identifier: MIT
#include "relay/core.h"

#include <csignal>

#include <gmock/gmock.h>

#include "relay/core_hands.h"

namespace grab::relay {
namespace {

using ::testing::AllOf;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::StartsWith;

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

TEST(Core, OnlyASignalOrAnotherSizeNeedsTheJob) {
  Hands hands;
  (void)hands.work();
  hands.type("plain \x1b[A\r\x16");
  EXPECT_TRUE(hands.core.needs_pts_state());
  EXPECT_FALSE(hands.core.needs_job_state(hands.pts));
  for (const char* const signal : {"a\x03", "a\x1c", "a\x1a"}) {
    (void)hands.work();
    hands.type(signal);
    EXPECT_TRUE(hands.core.needs_job_state(hands.pts));
    PtsState raw = hands.pts;
    raw.isig = false;
    EXPECT_FALSE(hands.core.needs_job_state(raw));
  }
  (void)hands.work();
  (void)hands.core.add_viewer(up_to_date({30, 90, 0, 0}));
  EXPECT_TRUE(hands.core.needs_job_state(hands.pts));
}

TEST(Core, AnInnerJobInTheForegroundIsTheKernelsAlone) {
  Hands hands;
  hands.pts = cooked(kInner);
  hands.type("\x03\x1c\x1a");
  EXPECT_THAT(hands.work(), ElementsAre("type \x03", "type \x1c", "type \x1a"));
  hands.core.resized(hands.viewer, {30, 80, 0, 0});
  EXPECT_THAT(hands.work(), ElementsAre("rows 30"));
}

TEST(Core, WithoutASessionOnThePtsTheJobIsSignalledToo) {
  Hands hands(Job{kJob, false, {kFollowers}});
  hands.pts = cooked(0);
  hands.type("\x03");
  EXPECT_THAT(hands.work(), ElementsAre("type \x03", "INT 100", "INT 200"));
  hands.core.resized(hands.viewer, {30, 80, 0, 0});
  EXPECT_THAT(hands.work(), ElementsAre("rows 30", "WINCH 100", "WINCH 200"));
  hands.core.resized(hands.viewer, {30, 80, 0, 0});
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
  hands.core.viewer_resumed(hands.viewer, kSize, {});
  hands.sent.clear();
  EXPECT_THAT(hands.work(), ElementsAre("CONT 100", "CONT 200", "type y", "rows 23", "await redraw",
                                        "WINCH 200", StartsWith("show ")));
  EXPECT_THAT(hands.sent[hands.viewer], AllOf(HasSubstr("\x1b[?1049h"), HasSubstr("drawing")));
  hands.core.redraw_consumed();
  EXPECT_THAT(hands.work(), ElementsAre("rows 24", "WINCH 200"));
}

TEST(Core, SuspendWaitsForAViewerThatDoesNotDrain) {
  Hands hands;
  hands.takes[hands.viewer] = 3;
  hands.output("\x1b[1mtext");
  hands.type("\x1a");
  EXPECT_THAT(hands.work(),
              ElementsAre("show \x1b[1", "viewer full", "STOP 100", "STOP 200", "await slow"));
  hands.drains(hands.viewer);
  EXPECT_THAT(hands.work(), ElementsAre("show mtext", "show \x1b[m", "suspend"));
}

TEST(Core, SuspendKeyIsPassedOnWhereTheJobIgnoresItOrStopsNatively) {
  Hands ignoring;
  ignoring.pts.job_ignores_sigtstp = true;
  ignoring.type("\x1a");
  EXPECT_THAT(ignoring.work(), ElementsAre("type \x1a"));
}

TEST(Core, WhatAShellHasInFrontGetsTheSignalsInTheKernelsPlace) {
  Hands hands;
  hands.pts.front_pgid = kInner;
  hands.type("a\x03\x1c\x1a\x16\x03z");
  EXPECT_THAT(hands.work(), ElementsAre("type a", "INT front 300", "QUIT front 300",
                                        "TSTP front 300", "type \x16\x03z"));
  EXPECT_FALSE(hands.core.stopped());
  hands.core.resized(hands.viewer, {30, 100, 0, 0});
  EXPECT_THAT(hands.work(), AllOf(Contains("WINCH front 300"), Contains("rows 30")));
  hands.pts.front_pgid = 0;  // it is at its prompt
  hands.type("\x03");
  EXPECT_THAT(hands.work(), ElementsAre("type \x03", "INT 200"));
}

TEST(Core, WhatAShellHasInFrontStopsAlsoWhereTheJobIgnoresIt) {
  Hands hands;
  hands.pts.job_ignores_sigtstp = true;
  hands.pts.front_pgid = kInner;
  hands.type("\x1a");
  EXPECT_THAT(hands.work(), ElementsAre("TSTP front 300"));
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
  hands.takes[hands.viewer] = 0;
  hands.output(std::string(Core::kOutputBound, 'x'));
  EXPECT_FALSE(hands.core.wants_output());
  EXPECT_THAT(hands.work(), ElementsAre("viewer full", "await slow"));
  EXPECT_FALSE(hands.core.wants_output());
  hands.takes[hands.viewer] = 10;
  hands.core.viewer_writable(hands.viewer);
  EXPECT_THAT(hands.work(), ElementsAre("show xxxxxxxxxx", "viewer full"));
  EXPECT_TRUE(hands.core.wants_output());
}

TEST(Core, TypedBytesBeyondTheBoundAreNotRead) {
  Hands hands;
  hands.ptmx_takes = 0;
  hands.type(std::string(hands.core.input_space(hands.viewer).size(), 'x'));
  EXPECT_FALSE(hands.core.wants_input(hands.viewer));
  EXPECT_THAT(hands.work(), ElementsAre("ptmx full"));
  hands.core.discard_input();
  EXPECT_TRUE(hands.core.wants_input(hands.viewer));
}

TEST(Core, TheSlowestViewerIsShownEverything) {
  Hands hands;
  const ViewerId second = hands.core.add_viewer(up_to_date());
  hands.core.viewer_blocked(second);
  hands.output(std::string(Core::kOutputBound, 'x'));
  EXPECT_EQ(hands.shown(hands.viewer).size(), Core::kOutputBound);
  EXPECT_FALSE(hands.core.wants_output());
  hands.drains(second);
  EXPECT_EQ(hands.shown(second).size(), Core::kOutputBound);
  EXPECT_TRUE(hands.core.wants_output());
}

TEST(Core, WithoutViewersOutputIsTakenAndThrownAway) {
  Hands hands;
  hands.core.viewer_gone(hands.viewer);
  for (int i = 0; i < 10; ++i) {
    hands.output(std::string(Core::kOutputBound, 'x'));
    EXPECT_THAT(hands.work(), ElementsAre());
  }
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
  hands.takes[hands.viewer] = 2;
  hands.output("\x1b[?25l end");
  hands.core.output_ended();
  EXPECT_THAT(hands.work(), ElementsAre("show \x1b[", "viewer full", "await slow"));
  hands.drains(hands.viewer);
  EXPECT_THAT(hands.work(), ElementsAre("show ?25l end", "show \x1b[?25h", "end", "ended"));
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
  hands.core.resized(hands.viewer, {40, 80, 0, 0});
  EXPECT_THAT(hands.work(), ElementsAre("rows 40", "WINCH 200"));
  hands.core.redraw_consumed();
  EXPECT_THAT(hands.work(), ElementsAre());
}

TEST(Core, AWindowOfOneRowGrowsToBeRedrawn) {
  Hands hands;
  hands.core.resized(hands.viewer, {1, 80, 0, 0});
  EXPECT_THAT(hands.work(), ElementsAre("rows 1", "WINCH 200"));
  hands.core.redraw({});
  EXPECT_THAT(hands.work(), ElementsAre("rows 2", "await redraw", "WINCH 200"));
}

}  // namespace
}  // namespace grab::relay
