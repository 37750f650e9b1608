// SPDX-License-Identifier: MIT
// Full-screen programs: terminal 1 is left clean, terminal 2 is drawn afresh, and the keys work.
#include <signal.h>
#include <unistd.h>

#include <string>

#include <gmock/gmock.h>

#include "support/grab_test.h"

namespace grab::test {
namespace {

using testing::HasSubstr;
using testing::Not;

constexpr const char* kEnterAlternateScreen = "\x1b[?1049h";
constexpr const char* kLeaveAlternateScreen = "\x1b[?1049l";

class FullScreen : public GrabTest {
 protected:
  // Starts a program in terminal 1 and waits until it is on the alternate screen and shows `text`.
  static pid_t start(Shell& first, const std::string& line, const std::string& comm,
                     const std::string& text) {
    first.run(line);
    EXPECT_TRUE(first.expect(kEnterAlternateScreen));
    EXPECT_TRUE(first.expect(text));
    return first.wait_for_program(comm);
  }

  static testing::AssertionResult left_clean(Shell& first) {
    if (auto left = first.expect(kLeaveAlternateScreen); !left)
      return left;
    if (auto prompt = first.expect_prompt(); !prompt)
      return prompt;
    if (first.unread().find(kEnterAlternateScreen) != std::string::npos)
      return testing::AssertionFailure() << "the alternate screen was entered again";
    if (auto answers = first.answers(); !answers)
      return answers;
    const std::string modes = first.output_of("stty -a");
    if (modes.find(" icanon") == std::string::npos || modes.find(" echo ") == std::string::npos)
      return testing::AssertionFailure() << "the modes are not sane: " << modes;
    return testing::AssertionSuccess();
  }
};

TEST_F(FullScreen, AnNcursesLikeProgramIsDrawnAfreshWithTheNewSizeAndItsKeysWork) {
  Shell first("bash");
  SecondTerminal second;
  const pid_t pid = start(first, "tracee_zoo fullscreen", "tracee_zoo", "FULL SCREEN 24x80");
  ASSERT_TRUE(grabs_tree(second, first, pid));
  EXPECT_TRUE(left_clean(first));
  ASSERT_TRUE(second.expect(kEnterAlternateScreen));
  ASSERT_TRUE(second.expect("FULL SCREEN 30x132"));
  second.type("\x1bOA");
  EXPECT_TRUE(second.expect("key UP"));
  second.resize({40, 100});
  EXPECT_TRUE(second.expect("FULL SCREEN 40x100"));
  second.type("q");
  EXPECT_TRUE(second.expect_grab_ended(0));
  EXPECT_THAT(second.transcript(), HasSubstr(kLeaveAlternateScreen));
}

TEST_F(FullScreen, OneThatIsBusyForAWhileBeforeItLeavesItsScreenIsWaitedFor) {
  Shell first("bash");
  SecondTerminal second;
  const pid_t pid = start(first, "tracee_zoo fullscreen 700", "tracee_zoo", "FULL SCREEN 24x80");
  ASSERT_TRUE(grabs_tree(second, first, pid));
  EXPECT_TRUE(left_clean(first));
  ASSERT_TRUE(second.expect(kEnterAlternateScreen));
  EXPECT_TRUE(second.expect("FULL SCREEN 30x132"));
}

TEST_F(FullScreen, ControlZAndFgSetUpTheScreenAgain) {
  Shell first("bash");
  SecondTerminal second;
  const pid_t pid = start(first, "tracee_zoo fullscreen", "tracee_zoo", "FULL SCREEN 24x80");
  ASSERT_TRUE(grabs_tree(second, first, pid));
  ASSERT_TRUE(second.expect("FULL SCREEN 30x132"));
  second.skip_shown();
  second.type("\x1a");
  ASSERT_TRUE(second.expect_prompt());
  ASSERT_TRUE(second.answers());
  second.run("fg");
  ASSERT_TRUE(second.expect("FULL SCREEN 30x132"));
  second.type("k");
  EXPECT_TRUE(second.expect("key k"));
}

TEST_F(FullScreen, VimIsMovedAndItsFileCanBeWritten) {
  if (!installed("vim"))
    GTEST_SKIP() << "vim is not installed";
  Shell first("bash");
  SecondTerminal second;
  write_file(scratch("text"), "first line\nsecond line\nthird line\n");
  const pid_t pid = start(first, "vim -u NONE -i NONE -n " + scratch("text"), "vim", "third line");
  ASSERT_TRUE(grabs_tree(second, first, pid));
  EXPECT_TRUE(left_clean(first));
  ASSERT_TRUE(second.expect(kEnterAlternateScreen));
  ASSERT_TRUE(second.expect("first line"));
  ASSERT_TRUE(second.expect("third line"));
  second.type(
      "\x1bOB"
      "xjx:wq\r");  // arrow down as vim asked for it
  EXPECT_TRUE(second.expect_grab_ended(0));
  EXPECT_EQ(read_file(scratch("text")), "first line\necond line\nhird line\n");
}

TEST_F(FullScreen, LessIsMovedAndScrolls) {
  if (!installed("less"))
    GTEST_SKIP() << "less is not installed";
  Shell first("bash");
  SecondTerminal second;
  std::string text;
  for (int n = 1; n <= 300; ++n)
    text += "line " + std::to_string(n) + " of the text\n";
  write_file(scratch("text"), text);
  const pid_t pid = start(first, "less " + scratch("text"), "less", "line 10 of");
  ASSERT_TRUE(grabs_tree(second, first, pid));
  EXPECT_TRUE(left_clean(first));
  ASSERT_TRUE(second.expect("line 29 of"));  // as many lines as terminal 2 has
  second.type("G");
  ASSERT_TRUE(second.expect("line 300 of"));
  second.type("q");
  EXPECT_TRUE(second.expect_grab_ended(0));
}

TEST_F(FullScreen, APagerBehindAPipeIsMovedWithItsPipeline) {
  if (!installed("less"))
    GTEST_SKIP() << "less is not installed";
  Shell first("bash");
  SecondTerminal second;
  const pid_t pid = start(first, "seq -f 'item %g of many' 100000 | less", "less", "item 10 of");
  second.grab_tree(pid);
  ASSERT_TRUE(has_left(first, pid));
  EXPECT_TRUE(left_clean(first));
  ASSERT_TRUE(second.expect("item 29 of"));
  second.type("G");
  ASSERT_TRUE(second.expect("item 100000 of"));
  second.type("q");
  EXPECT_TRUE(second.expect_grab_ended(0));
}

TEST_F(FullScreen, HtopIsMovedAndQuits) {
  if (!installed("htop"))
    GTEST_SKIP() << "htop is not installed";
  Shell first("bash");
  SecondTerminal second;
  const pid_t pid = start(first, "htop", "htop", "Quit");
  ASSERT_TRUE(grabs_tree(second, first, pid));
  EXPECT_TRUE(left_clean(first));
  ASSERT_TRUE(second.expect(kEnterAlternateScreen));
  ASSERT_TRUE(second.expect("Quit"));
  second.type("q");
  EXPECT_TRUE(second.expect_grab_ended(0));
}

TEST_F(FullScreen, NanoIsMovedAndWrites) {
  if (!installed("nano"))
    GTEST_SKIP() << "nano is not installed";
  Shell first("bash");
  SecondTerminal second;
  write_file(scratch("text"), "some text\n");
  const pid_t pid = start(first, "nano -I " + scratch("text"), "nano", "some text");
  ASSERT_TRUE(grabs_tree(second, first, pid));
  ASSERT_TRUE(first.expect_prompt());
  ASSERT_TRUE(second.expect("some text"));
  // nano throws away a key that comes while it draws after a change of size; ^C says where it is.
  ASSERT_TRUE(wait_until([&] {
    second.type("\x03");
    return static_cast<bool>(second.expect("line ", Duration{200}));
  }));
  second.type("new \x0f\r\x18");
  EXPECT_TRUE(second.expect_grab_ended(0));
  EXPECT_EQ(read_file(scratch("text")), "new some text\n");
}

TEST_F(FullScreen, AStoppedOneIsSetUpOnTheNewTerminal) {
  Shell first("bash");
  SecondTerminal second;
  const pid_t pid = start(first, "tracee_zoo fullscreen", "tracee_zoo", "FULL SCREEN 24x80");
  first.type("\x1a");
  ASSERT_TRUE(wait_until([&] { return is_stopped(pid); }));
  ASSERT_TRUE(first.expect_prompt());
  ASSERT_TRUE(first.answers());
  ASSERT_TRUE(grabs_tree(second, first, pid));
  ASSERT_TRUE(second.expect(kEnterAlternateScreen));
  ASSERT_TRUE(second.expect("FULL SCREEN 30x132"));
  second.type("k");
  EXPECT_TRUE(second.expect("key k"));
}

}  // namespace
}  // namespace grab::test
