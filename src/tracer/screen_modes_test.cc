// SPDX-License-Identifier: MIT
#include "tracer/screen_modes.h"

#include <gmock/gmock.h>

namespace grab::tracer {
namespace {

using testing::HasSubstr;
using testing::Not;

ScreenModes said_by(std::string typed) {
  return take_answers(typed);
}

TEST(ScreenModesTest, AreAskedForWithAQuestionAtTheEndThatEveryTerminalAnswers) {
  const std::string questions = mode_questions();
  EXPECT_THAT(questions, HasSubstr("\x1b[?1049$p"));
  EXPECT_THAT(questions, HasSubstr("\x1b[?2004$p"));
  EXPECT_TRUE(questions.ends_with("\x1b[c"));
}

TEST(ScreenModesTest, AnswersAreTakenOutOfWhatIsTypedMeanwhile) {
  std::string typed = "a\x1b[?1049;1$y\x1b[A\x1b[?2004;2$y\x1b[?66;0$yb\x1b[?5u\x1b[?62;22c\x1bOB";
  const ScreenModes said = take_answers(typed);
  EXPECT_EQ(typed, "a\x1b[Ab\x1bOB");
  EXPECT_EQ(said.modes, (std::map<unsigned, bool>{{1049, true}, {2004, false}}));
  EXPECT_EQ(said.keyboard_flags, 5U);
  EXPECT_TRUE(said.complete);
  EXPECT_TRUE(said.alternate_screen());
}

TEST(ScreenModesTest, AnUnfinishedAnswerIsLeftForTheNextLook) {
  std::string typed = "\x1b[?1049;1";
  EXPECT_FALSE(take_answers(typed).complete);
  EXPECT_EQ(typed, "\x1b[?1049;1");
}

TEST(ScreenModesTest, WhatNoTerminalTypesIsNoAnswer) {
  std::string typed = "\x1b[?1;2R\x1b[?1$y\x1b[?" + std::string(300, '9') + "c";
  const std::string before = typed;
  EXPECT_EQ(take_answers(typed), ScreenModes{});
  EXPECT_EQ(typed, before);
}

TEST(ScreenModesTest, TheAlternateScreenIsLeftWithItsCursorWhereTheTerminalSaysThatItIsOn) {
  const ScreenModes said = said_by("\x1b[?1047;1$y\x1b[?1049;0$y");
  EXPECT_THAT(undo_modes(said, true, TerminalKind::kXtermLike), HasSubstr("\x1b[?1049l"));
  EXPECT_THAT(redo_modes(said), HasSubstr("\x1b[?1049h"));
}

TEST(ScreenModesTest, TheCursorStaysWhereTheTerminalSaysThatItIsNot) {
  const ScreenModes said = said_by("\x1b[?1049;2$y");
  const std::string undo = undo_modes(said, true, TerminalKind::kXtermLike);
  EXPECT_THAT(undo, Not(HasSubstr("1049")));
  EXPECT_THAT(undo, Not(HasSubstr("\x1b[999;1H")));
  EXPECT_EQ(redo_modes(said), "");
}

TEST(ScreenModesTest, AnUnknownScreenIsLeftInAWayThatHarmsNoMainScreen) {
  const std::string undo = undo_modes({}, true, TerminalKind::kXtermLike);
  EXPECT_THAT(undo, HasSubstr("\x1b[?1047l"));
  EXPECT_THAT(undo, HasSubstr("\x1b[999;1H\r\n"));
  EXPECT_THAT(undo_modes({}, false, TerminalKind::kXtermLike), Not(HasSubstr("\x1b[999;1H")))
      << "a program that edits one line has its prompt there";
}

TEST(ScreenModesTest, OnlyWhatIsKnownToBeSetIsSetOnTheOtherTerminal) {
  const ScreenModes said = said_by(
      "\x1b[?1;1$y\x1b[?66;1$y\x1b[?7;1$y\x1b[?25;2$y\x1b[?1000;1$y\x1b[?1006;3$y\x1b[?2004;4$y");
  EXPECT_EQ(redo_modes(said), "\x1b[?1h\x1b=\x1b[?1000h\x1b[?1006h\x1b[?25l");
  EXPECT_EQ(redo_modes({}), "");
}

TEST(ScreenModesTest, OnlyTerminalsThatPassOverQuestionsAreAsked) {
  EXPECT_EQ(terminal_kind("xterm-256color"), TerminalKind::kXtermLike);
  EXPECT_EQ(terminal_kind("tmux-256color"), TerminalKind::kXtermLike);
  EXPECT_EQ(terminal_kind("linux"), TerminalKind::kPlain) << "it shows the p of DECRQM";
  EXPECT_EQ(terminal_kind("dumb"), TerminalKind::kUnknown);
  EXPECT_EQ(terminal_kind(""), TerminalKind::kUnknown);
}

}  // namespace
}  // namespace grab::tracer
