// SPDX-License-Identifier: MIT
#include "relay/screen.h"

#include <gtest/gtest.h>

#include "relay/tracker.h"

namespace grab::relay {
namespace {

constexpr WindowSize kSize = {24, 80, 0, 0};

/// A screen and the tracker that follows the same stream.
struct Terminal {
  explicit Terminal(WindowSize size = kSize) : screen(size) {}
  Terminal& feed(std::string_view bytes) {
    screen.feed(bytes);
    modes.follow(bytes);
    return *this;
  }
  std::string paint(WindowSize viewer = {}) { return screen.paint(modes, viewer); }
  std::string repaint(WindowSize viewer = {}) { return screen.repaint(modes, viewer); }

  Screen screen;
  ScreenTracker modes;
};

std::string text_after(std::string_view bytes) {
  return Terminal().feed(bytes).screen.text();
}

TEST(Screen, TellsItsTextWithoutTrailingBlanks) {
  EXPECT_EQ(text_after(""), "");
  EXPECT_EQ(text_after("one  \r\n\r\n  three\r\n\r\n"), "one\n\n  three\n");
  EXPECT_EQ(text_after("\x1b[31mred\x1b[m \xe4\xb8\xad\xe6\x96\x87 e\xcc\x81"),
            "red \xe4\xb8\xad\xe6\x96\x87 e\xcc\x81\n");
}

TEST(Screen, ABlankScreenCostsFewBytesToPaint) {
  EXPECT_LT(Terminal().paint().size(), 64U);
  EXPECT_LT(Terminal().repaint().size(), 32U);
}

TEST(Screen, PaintingScrollsAwayWhatWasThereAndRepaintingErasesIt) {
  Terminal shell;
  shell.feed("$ ls\r\nfile\r\n$ grab attach");
  EXPECT_TRUE(Terminal().paint().starts_with("\x1b[24H" + std::string(24, '\n') + "\x1b[H\x1b[J"));
  EXPECT_EQ(Terminal().repaint().find('\n'), std::string::npos);
  Terminal tree;
  tree.feed("tree");
  shell.feed(tree.paint());
  EXPECT_EQ(shell.screen.text(), "tree\n");
}

TEST(Screen, TheMainScreenIsThereWhenTheProgramLeavesTheAlternateOne) {
  for (const std::string mode : {"47", "1047", "1049"}) {
    Terminal tree, viewer;
    tree.feed("$ vim\r\n\x1b[?" + mode + "h\x1b[H\x1b[2Jedited");
    EXPECT_EQ(tree.screen.text(), "edited\n") << mode;
    const std::string paint = tree.paint();
    EXPECT_NE(paint.find("\x1b[?" + mode + "h"), std::string::npos);
    viewer.feed(paint);
    EXPECT_EQ(viewer.screen.text(), "edited\n") << mode;
    viewer.feed("\x1b[?" + mode + "l");
    EXPECT_EQ(viewer.screen.text(), "$ vim\n") << mode;
  }
}

TEST(Screen, PaintsTheModesAndTheTitle) {
  const std::string paint =
      Terminal()
          .feed(
              "\x1b]0;a title\x07\x1b[?1h\x1b=\x1b[?2004h\x1b[?1002;1006h\x1b[?25l\x1b[5 q"
              "\x1b[>1u\x1b[>4;2m\x1b[2;5r\x1b(0\x0e\x1b[4h")
          .paint();
  for (const std::string part : {"\x1b]2;a title\x07", "\x1b[?1h", "\x1b=", "\x1b[?2004h",
                                 "\x1b[?1002h", "\x1b[?1006h", "\x1b[?25l", "\x1b[5 q", "\x1b[>1u",
                                 "\x1b[>4;2m", "\x1b[2;5r", "\x1b(0", "\x0e", "\x1b[4h"})
    EXPECT_NE(paint.find(part), std::string::npos) << part;
}

TEST(Screen, KeepsEveryStyle) {
  for (const std::string style :
       {"1", "2", "3", "4", "21", "4:3", "5", "7", "8", "9", "1;2;3", "31", "97", "42", "107",
        "38;5;200", "48;5;17", "38;2;1;2;3", "48;2;250;251;252"}) {
    const std::string paint = Terminal().feed("\x1b[" + style + "mx").repaint();
    EXPECT_NE(paint.find("\x1b[" + style + "mx"), std::string::npos) << style << "\n" << paint;
  }
  EXPECT_NE(Terminal().feed("\x1b[38:2::1:2:3;58;5;3mx").repaint().find("\x1b[38;2;1;2;3mx"),
            std::string::npos)
      << "a colour space, and an underline's colour, which is not kept";
}

TEST(Screen, AViewerOfAnotherSizeGetsWhatItHasRoomFor) {
  Terminal tree, viewer({2, 5, 0, 0});
  tree.feed(
      "abc\xe4\xb8\xad"
      "defgh\r\n1234\xe4\xb8\xad\r\nthree\r\n");
  viewer.feed(tree.paint({2, 5, 0, 0}));
  EXPECT_EQ(viewer.screen.text(), "abc\xe4\xb8\xad\n1234\n");
}

TEST(Screen, AWrapThatWaitsGoesOnWaiting) {
  Terminal tree({4, 10, 0, 0}), viewer({4, 10, 0, 0});
  tree.feed("0123456789");
  viewer.feed(tree.paint());
  viewer.feed("a");
  EXPECT_EQ(viewer.screen.text(), "0123456789\na\n");
}

TEST(Screen, AViewerThatComesInTheMiddleOfASequenceSeesItsEnd) {
  for (const std::string cut : {"\x1b[1;3", "\x1b", "\x1b]0;tit", "\x1bPq", "\xe4\xb8", "\x1b("}) {
    Terminal tree, viewer;
    tree.feed("a" + cut);
    viewer.feed(tree.paint() + tree.modes.unfinished());
    for (Terminal* terminal : {&tree, &viewer})
      terminal->feed(
          "\xad"
          "1mB\x1b\\\r\nnext");
    EXPECT_EQ(viewer.screen.text(), tree.screen.text()) << cut;
  }
}

TEST(Screen, SurvivesEverySize) {
  Terminal tree;
  for (const WindowSize size : {WindowSize{0, 0, 0, 0},
                                {1, 1, 0, 0},
                                {500, 1000, 0, 0},
                                {1, 1000, 0, 0},
                                {1000, 1, 0, 0},
                                {65535, 65535, 0, 0},
                                {3, 2, 0, 0},
                                {24, 80, 0, 0}}) {
    tree.screen.resize(size);
    tree.feed(
        "\x1b[9999;9999H\x1b"
        "7\x1b[5;9999r\xe4\xb8\xad\x1b[9999b\x1b[?1049h\x1b[L\x1b[M"
        "\x1b[?1049l\x1b"
        "8\x1b[9999@\n");
    EXPECT_LT(tree.paint().size(), 40'000'000U);
  }
}

TEST(Screen, KeepsTheLinesAroundTheCursorWhenTheWindowShrinks) {
  Terminal tree({6, 20, 0, 0});
  tree.feed("1\r\n2\r\n3\r\n4");
  tree.screen.resize({3, 20, 0, 0});
  EXPECT_EQ(tree.screen.text(), "2\n3\n4\n");
  tree.feed("!");
  EXPECT_EQ(tree.screen.text(), "2\n3\n4!\n");
  tree.screen.resize({6, 20, 0, 0});
  EXPECT_EQ(tree.screen.text(), "2\n3\n4!\n");
}

TEST(Screen, AnswersTheQueriesThatProgramsWaitFor) {
  Terminal tree;
  tree.feed("\x1b[2;3H\x1b[c");
  EXPECT_EQ(tree.screen.take_answers(), "\x1b[?1;2c");
  EXPECT_EQ(tree.screen.take_answers(), "");
  tree.feed("\x1b[>c");
  EXPECT_TRUE(tree.screen.take_answers().starts_with("\x1b[>"));
  tree.feed("\x1b[5n\x1b[6n");
  EXPECT_EQ(tree.screen.take_answers(), "\x1b[0n\x1b[2;3R");
  tree.feed("\x1b[?2004h\x1b[?2004$p\x1b[?7777$p");
  EXPECT_EQ(tree.screen.take_answers(), "\x1b[?2004;1$y\x1b[?7777;0$y");
  tree.feed("\x1bP$qr\x1b\\");
  EXPECT_EQ(tree.screen.take_answers(), "\x1bP1$r1;24r\x1b\\");
  for (int i = 0; i < 100'000; ++i)
    tree.feed("\x1b[6n");
  EXPECT_LE(tree.screen.take_answers().size(), 4096U);
}

TEST(Screen, IsNotConfusedByWhatLibvtermDoesNotKnow) {
  EXPECT_EQ(text_after("\xc2\x9b"
                       "31mx"),
            "31mx\n")
      << "C1 in UTF-8";
  EXPECT_EQ(text_after("\x1b[bx"), "x\n") << "nothing to repeat";
  EXPECT_EQ(text_after("-\x1b[3b"), "----\n");
  EXPECT_EQ(text_after("a\x1b[sbc\x1b[uB"), "aBc\n");
  EXPECT_EQ(text_after("\x1b(0lqk\x1b(Bq"), "\xe2\x94\x8c\xe2\x94\x80\xe2\x94\x90q\n");
  EXPECT_EQ(text_after("\x1b]0;no\ntext\x07"
                       "here"),
            "here\n")
      << "a newline in a title";
  EXPECT_EQ(text_after("a\xe4\xb8"
                       "b\xff"
                       "c"),
            "a\xef\xbf\xbd"
            "b\xef\xbf\xbd"
            "c\n");
  EXPECT_EQ(text_after("main\x1b[?1049halternate\x1b"
                       "cnew"),
            "new\n")
      << "reset";
}

TEST(Screen, ControlCharactersInASequenceThatBreaksOffAreCarriedOut) {
  EXPECT_EQ(text_after("one\x1b[3\r\n\x1b[mtwo"), "one\ntwo\n");
  EXPECT_EQ(text_after("\x1b)0\x1b[3\x0e\x1b[mq"), "\xe2\x94\x80\n");
}

TEST(Screen, SurvivesMoreParametersThanLibvtermHasRoomFor) {
  std::string many = "1";
  for (int i = 0; i < 60; ++i)
    many += i % 2 == 0 ? ";1" : ":1";
  for (const std::string final : {"H", "m", "h", "r", "b", "$p", " q"})
    EXPECT_EQ(text_after("\x1b[" + many + final + "\x1b[?" + many + final + "\x1b[m\x1b[Hx")[0],
              'x');
  Terminal tree, viewer;
  tree.feed("\x1b[1;2;3;4;5;7;8;9m\x1b[38;2;1;2;3m\x1b[48;2;4;5;6mx");
  viewer.feed(tree.paint());
  tree.screen.resize({10, 10, 0, 0});
  EXPECT_EQ(viewer.screen.text(), "x\n");
  EXPECT_EQ(viewer.repaint(), Terminal().feed(viewer.repaint()).repaint());
}

TEST(Screen, AStringWithoutEndCostsNoMemory) {
  Terminal tree;
  tree.feed("\x1b]2;");
  const std::string piece(1 << 16, 'x');
  for (int i = 0; i < 256; ++i)
    tree.feed(piece);
  EXPECT_LT(tree.modes.unfinished().size(), 4097U);
  EXPECT_EQ(tree.feed("\x07"
                      "end")
                .screen.text(),
            "end\n");
}

TEST(Screen, OfALongTextTheEndIsLeft) {
  std::string text;
  for (int i = 0; i < 5'000; ++i)
    text += "line " + std::to_string(i) + "\r\n";
  std::string end;
  for (int i = 4'977; i < 5'000; ++i)
    end += "line " + std::to_string(i) + "\n";
  EXPECT_EQ(text_after(text), end);
}

}  // namespace
}  // namespace grab::relay
