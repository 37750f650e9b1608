// SPDX-License-Identifier: MIT
// Attaching shows a program as if it had always been there: what is on the screen, cell by cell,
// and every mode that its keys depend on. Leaving undoes them. tmux is the terminal, and says what
// a user would see.
#include <unistd.h>

#include <string>
#include <utility>
#include <vector>

#include <gmock/gmock.h>

#include "support/grab_test.h"
#include "support/viewing.h"

namespace grab::test {
namespace {

using testing::HasSubstr;
using testing::Not;

class Repaint : public GrabTest {
 protected:
  static testing::AssertionResult shows(SecondTerminal& terminal,
                                        const std::vector<std::string>& sequences) {
    for (const std::string& sequence : sequences) {
      if (!wait_until([&] { return terminal.unread().find(sequence) != std::string::npos; }))
        return testing::AssertionFailure() << visible(sequence) << " was not sent\n"
                                           << all_transcripts();
    }
    return testing::AssertionSuccess();
  }
};

TEST_F(Repaint, BringsEveryModeAndLeavingUndoesThem) {
  SecondTerminal second, third("terminal 3");
  // Application cursor and keypad keys, bracketed paste, mouse with its encoding, focus, a bar as
  // cursor, a title, the alternate screen, a hidden cursor.
  write_file(scratch("script"),
             "printf '\\033[?1049h\\033[?1h\\033=\\033[?2004h\\033[?1002h\\033[?1006h\\033[?1004h"
             "\\033[6 q\\033]0;a title\\007\\033[?25l\\033[2J\\033[5;7Hdrawn here'\n"
             "exec tracee_zoo echo-lines\n");
  ASSERT_TRUE(runs_detached(second, "bash " + scratch("script"), "--name tree"));
  ASSERT_TRUE(wait_until(
      [&] { return says(second, "peek tree").text.find("ready") != std::string::npos; }));
  ASSERT_TRUE(attaches(third, "tree"));
  EXPECT_TRUE(
      shows(third, {"\x1b[?1049h", "\x1b[?1h", "\x1b=", "\x1b[?2004h", "\x1b[?1002h", "\x1b[?1006h",
                    "\x1b[?1004h", "\x1b[6 q", "a title", "\x1b[?25l", "drawn here"}));
  third.skip_shown();
  third.type("\x1c");
  EXPECT_TRUE(shows(third, {"\x1b[?1049l", "\x1b[?1l", "\x1b>", "\x1b[?2004l", "\x1b[?1002l",
                            "\x1b[?1006l", "\x1b[?1004l", "\x1b[0 q", "\x1b[?25h"}));
  EXPECT_TRUE(third.expect_grab_ended(0));
}

TEST_F(Repaint, ArrowKeysWorkAtOnceInWhatIsAttached) {
  if (!installed("vim"))
    GTEST_SKIP() << "vim is not installed";
  SecondTerminal second, third("terminal 3");
  write_file(scratch("text"), "first line\nsecond line\nthird line\n");
  ASSERT_TRUE(runs_detached(second, "vim -u NONE -i NONE -n " + scratch("text"), "--name tree"));
  ASSERT_TRUE(wait_until(
      [&] { return says(second, "peek tree").text.find("third line") != std::string::npos; }));
  ASSERT_TRUE(attaches(third, "tree"));
  ASSERT_TRUE(third.expect("\x1b[?1h"));
  third.type("\x1bOB\x1bOBx:wq\r");
  EXPECT_TRUE(third.expect_grab_ended(0));
  EXPECT_EQ(read_file(scratch("text")), "first line\nsecond line\nhird line\n");
}

// ---------------------------------------------------------------- in tmux

class InTmux : public Repaint {
 protected:
  void SetUp() override {
    Repaint::SetUp();
    if (!IsSkipped() && !installed("tmux"))
      GTEST_SKIP() << "tmux is not installed";
  }
  // A server of its own; its windows are of one size, and their shells have the prompt of tests.
  static std::string tmux(const std::string& arguments) {
    return "tmux -f " + scratch("tmux.conf") + " -S " + scratch("tmux") + " " + arguments;
  }
  static void open(Shell& control) {
    write_file(scratch("tmux.conf"),
               "set -g status off\nset -g default-terminal screen-256color\n");
    new_window(control, "one");
  }
  static void new_window(Shell& control, const std::string& name) {
    (void)control.output_of(tmux("new-session -d -x 90 -y 25 -s " + name + " 'bash --norc'"));
    ASSERT_TRUE(wait_until([&] { return screen(control, name).find("shell>") == 0; }));
  }
  static void keys(Shell& control, const std::string& window, const std::string& what) {
    (void)control.output_of(tmux("send-keys -t " + window + " " + what));
  }
  static std::string ask(Shell& control, const std::string& window, const std::string& what) {
    return control.output_of(tmux("display -p -t " + window + " '" + what + "'"));
  }
  // The modes that a program may leave behind, as tmux has them.
  static std::string modes(Shell& control, const std::string& window) {
    return ask(control, window,
               "#{alternate_on} #{cursor_flag} #{keypad_cursor_flag} #{keypad_flag} "
               "#{mouse_any_flag} #{mouse_sgr_flag} #{wrap_flag} #{insert_flag} #{origin_flag}");
  }
  // The cells with their colours, the cursor, and the modes.
  static std::string screen(Shell& control, const std::string& window) {
    (void)control.output_of(tmux("capture-pane -e -p -t " + window + " > screen"));
    return read_file(scratch("screen")) + ask(control, window, "#{cursor_x},#{cursor_y}") +
           modes(control, window);
  }
  static testing::AssertionResult comes_to_show(Shell& control, const std::string& window,
                                                const std::string& text) {
    if (wait_until([&] { return screen(control, window).find(text) != std::string::npos; }))
      return testing::AssertionSuccess();
    return testing::AssertionFailure() << text << " is not shown:\n" << screen(control, window);
  }
  // Run as it is, then in a relay, then attached to elsewhere: all look the same, and leaving it
  // leaves nothing behind.
  static void looks_the_same_everywhere(const std::string& program, const std::string& text,
                                        bool is_steady = true) {
    Shell control("bash");
    open(control);
    std::string plain;
    if (is_steady) {
      keys(control, "one", "'" + program + "' Enter");
      ASSERT_TRUE(comes_to_show(control, "one", text));
      ASSERT_TRUE(wait_until([&] {
        const std::string before = std::exchange(plain, screen(control, "one"));
        return before == plain;
      }));
    }
    new_window(control, "two");
    new_window(control, "three");
    const std::string before = modes(control, "three");
    keys(control, "two", "'clear; grab run --name tree -- " + program + "' Enter");
    ASSERT_TRUE(comes_to_show(control, "two", text));
    EXPECT_TRUE(!is_steady || wait_until([&] { return screen(control, "two") == plain; }))
        << plain << "\nin a relay:\n"
        << screen(control, "two");
    keys(control, "three", "'grab attach tree' Enter");
    EXPECT_TRUE(wait_until([&] { return screen(control, "three") == screen(control, "two"); }))
        << screen(control, "two") << "\nattached:\n"
        << screen(control, "three");
    EXPECT_NE(modes(control, "three"), before) << "this program sets none";
    keys(control, "three", "'C-\\'");
    EXPECT_TRUE(comes_to_show(control, "three", "come back with: grab attach tree"));
    EXPECT_EQ(modes(control, "three"), before);
    (void)control.output_of(tmux("kill-server"));
  }
};

TEST_F(InTmux, VimLooksTheSameWhenAttached) {
  if (!installed("vim"))
    GTEST_SKIP() << "vim is not installed";
  write_file(scratch("text.c"), "int main(void) {\n  return 0;  // \xe2\x82\xac \xe6\xbc\xa2\n}\n");
  looks_the_same_everywhere("vim -u NONE -i NONE -n +syn\\ on +set\\ nu text.c", "return");
}

TEST_F(InTmux, LessLooksTheSameWhenAttached) {
  if (!installed("less"))
    GTEST_SKIP() << "less is not installed";
  std::string text;
  for (int n = 1; n <= 200; ++n)
    text +=
        "\x1b[3" + std::to_string(n % 8) + "mline " + std::to_string(n) + "\x1b[m of the text\n";
  write_file(scratch("text"), text);
  looks_the_same_everywhere("less -R text", "line 20");
}

TEST_F(InTmux, HtopLooksTheSameWhenAttached) {
  if (!installed("htop"))
    GTEST_SKIP() << "htop is not installed";
  looks_the_same_everywhere("htop -d 100", "Quit", false);
}

}  // namespace
}  // namespace grab::test
