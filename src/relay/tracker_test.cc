// SPDX-License-Identifier: MIT
#include "relay/tracker.h"

#include <gtest/gtest.h>

namespace grab::relay {
namespace {

ScreenTracker after(std::string_view bytes) {
  ScreenTracker tracker;
  tracker.follow(bytes);
  return tracker;
}

TEST(ScreenTracker, PlainTextAndColoursThatWereResetNeedNothing) {
  const ScreenTracker tracker = after("make: \x1b[31;1merror\x1b[0m\r\n\x1b[2K\x1b[5;7H");
  EXPECT_EQ(tracker.undo(), "");
  EXPECT_EQ(tracker.redo(), "");
}

TEST(ScreenTracker, LeavesAndEntersTheAlternateScreenThatTheProgramChose) {
  for (const std::string mode : {"47", "1047", "1049"}) {
    ScreenTracker tracker = after("\x1b[?" + mode + "h");
    EXPECT_TRUE(tracker.alternate_screen());
    EXPECT_EQ(tracker.undo(), "\x1b[?" + mode + "l");
    EXPECT_EQ(tracker.redo(), "\x1b[?" + mode + "h");
    tracker.follow("\x1b[?" + mode + "l");
    EXPECT_FALSE(tracker.alternate_screen());
    EXPECT_EQ(tracker.undo(), "");
  }
}

TEST(ScreenTracker, UndoesEachModeBeforeItLeavesTheAlternateScreen) {
  const ScreenTracker tracker =
      after("\x1b[?1049h\x1b[?1h\x1b=\x1b[?25l\x1b[?2004h\x1b[?1002;1006h");
  EXPECT_EQ(tracker.undo(), "\x1b[?1l\x1b[?25h\x1b[?1002l\x1b[?1006l\x1b[?2004l\x1b>\x1b[?1049l");
  EXPECT_EQ(tracker.redo(), "\x1b[?1049h\x1b[?1h\x1b[?25l\x1b[?1002h\x1b[?1006h\x1b[?2004h\x1b=");
}

TEST(ScreenTracker, ModesSwitchedBackNeedNothing) {
  EXPECT_EQ(after("\x1b[?1;25;1000;1004;2004h\x1b[?1;1000;1004;2004l\x1b=\x1b>").undo(), "");
}

TEST(ScreenTracker, ResetsAttributesMarginsAndModifiedKeys) {
  EXPECT_EQ(after("\x1b[1;32mgreen").undo(), "\x1b[m");
  EXPECT_EQ(after("\x1b[3;20r").undo(),
            "\x1b"
            "7\x1b[r\x1b"
            "8");
  EXPECT_EQ(after("\x1b[3;20r\x1b[r").undo(), "");
  EXPECT_EQ(after("\x1b[>4;2m").undo(), "\x1b[>4m");
  EXPECT_EQ(after("\x1b[>4;2m").redo(), "\x1b[>4;2m");
  EXPECT_EQ(after("\x1b[>4;2m\x1b[>4;m").undo(), "");
}

TEST(ScreenTracker, ResetsOfTheTerminalCount) {
  EXPECT_EQ(after("\x1b[?1049h\x1b[?1h\x1b=\x1b"
                  "c")
                .undo(),
            "");
  EXPECT_EQ(after("\x1b[?1h\x1b=\x1b[?25l\x1b[1m\x1b[!p").undo(), "");
}

TEST(ScreenTracker, FindsSequencesCutAnywhere) {
  const std::string_view all =
      "text\x1b]0;a [?1049h "
      "title\x07\x1bPq\x1b[?9h\x1b\\\x1b(B\x1b[?1049h\x1b[?25l\x1b[1mx\x1b[?2004hy";
  const std::string whole = after(all).undo();
  EXPECT_NE(whole, "");
  for (std::size_t cut = 0; cut <= all.size(); ++cut) {
    ScreenTracker tracker;
    tracker.follow(all.substr(0, cut));
    tracker.follow(all.substr(cut));
    EXPECT_EQ(tracker.undo(), whole) << "cut at " << cut;
  }
}

TEST(ScreenTracker, TextInsideStringsIsNoSequence) {
  EXPECT_EQ(after("\x1b]0;[?1049h\x1b\\").undo(), "");
  EXPECT_EQ(after("\x1b]0;[?1049h\x07").undo(), "");
  EXPECT_EQ(after("\x1bP1;2q[?1049h\x07[?1h\x1b\\").undo(), "");
  EXPECT_EQ(after("\x1b[?1049$p").undo(), "") << "a question about the mode";
  EXPECT_EQ(after("\x1b[1049h").undo(), "") << "not a private mode";
}

TEST(ScreenTracker, ControlCharactersWithinASequenceDoNotEndIt) {
  EXPECT_EQ(after("\x1b[?10\r\n49h").undo(), "\x1b[?1049l");
  EXPECT_EQ(after("\x1b[?10\x18"
                  "49h")
                .undo(),
            "");
  EXPECT_EQ(after("\x1b[?10\x1b[?1049h").undo(), "\x1b[?1049l");
}

TEST(ScreenTracker, UndoEndsASequenceThatIsUnfinished) {
  EXPECT_FALSE(after("\x1b[?10").between_sequences());
  EXPECT_EQ(after("\x1b[?10").undo(), "\x18");
  EXPECT_EQ(after("\x1b]0;title").undo(), "\x1b\\");
  EXPECT_TRUE(after("\x1b[?10h").between_sequences());
}

TEST(ScreenTracker, SurvivesSequencesWithoutMeasure) {
  EXPECT_EQ(after("\x1b[?" + std::string(10'000, '9') + "h").undo(), "");
  std::string many = "\x1b[?";
  for (int i = 0; i < 1'000; ++i)
    many += "7;";
  EXPECT_EQ(after(many + "2004h").undo(), "");
  EXPECT_TRUE(after(many + "2004h").between_sequences());
}

TEST(ScreenTracker, KnowsWhetherALineHasBegun) {
  ScreenTracker tracker;
  EXPECT_TRUE(tracker.at_line_start());
  tracker.follow("abc");
  EXPECT_FALSE(tracker.at_line_start());
  tracker.follow("\r\n");
  EXPECT_TRUE(tracker.at_line_start());
}

TEST(ScreenTracker, UndoesAndSetsAgainWhatChangesTextAndKeys) {
  const ScreenTracker tracker = after("\x1b[4h\x1b[20h\x1b)0\x0e\x1b[5 q\x1b[>1u\x1b[=3u\x1b[?12h");
  EXPECT_EQ(tracker.undo(), "\x1b[4l\x1b[20l\x1b)B\x0f\x1b[?12l\x1b[0 q\x1b[<1u");
  EXPECT_EQ(tracker.redo(), "\x1b[4h\x1b[20h\x1b)0\x0e\x1b[?12h\x1b[5 q\x1b[>3u");
  EXPECT_EQ(after("\x1b[4h\x1b[4l\x1b(0\x1b(B\x0e\x0f\x1b[3 q\x1b[ q\x1b[>1u\x1b[<u").undo(), "");
}

TEST(ScreenTracker, AShiftForOneCharacterWaitsForIt) {
  EXPECT_EQ(after("\x1b*0\x1bN").redo(), "\x1b*0\x1bN");
  EXPECT_EQ(after("\x1bO\r\n\x1b[1;31m\x1b[m\x1b]0;title\x07").redo(), "\x1bO");
  EXPECT_EQ(after("\x1bN").undo(), " \b");
  for (const char* gone : {"\x1bNx", "\x1bO ", "\x1bN\x1b[!p",
                           "\x1bN\x1b"
                           "c"})
    EXPECT_EQ(after(gone).redo() + after(gone).undo(), "") << gone;
}

TEST(ScreenTracker, EachScreenHasItsKeyboardFlags) {
  ScreenTracker tracker = after("\x1b[=1u\x1b[?1049h\x1b[>5u");
  EXPECT_EQ(tracker.undo(), "\x1b[<1u\x1b[?1049l\x1b[=0u");
  EXPECT_EQ(tracker.redo(), "\x1b[=1u\x1b[?1049h\x1b[>5u");
}

TEST(ScreenTracker, ColoursThatWereOnWhenTheAlternateScreenWasEnteredAreUndone) {
  EXPECT_EQ(after("\x1b[31m\x1b[?1049h\x1b[m").undo(), "\x1b[?1049l\x1b[m");
}

TEST(ScreenTracker, ClosesLinksAndPutsTheColoursOfTheTerminalBack) {
  EXPECT_EQ(after("\x1b]8;;http://a\x1b\\text").undo(), "\x1b]8;;\x1b\\");
  EXPECT_EQ(after("\x1b]8;;http://a\x1b\\text\x1b]8;;\x1b\\").undo(), "");
  EXPECT_EQ(after("\x1b]11;#000000\x07").undo(), "\x1b]111\x07");
  EXPECT_EQ(after("\x1b]11;#000000\x07").redo(), "\x1b]11;#000000\x07");
  EXPECT_EQ(after("\x1b]11;#000000\x07\x1b]111\x07").undo(), "");
}

TEST(ScreenTracker, RemembersTheTitleAndLeavesIt) {
  const ScreenTracker tracker = after("\x1b]0;one\x07\x1b]2;two\x1b\\\x1b]1;icon\x07");
  EXPECT_EQ(tracker.title(), "two");
  EXPECT_EQ(tracker.undo(), "");
}

TEST(ScreenTracker, KnowsWhatIsUnfinished) {
  EXPECT_EQ(after("text").unfinished(), "");
  EXPECT_EQ(after("text\xe4\xb8").unfinished(), "\xe4\xb8");
  EXPECT_EQ(after("\xe4\xb8\xad").unfinished(), "");
  EXPECT_EQ(after("text\x1b[3;").unfinished(), "\x1b[3;");
  EXPECT_EQ(after("text\x1b[3;").unfinished_begin(), 4U);
  EXPECT_EQ(after("text\x1b[3;").followed(), 8U);
  EXPECT_EQ(after("\x1b]0;ti\x1b").unfinished(), "\x1b]0;ti\x1b");
  ScreenTracker tracker;
  for (const char byte : std::string("a\xf0\x9f\x98"))
    tracker.follow({&byte, 1});
  EXPECT_EQ(tracker.unfinished(), "\xf0\x9f\x98");
  EXPECT_EQ(tracker.unfinished_begin(), 1U);
}

TEST(ScreenTracker, OfAStringTooLongToKeepTheTerminalPassesOverTheRest) {
  EXPECT_EQ(after("\x1b]0;" + std::string(5'000, 'x')).unfinished(), "\x1b]9999;");
  EXPECT_EQ(after("\x1bPq" + std::string(5'000, 'x')).unfinished(), "\x1bPz");
}

TEST(ScreenTracker, FindsTheQueriesThatATerminalAnswers) {
  for (const std::string query : {"\x1b[c",          "\x1b[0c",         "\x1b[>c",
                                  "\x1b[=c",         "\x1b[5n",         "\x1b[6n",
                                  "\x1b[?6n",        "\x1b[?996n",      "\x1b[4$p",
                                  "\x1b[?2026$p",    "\x1b[>q",         "\x1b[>0q",
                                  "\x1b[?u",         "\x1b[14t",        "\x1b[18t",
                                  "\x1b]10;?\x07",   "\x1b]11;?\x1b\\", "\x1b]4;1;?\x07",
                                  "\x1b]52;c;?\x07", "\x1bP$qm\x1b\\",  "\x1bP+q544e\x1b\\",
                                  "\x1bZ",           "\x1b[?4m",        "\x1b[?2;1S"}) {
    ScreenTracker tracker;
    tracker.follow("text" + query + "text");
    const std::uint64_t end = 4 + query.size();
    ASSERT_EQ(tracker.queries().size(), 1U) << query;
    EXPECT_EQ(tracker.queries()[0].begin, 4U) << query;
    EXPECT_EQ(tracker.queries()[0].end, end) << query;
    tracker.follow("more");
    EXPECT_TRUE(tracker.queries().empty());
  }
  for (const std::string other :
       {"\x1b[?1c", "\x1b[1;2r", "\x1b[2 q", "\x1b[u", "\x1b[>1u", "\x1b[8;24;80t", "\x1b[22;0t",
        "\x1b]0;what;?\x07", "\x1b]11;#fff\x07", "\x1bPq#0\x1b\\", "\x1b[!p", "\x1b[>4;1m",
        "\x1b[0n"})
    EXPECT_TRUE(after(other).queries().empty()) << other;
}

TEST(ScreenTracker, AQueryMayHaveBegunBeforeTheLastBytes) {
  ScreenTracker tracker;
  tracker.follow("ab\x1b[");
  EXPECT_TRUE(tracker.queries().empty());
  tracker.follow("6nab");
  EXPECT_EQ(tracker.queries(), (std::vector<ScreenTracker::Span>{{2, 6}}));
}

}  // namespace
}  // namespace grab::relay
