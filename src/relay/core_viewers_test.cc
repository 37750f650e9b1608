// SPDX-License-Identifier: MIT
#include <csignal>

#include <gmock/gmock.h>

#include "relay/core.h"
#include "relay/core_hands.h"

namespace grab::relay {
namespace {

using ::testing::AllOf;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::StartsWith;
using ::testing::UnorderedElementsAre;

// ---------------------------------------------------------------- viewers that come and go

TEST(Core, AttachingPaintsTheScreenAndWhatFollows) {
  Hands hands;
  hands.output("\x1b[?1049hpicture\x1b[3");
  (void)hands.work();
  const ViewerId second = hands.core.add_viewer({kSize});
  hands.sent.clear();
  EXPECT_THAT(hands.work(), ElementsAre(StartsWith("2 show "))) << "no redraw: same size";
  EXPECT_THAT(hands.sent[second], AllOf(HasSubstr("\x1b[?1049h"), HasSubstr("picture")));
  hands.output("1mred");
  EXPECT_THAT(hands.work(), ElementsAre("show 1mred", "2 show \x1b[31mred"));
}

TEST(Core, TheSizeIsThatOfTheViewerThatTypedLast) {
  Hands hands;
  const ViewerId second = hands.core.add_viewer(up_to_date({40, 80, 0, 0}));
  EXPECT_THAT(hands.work(), Contains("rows 40"));
  hands.type("x");
  EXPECT_THAT(hands.work(),
              ElementsAre("type x", "rows 24", "WINCH 200", StartsWith("show \x1b[H")))
      << "what was made for 40 rows was not for it";
  const ViewerId third = hands.core.add_viewer(read_only(up_to_date({50, 90, 0, 0})));
  hands.type("y", third);
  EXPECT_THAT(hands.work(), IsEmpty()) << "who only reads changes nothing";
  hands.core.resized(second, {41, 80, 0, 0});
  EXPECT_THAT(hands.work(), IsEmpty());
  hands.core.viewer_gone(hands.viewer);
  EXPECT_THAT(hands.work(), ElementsAre("rows 41", "WINCH 200"));
  hands.core.viewer_gone(second);
  EXPECT_THAT(hands.work(), IsEmpty());
  EXPECT_EQ(hands.core.size().rows, 41) << "with nobody left it stays";
}

TEST(Core, ASmallerWindowIsShownTheScreenWhenTheOutputRests) {
  Hands hands;
  const ViewerId small = hands.core.add_viewer(read_only(up_to_date({5, 10, 0, 0})));
  (void)hands.work();
  hands.output("0123456789abcdef\r\n");
  EXPECT_EQ(hands.shown(small), "");
  (void)hands.idle();
  EXPECT_THAT(hands.sent[small], AllOf(HasSubstr("0123456789"), Not(HasSubstr("abc"))));
  hands.sent.clear();
  (void)hands.idle();
  EXPECT_EQ(hands.sent[small], "") << "nothing has changed";
  hands.takes[small] = 3;
  for (int i = 0; i < 100; ++i) {
    hands.output("more\r\n");
    (void)hands.idle();
  }
  EXPECT_EQ(hands.sent[small].size(), 3U) << "never faster than it drains";
  hands.core.resized(small, kSize);
  hands.drains(small);
  (void)hands.work();
  hands.output("raw");
  EXPECT_EQ(hands.shown(small), "raw") << "large enough now";
}

TEST(Core, ASlowViewerIsCutOffAndBroughtUpToDate) {
  Hands hands;
  const ViewerId slow = hands.core.add_viewer(up_to_date());
  hands.takes[slow] = 7;
  hands.output("\x1b[1mbold \x1b[3");
  (void)hands.work();
  hands.output("1m" + std::string(Core::kOutputBound - 14, 'x'));
  (void)hands.work();
  hands.output("yyyyyyy");  // room for what it has taken
  EXPECT_THAT(hands.work(), Contains("await slow"));
  EXPECT_FALSE(hands.core.wants_output());
  for (int i = 1; i < Core::kSlowRounds; ++i) {
    hands.core.slow_round();
    EXPECT_THAT(hands.work(), ElementsAre("await slow"));
    EXPECT_FALSE(hands.core.wants_output());
  }
  hands.core.slow_round();
  EXPECT_THAT(hands.work(), IsEmpty());
  EXPECT_TRUE(hands.core.wants_output()) << "it is not waited for";
  for (int i = 0; i < 5; ++i) {
    hands.output(std::string(Core::kOutputBound / 2, 'y'));
    EXPECT_THAT(hands.work(), Not(Contains("await slow")));
  }
  hands.output("\r\nlast line");
  (void)hands.work();
  hands.drains(slow);
  hands.sent.clear();
  EXPECT_THAT(hands.work(), ElementsAre("2 show \x1b[m", HasSubstr("last line")));
  hands.output(" and on");
  EXPECT_EQ(hands.shown(slow), " and on");
}

/// Everything is full, behind a viewer that has taken nothing. What the tree has written.
std::string fill(Hands& hands) {
  const std::string written(Core::kOutputBound, 'a');
  hands.takes[hands.viewer] = 0;
  hands.output(written);
  EXPECT_THAT(hands.work(), ElementsAre("viewer full", "await slow"));
  return written;
}

TEST(Core, WhoDrainsSteadilyIsWaitedForAndLosesNothing) {
  constexpr std::size_t kPart = Core::kOutputBound / Core::kSlowRounds;
  Hands hands;
  std::string written = fill(hands);
  for (int i = 0; i < 10 * Core::kSlowRounds; ++i) {
    hands.drains(hands.viewer, kPart);
    (void)hands.work();
    const std::string text(kPart, static_cast<char>('b' + i % 25));
    hands.output(text);
    written += text;
    (void)hands.work();
    EXPECT_FALSE(hands.core.wants_output());
    hands.core.slow_round();
    EXPECT_THAT(hands.work(), ElementsAre("await slow"));
  }
  hands.drains(hands.viewer);
  EXPECT_THAT(hands.work(), Contains(HasSubstr("show ")));
  EXPECT_TRUE(hands.sent[hands.viewer] == written);
}

TEST(Core, WhoHasRoomIsNotSlowThoughItWasGivenNothing) {
  Hands hands;
  std::string written = fill(hands);
  for (int i = 0; i < 10 * Core::kSlowRounds; ++i) {
    // The relay is so slow that it writes little, and all of it is drained in every round.
    hands.drains(hands.viewer, 100);
    hands.core.slow_round();
    (void)hands.work();
    const std::string text(100, static_cast<char>('b' + i % 25));
    hands.output(text);
    written += text;
    EXPECT_THAT(hands.work(), ElementsAre("await slow"));
    EXPECT_FALSE(hands.core.wants_output());
  }
  hands.drains(hands.viewer);
  (void)hands.work();
  EXPECT_TRUE(hands.sent[hands.viewer] == written);
}

TEST(Core, RoundsInWhichItWasSlowCountOnlyInARow) {
  Hands hands;
  (void)fill(hands);
  for (int i = 0; i < 3 * Core::kSlowRounds; ++i) {
    if (i % Core::kSlowRounds == 0)
      hands.drains(hands.viewer, 100);  // has room at the end of the round
    hands.core.slow_round();
    (void)hands.work();
    if (i % Core::kSlowRounds == 0)
      hands.output(std::string(100, 'b'));
    (void)hands.work();
    EXPECT_FALSE(hands.core.wants_output());
  }
}

TEST(Core, ATreeThatIsStoppedWaitsForNobody) {
  Hands hands;
  const ViewerId second = hands.core.add_viewer(up_to_date());
  hands.takes[second] = 0;
  hands.output(std::string(Core::kOutputBound, 'a'));
  (void)hands.work();
  hands.core.slow_round();
  (void)hands.work();
  hands.type("\x1a");
  (void)hands.work();
  EXPECT_TRUE(hands.core.stopped());
  EXPECT_THAT(hands.slow_rounds(), Not(Contains("await slow")));
  hands.core.viewer_resumed(hands.viewer, kSize, {});
  EXPECT_THAT(hands.work(), Contains("await slow"));
  for (int i = 1; i < Core::kSlowRounds; ++i) {
    hands.core.slow_round();
    (void)hands.work();
    EXPECT_FALSE(hands.core.wants_output()) << "the rounds begin anew";
  }
}

TEST(Core, WhoWasCutOffIsWaitedForAgainWhenItKeepsUp) {
  Hands hands;
  const ViewerId slow = hands.core.add_viewer(up_to_date());
  const auto fill = [&] {
    hands.takes[slow] = 0;
    hands.core.viewer_writable(slow);
    hands.output(std::string(Core::kOutputBound, 'x'));
    return hands.work();
  };
  EXPECT_THAT(fill(), Contains("await slow"));
  (void)hands.slow_rounds();
  hands.drains(slow);
  (void)hands.work();
  EXPECT_THAT(fill(), Not(Contains("await slow"))) << "cut off at once";
  hands.drains(slow);
  (void)hands.idle();
  (void)hands.idle();
  EXPECT_THAT(fill(), Contains("await slow"));
}

TEST(Core, ATerminalThatGoesDarkDoesNotHoldUpTheEnd) {
  Hands hands;
  const ViewerId second = hands.core.add_viewer(up_to_date());
  hands.takes[second] = 1;
  hands.output("\x1b[?25lbye");
  hands.core.output_ended();
  EXPECT_THAT(hands.work(), AllOf(Contains("end"), Contains("await slow"), Not(Contains("ended"))));
  std::vector<std::string> done;
  for (int i = 0; i < 20 * Core::kSlowRounds && done.empty(); ++i) {
    hands.core.slow_round();
    done = hands.work();
    if (done == std::vector<std::string>{"await slow"})
      done.clear();
  }
  EXPECT_THAT(done, ElementsAre("2 end", "ended"));
  EXPECT_EQ(hands.core.parting(second), "\x18") << "all that it was shown is ESC";
}

TEST(Core, ASequenceThatAQueryBreaksOffIsEndedForWhoGoesWithoutTheQuery) {
  Hands hands;
  (void)hands.core.add_viewer(up_to_date());  // it is asked
  hands.takes[hands.viewer] = 2;
  hands.output("\x1b[\x1b[ctext");
  (void)hands.work();
  EXPECT_EQ(hands.sent[hands.viewer], "\x1b[");
  EXPECT_EQ(hands.core.parting(hands.viewer), "\x18");
}

TEST(Core, OnlyTheViewerThatTypesIsAskedWhatTheTreeAsks) {
  Hands hands;
  const ViewerId second = hands.core.add_viewer(up_to_date());
  hands.output("one \x1b[c two \x1b[");
  (void)hands.work();
  hands.output("6n three");
  (void)hands.work();
  EXPECT_EQ(hands.sent[hands.viewer], "one  two  three");
  EXPECT_EQ(hands.sent[second], "one \x1b[c two \x1b[6n three");
  hands.type("x");
  hands.sent.clear();
  hands.output("\x1b[c");
  EXPECT_THAT(hands.work(), ElementsAre("show \x1b[c", "type x"));
}

TEST(Core, TheScreenAnswersWhileNobodyElseCan) {
  Hands hands;
  hands.core.viewer_gone(hands.viewer);
  hands.output("\x1b[5;7H\x1b[6n");
  EXPECT_THAT(hands.idle(), ElementsAre("type \x1b[5;7R"));
  const ViewerId reader = hands.core.add_viewer(read_only());
  hands.output("\x1b[6n");
  EXPECT_THAT(hands.idle(), ElementsAre("type \x1b[5;7R"));
  EXPECT_EQ(hands.sent[reader], "");
  const ViewerId slow = hands.core.add_viewer(up_to_date());
  hands.takes[slow] = 0;
  hands.output("\x1b[6n");
  EXPECT_THAT(hands.idle(), ElementsAre("3 viewer full")) << "its terminal is asked";
  hands.core.viewer_gone(slow);
  EXPECT_THAT(hands.work(), ElementsAre("type \x1b[5;7R")) << "and went before it was";
}

// ---------------------------------------------------------------- leaving

TEST(Core, TheDetachKeyDetachesAfterAWhileOrBeforeAnotherKey) {
  Hands hands({kJob, true, {kFollowers}, "vim"}, with_detach_key());
  hands.output("\x1b[?2004htext");
  hands.type("make\n\x1c");
  EXPECT_THAT(hands.work(), ElementsAre("await detach", "show \x1b[?2004htext", "type make\n"));
  hands.core.detach_deadline(hands.viewer);
  EXPECT_THAT(hands.work(), ElementsAre("show \x1b[?2004l", "detach"));
  hands.core.viewer_gone(hands.viewer);

  ViewerOptions options = read_only(with_detach_key());
  const ViewerId second = hands.core.add_viewer(options);
  hands.type("\x1cq", second);
  EXPECT_THAT(hands.work(), ElementsAre("2 await detach", "2 show \x1b[?2004l", "2 detach"));
  EXPECT_EQ(hands.core.typed_behind(second), "q");
}

TEST(Core, TheDetachKeyTwiceIsOneForTheTree) {
  Hands hands({kJob, true, {kFollowers}, "vim"}, with_detach_key());
  hands.type("\x1c");
  EXPECT_THAT(hands.work(), ElementsAre("await detach"));
  hands.type("\x1c");
  EXPECT_THAT(hands.work(), ElementsAre("type \x1c", "QUIT 200"));
  hands.core.detach_deadline(hands.viewer);
  EXPECT_THAT(hands.work(), IsEmpty());
}

TEST(Core, DetachingCutsNoCharacterAndDoesNotWaitForTheRest) {
  Hands hands;
  hands.takes[hands.viewer] = 6;
  hands.output("\x1b[1m\xe2\x82\xac and much more");
  (void)hands.work();
  hands.core.detach(hands.viewer, DetachReason::kAsked);
  hands.drains(hands.viewer);
  EXPECT_THAT(hands.work(), ElementsAre("show \xac\x1b[m", "detach"));
}

TEST(Core, APausedViewerHoldsNothingUpAndIsPaintedWhenItIsBack) {
  Hands hands;
  hands.output("\x1b[?1h");
  (void)hands.work();
  hands.core.pause(hands.viewer);
  EXPECT_THAT(hands.work(), ElementsAre("show \x1b[?1l", "paused"));
  EXPECT_FALSE(hands.core.wants_input(hands.viewer));
  for (int i = 0; i < 4; ++i) {
    hands.output(std::string(Core::kOutputBound / 2, 'x'));
    EXPECT_THAT(hands.idle(), IsEmpty());
  }
  hands.output("\r\nnow");
  hands.core.viewer_resumed(hands.viewer, kSize, {});
  EXPECT_THAT(hands.shown(hands.viewer), AllOf(HasSubstr("\x1b[?1h"), HasSubstr("now")));
}

TEST(Core, AViewerThatIsAwayCanBeSentAway) {
  Hands hands;
  hands.core.pause(hands.viewer);
  EXPECT_THAT(hands.work(), ElementsAre("paused"));
  hands.core.detach(hands.viewer, DetachReason::kOtherViewer);
  hands.core.detach(hands.viewer, DetachReason::kAsked);
  EXPECT_THAT(hands.work(), ElementsAre("detach"));
  hands.core.output_ended();
  EXPECT_THAT(hands.work(), ElementsAre("ended"));
}

TEST(Core, EveryViewerIsToldOfTheEnd) {
  Hands hands;
  const ViewerId second = hands.core.add_viewer(up_to_date());
  const ViewerId away = hands.core.add_viewer(up_to_date());
  hands.core.pause(away);
  (void)hands.work();
  hands.output("bye");
  hands.core.output_ended();
  EXPECT_THAT(hands.work(),
              UnorderedElementsAre("3 end", "show bye", "2 show bye", "end", "2 end", "ended"));
  hands.core.viewer_gone(second);
  const ViewerId late = hands.core.add_viewer({kSize});
  EXPECT_THAT(hands.work(), Contains("4 end"));
  EXPECT_THAT(hands.sent[late], HasSubstr("bye")) << "who comes late sees the last screen";
}

// ---------------------------------------------------------------- stopping, with others

TEST(Core, TheOthersAreToldOfASuspendAndAKeyGoesOn) {
  Hands hands;
  const ViewerId second = hands.core.add_viewer(up_to_date());
  hands.output("text\x1b[3");
  (void)hands.work();
  hands.sent.clear();
  hands.type("\x1a");
  EXPECT_THAT(hands.work(), Contains("suspend"));
  EXPECT_THAT(hands.sent[second], StartsWith("\x18\r\ngrab: vim was stopped by ^Z"));
  EXPECT_THAT(hands.sent[second], EndsWith("\r\n\x1b[3"));
  EXPECT_TRUE(hands.core.stopped());
  hands.type("xy", second);
  EXPECT_THAT(hands.work(), ElementsAre("CONT 100", "CONT 200", "type y")) << "x is dropped";
  hands.output("1mred");
  hands.sent.clear();
  EXPECT_THAT(hands.work(), ElementsAre("2 show 1mred"));
  hands.core.viewer_resumed(hands.viewer, kSize, {});
  EXPECT_THAT(hands.shown(hands.viewer), AllOf(HasSubstr("text"), HasSubstr("red")));
}

TEST(Core, ALineOfOursIsNotTheRestOfASequenceThatTheTreeHasBrokenOff) {
  Hands hands;
  const ViewerId second = hands.core.add_viewer(up_to_date());
  hands.output("text\x1b[\x1b[");
  (void)hands.work();
  ASSERT_EQ(hands.sent[hands.viewer], "text\x1b[") << "the rest may become a query";
  hands.sent.clear();
  hands.type("\x1a", second);
  (void)hands.work();
  EXPECT_THAT(hands.sent[hands.viewer], StartsWith("\x18\r\ngrab: vim was stopped by ^Z"));
  EXPECT_THAT(hands.sent[hands.viewer], EndsWith("\r\n\x1b["));
}

TEST(Core, ATreeThatNobodyCanContinueIsNotStopped) {
  Hands hands;
  const ViewerId second = hands.core.add_viewer(read_only());
  hands.type("\x1a");
  EXPECT_THAT(hands.work(), Contains("suspend"));
  hands.core.viewer_gone(hands.viewer);
  EXPECT_THAT(hands.work(), ElementsAre("CONT 100", "CONT 200")) << "who only reads cannot";
  hands.core.viewer_gone(second);
  EXPECT_EQ(hands.core.type("a\x1a"
                            "b"),
            3U);
  EXPECT_THAT(hands.work(), ElementsAre("type a", "type b"));
}

TEST(Core, AttachingContinuesAStoppedTree) {
  Hands hands;
  hands.type("\x1a");
  (void)hands.work();
  (void)hands.core.add_viewer({kSize});
  EXPECT_THAT(hands.work(), AllOf(Contains("CONT 100"), Contains("CONT 200")));
  EXPECT_FALSE(hands.core.stopped());
}

TEST(Core, ASignalForTheTreeReachesAllOfItAndKeepsTheStateTrue) {
  Hands hands;
  hands.core.signal_tree(SIGSTOP);
  EXPECT_TRUE(hands.core.stopped());
  hands.type("x");
  EXPECT_THAT(hands.work(), ElementsAre("STOP 100", "STOP 200", "type x")) << "a key does not help";
  hands.core.signal_tree(SIGCONT);
  EXPECT_FALSE(hands.core.stopped());
  hands.core.signal_tree(SIGUSR1);
  EXPECT_THAT(hands.work(), ElementsAre("CONT 100", "CONT 200", "USR1 100", "USR1 200"));
}

TEST(Core, WhatIsSentIsTypedWithinBounds) {
  Hands hands;
  EXPECT_EQ(hands.core.type("ls\n\x03"), 4U);
  EXPECT_THAT(hands.work(), ElementsAre("type ls\n\x03", "INT 200"));
  hands.ptmx_takes = 0;
  const std::string much(2 * Core::kInputBound, 'x');
  EXPECT_EQ(hands.core.type(much), Core::kInputBound);
  EXPECT_EQ(hands.core.type(much), 0U);
}

TEST(Core, AFloodOfOneViewersInputLeavesOthersTheirTurn) {
  Hands hands;
  const ViewerId second = hands.core.add_viewer(up_to_date());
  hands.ptmx_takes = 2;
  hands.type("aaaa");
  EXPECT_THAT(hands.work(), ElementsAre("type aa", "ptmx full"));
  hands.type("AAAA");
  hands.type("bb", second);
  hands.ptmx_takes = SIZE_MAX;
  hands.core.ptmx_writable();
  EXPECT_THAT(hands.work(), ElementsAre("type aa", "type bb", "type AAAA"));
}

TEST(Core, ThePeekedScreenIsThatOfAllOutput) {
  Hands hands;
  hands.output("first\r\n\x1b[31msecond");
  EXPECT_EQ(hands.core.screen_text(), "first\nsecond\n");
}

}  // namespace
}  // namespace grab::relay
