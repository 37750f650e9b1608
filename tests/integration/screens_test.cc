// SPDX-License-Identifier: MIT
// Real full-screen programs between two real terminal emulators: what terminal 2 shows is what the
// program shows on a terminal of that size, its keys work at once, and terminal 1 is as it was.
#include <termios.h>
#include <unistd.h>

#include <algorithm>
#include <string>

#include <gmock/gmock.h>

#include "support/grab_test.h"
#include "support/ssh_server.h"

namespace grab::test {
namespace {

using testing::HasSubstr;
using testing::Not;

struct Program {
  std::string name;     ///< as the test is called, and the package that has it
  std::string line;     ///< typed in a shell whose folder is the scratch folder
  std::string process;  ///< what is grabbed
  std::string shows;
};

std::ostream& operator<<(std::ostream& out, const Program& program) {
  return out << program.name;
}

/// The files that the programs show; no colours or hints that differ from one start to the next.
void write_files() {
  std::string text, page = ".TH PAGE 1\n.SH NAME\npage - this is shown\n";
  for (int n = 1; n <= 200; ++n) {
    text += "line " + std::to_string(n) + " of the text\n";
    page += ".SS Section " + std::to_string(n) + "\nIts text.\n";
  }
  write_file(scratch("text"), text);
  mkdir(scratch("folder").c_str(), 0700);
  write_file(scratch("folder/some-file"), "");
  mkdir(scratch(".config").c_str(), 0700);
  mkdir(scratch(".config/mc").c_str(), 0700);
  write_file(scratch(".config/mc/ini"),
             "[Layout]\nmessage_visible=false\nfree_space=false\n[Midnight-Commander]\n"
             "confirm_exit=false\nuse_internal_edit=true\n");
  write_file(scratch("menu"),
             "exec $1 --menu 'What is wanted' 12 40 3 a 'the first' b 'the second' c 'the third' "
             "2> choice\n");
  write_file(scratch("page.1"), page);
}

// mc writes to its configuration, and two of them run at once.
const std::string kMc = "cp -r .config $$; XDG_CONFIG_HOME=$PWD/$$ mc folder folder";
const std::string kEmacs = "emacs -nw -Q --eval '(setq inhibit-startup-screen t)' ";

class Screens : public GrabTest {
 protected:
  void SetUp() override {
    GrabTest::SetUp();
    write_files();
  }
  /// dash sets no modes, neither of the line nor of the screen: what is left over would be seen.
  static Shell terminal(const std::string& name, WindowSize size) {
    return Shell("dash", {.name = name, .size = size, .emulated = true});
  }
  static testing::AssertionResult shows(TerminalSession& terminal, const std::string& text) {
    if (wait_until([&] { return terminal.screen().find(text) != std::string::npos; }))
      return testing::AssertionSuccess();
    return testing::AssertionFailure() << "\"" << text << "\" is not on the screen:\n"
                                       << terminal.screen() << "----\n"
                                       << all_transcripts();
  }
  static testing::AssertionResult is_clean(Shell& first, const std::string& line) {
    if (auto prompt = first.expect_prompt(); !prompt)
      return prompt;
    if (auto answers = first.answers(); !answers)
      return answers;
    const std::string screen = first.screen();
    const termios modes = first.modes();
    const std::string wrong = first.ask([](Emulator& emulator) -> std::string {
      if (emulator.alternate_screen())
        return "the alternate screen is shown";
      if (!emulator.cursor_shown())
        return "the cursor is hidden";
      if (emulator.reports_mouse())
        return "the mouse is reported";
      if (emulator.bold_or_coloured())
        return "what is written is in colour";
      if (emulator.arrow_up() != "\x1b[A")
        return "the arrow keys are those of an application";
      if (emulator.keypad_enter() != "\n")
        return "the keypad is that of an application";
      return emulator.paste("text") == "text" ? "" : "what is pasted is bracketed";
    });
    if (!wrong.empty())
      return testing::AssertionFailure() << wrong << "\n" << all_transcripts();
    if (screen.find(line) == std::string::npos)
      return testing::AssertionFailure() << "what was above is not there:\n" << screen;
    constexpr tcflag_t kInput = ICRNL | IXON, kLocal = ICANON | ECHO | ISIG | IEXTEN;
    if ((modes.c_iflag & kInput) != kInput || (modes.c_iflag & (IGNBRK | INLCR | IGNCR)) != 0 ||
        (modes.c_oflag & (OPOST | ONLCR)) != (OPOST | ONLCR) ||
        (modes.c_lflag & kLocal) != kLocal || modes.c_cc[VINTR] != 3 || modes.c_cc[VSUSP] != 26 ||
        modes.c_cc[VEOF] != 4 || modes.c_cc[VMIN] != 1)
      return testing::AssertionFailure()
             << "other modes than usual: " << first.output_of("stty -a");
    return testing::AssertionSuccess();
  }
  /// Starts the program in terminal 1 and moves it; `root` is what was grabbed.
  static testing::AssertionResult move(const Program& program, Shell& first,
                                       SecondTerminal& second) {
    first.run(program.line);
    if (auto shown = shows(first, program.shows); !shown)
      return shown;
    first.skip_shown();
    const pid_t pid = first.wait_for_program(program.process);
    // man's formatters do, until they have written the page.
    const auto runs_under_a_filter = [](pid_t one) {
      return status_field(one, one, "Seccomp") == "2";
    };
    EXPECT_TRUE(wait_until([&] {
      const auto tree = tree_of(pid);
      return std::none_of(tree.begin(), tree.end(), runs_under_a_filter);
    }));
    return grabs_tree(second, first, pid);
  }
};

class EveryProgram : public Screens, public testing::WithParamInterface<Program> {};

TEST_P(EveryProgram, IsDrawnWholeAndLeavesACleanTerminalBehind) {
  const Program& program = GetParam();
  Shell first = terminal("terminal 1", {24, 80});
  Shell model = terminal("a terminal of the size of terminal 2", {30, 132});
  SecondTerminal second("terminal 2", {30, 132}, true);
  model.run(program.line);
  ASSERT_TRUE(move(program, first, second));
  EXPECT_TRUE(is_clean(first, "shell> " + program.line));
  ASSERT_TRUE(shows(model, program.shows));
  EXPECT_TRUE(wait_until([&] { return second.screen() == model.screen(); }))
      << "it shows:\n"
      << second.screen() << "---- and not:\n"
      << model.screen() << "----\n"
      << all_transcripts();
  EXPECT_EQ(second.ask([](Emulator& shown) { return shown.alternate_screen(); }),
            model.ask([](Emulator& shown) { return shown.alternate_screen(); }));
  EXPECT_EQ(second.ask([](Emulator& shown) { return shown.arrow_up(); }),
            model.ask([](Emulator& shown) { return shown.arrow_up(); }));
  EXPECT_EQ(second.ask([](Emulator& shown) { return shown.reports_mouse(); }),
            model.ask([](Emulator& shown) { return shown.reports_mouse(); }));
  EXPECT_EQ(second.ask([](Emulator& shown) { return shown.paste("text"); }),
            model.ask([](Emulator& shown) { return shown.paste("text"); }));
}

INSTANTIATE_TEST_SUITE_P(
    Screens, EveryProgram,
    testing::Values(Program{"vim", "vim -u NONE -i NONE -n --cmd 'set shm+=F' text", "vim",
                            "line 20 of"},
                    Program{"mc", kMc, "mc", "some-file"},
                    Program{"emacs", kEmacs + "text", "emacs", "line 20 of"},
                    Program{"man", "MANWIDTH=70 man -P less -l page.1", "man", "this is shown"},
                    Program{"fzf", "fzf < text", "fzf", "line 3 of"}),
    [](const auto& param) { return param.param.name; });

TEST_F(Screens, KeysAndMouseOfMcWorkAtOnce) {
  Shell first = terminal("terminal 1", {24, 80});
  SecondTerminal second("terminal 2", {30, 132}, true);
  ASSERT_TRUE(move({"mc", kMc, "mc", "some-file"}, first, second));
  ASSERT_TRUE(shows(second, "some-file"));
  second.type(second.ask([](Emulator& shown) { return shown.click(0, 4); }));
  ASSERT_TRUE(shows(second, "Listing format")) << "the click has not opened the menu";
  second.type("\x1b\x1b");
  second.type(second.ask([](Emulator& shown) { return shown.arrow_down(); }));
  second.type("\x1b[21~");  // F10
  EXPECT_TRUE(second.expect_grab_ended(0));
  EXPECT_FALSE(second.ask([](Emulator& shown) { return shown.alternate_screen(); }));
  EXPECT_FALSE(second.ask([](Emulator& shown) { return shown.reports_mouse(); }));
}

TEST_F(Screens, KeysAndPasteOfEmacsWorkAtOnceAndItsFileCanBeWritten) {
  Shell first = terminal("terminal 1", {24, 80});
  SecondTerminal second("terminal 2", {30, 132}, true);
  ASSERT_TRUE(move({"emacs", kEmacs + "text", "emacs", "line 20 of"}, first, second));
  ASSERT_TRUE(shows(second, "line 20 of"));
  second.type(second.ask([](Emulator& shown) { return shown.arrow_down(); }));
  second.type(second.ask([](Emulator& shown) { return shown.paste("pasted "); }));
  ASSERT_TRUE(shows(second, "pasted line 2 of"));
  second.type("\x18\x13");  // ^X ^S
  ASSERT_TRUE(wait_until([] { return read_file(scratch("text")).find("pasted line 2") == 19; }))
      << read_file(scratch("text"));
  second.type("\x18\x03");
  EXPECT_TRUE(second.expect_grab_ended(0));
}

TEST_F(Screens, ADialogInAScriptIsAnsweredOnTheNewTerminal) {
  for (const std::string program : {"dialog", "whiptail"}) {
    Shell first = terminal("terminal 1", {24, 80});
    SecondTerminal second("terminal 2", {30, 132}, true);
    first.run("sh menu " + program + "; echo over");
    ASSERT_TRUE(shows(first, "the third"));
    first.skip_shown();
    ASSERT_TRUE(grabs_tree(second, first, children_of(first.pid()).at(0)));
    // dialog itself leaves the alternate screen first of all, in an xterm.
    EXPECT_TRUE(is_clean(first, program == "dialog" ? "" : "shell> sh menu")) << program;
    ASSERT_TRUE(shows(second, "the third"));
    // By its letter: like after ^Z and fg, dialog does not ask for an application's keys again.
    const std::string down = second.ask([](Emulator& shown) { return shown.arrow_down(); });
    second.type((program == "dialog" ? "b" : down) + "\r");
    EXPECT_TRUE(second.expect_grab_ended(0));
    EXPECT_EQ(read_file(scratch("choice")), "b") << program;
    write_file(scratch("choice"), "");
  }
}

TEST_F(Screens, AProgramUnderAnInnerShellIsDrawnThereAndTheShellGoesOn) {
  Shell first = terminal("terminal 1", {24, 80});
  SecondTerminal second("terminal 2", {30, 132}, true);
  first.run("bash --norc -i");
  ASSERT_TRUE(first.expect_prompt());
  first.run("emacs -nw -Q text");
  ASSERT_TRUE(shows(first, "line 20 of"));
  first.skip_shown();
  ASSERT_TRUE(grabs_tree(second, first, children_of(first.pid()).at(0)));
  EXPECT_TRUE(is_clean(first, "shell> emacs"));
  ASSERT_TRUE(shows(second, "line 20 of"));
  second.type("\x18\x03");
  ASSERT_TRUE(second.expect_prompt()) << "of the inner shell";
  second.type("echo still $((40 + 2))\r");
  ASSERT_TRUE(second.expect("still 42"));
  second.type("exit\r");
  EXPECT_TRUE(second.expect_grab_ended(0));
}

TEST_F(Screens, ALineOfAPythonThatWaitsForInputIsGoneOnWith) {
  Shell first = terminal("terminal 1", {24, 80});
  SecondTerminal second("terminal 2", {30, 132}, true);
  first.run("python3 -q");
  ASSERT_TRUE(first.expect(">>> "));
  first.run("6 * 7");
  ASSERT_TRUE(first.expect("42"));
  ASSERT_TRUE(first.expect(">>> "));
  ASSERT_TRUE(grabs_tree(second, first, first.wait_for_program("python3")));
  EXPECT_TRUE(is_clean(first, ">>> 6 * 7"));
  second.type("7 * 11\r");
  EXPECT_TRUE(second.expect("77"));
  // Until it prompts, readline has the terminal in its ordinary modes, where ^D is no byte to read.
  EXPECT_TRUE(second.expect(">>> "));
  second.type("\x04");
  EXPECT_TRUE(second.expect_grab_ended(0));
}

TEST_F(Screens, APlainProgramsTerminalIsSentNothing) {
  Shell first = terminal("terminal 1", {24, 80});
  SecondTerminal second;
  const pid_t pid = first.start("tracee_zoo echo-lines");
  first.skip_shown();
  ASSERT_TRUE(grabs_tree(second, first, pid));
  ASSERT_TRUE(first.expect_prompt());
  EXPECT_THAT(first.transcript(), Not(HasSubstr("\x1b")));
}

/// A shell in tmux, the client of which is on this terminal.
class Tmux : public TerminalSession {
 public:
  /// `mode` is an option of tmux(1): -2 changes nothing that matters here.
  explicit Tmux(const std::string& mode = "-2")
      : TerminalSession(
            "tmux",
            {"/usr/bin/tmux", mode, "-S", scratch("tmux"), "-f", "/dev/null", "new", "dash", "-i"},
            {.environment = {{"PS1", "shell> "}}, .size = {24, 80}, .emulated = true}) {}
  /// What a command of tmux prints.
  static std::string says(const std::string& command) {
    Shell shell("dash");
    return shell.output_of("tmux -S " + scratch("tmux") + " " + command);
  }
  /// What stty(1) says of the terminal that the shell has.
  static std::string size_within() {
    Shell shell("dash");
    return shell.output_of("stty size <$(tmux -S " + scratch("tmux") +
                           " display -p '#{pane_tty}')");
  }
};

TEST_F(Screens, ATerminalThatDoesNotTellIsLeftCleanToo) {
  Tmux first;
  SecondTerminal second("terminal 2", {30, 132}, true);
  ASSERT_TRUE(shows(first, "shell>"));
  first.type(kMc + "\r");
  ASSERT_TRUE(shows(first, "some-file"));
  std::optional<pid_t> mc;
  ASSERT_TRUE(wait_until([&] { return (mc = descendant_named(::getpid(), "mc")).has_value(); }));
  second.grab_tree(*mc);
  ASSERT_TRUE(shows(second, "some-file"));
  ASSERT_TRUE(wait_until([&] { return first.screen().find("some-file") == std::string::npos; }))
      << first.screen();
  first.type("echo $((40 + 2))\r");
  EXPECT_TRUE(shows(first, "42"));
  EXPECT_THAT(Tmux::says("capture-pane -p -S -"), HasSubstr("shell> cp"));
  EXPECT_THAT(Tmux::says("display -p '#{alternate_on} #{mouse_any_flag} #{keypad_flag} "
                         "#{keypad_cursor_flag} #{cursor_flag}'"),
              HasSubstr("0 0 0 0 1"));
}

// And nothing else that the server has.
TEST_F(Screens, ATmuxClientIsMovedWithTheServerThatDrawsForIt) {
  Shell first = terminal("terminal 1", {24, 80});
  SecondTerminal second("terminal 2", {30, 132}, true);
  ASSERT_TRUE(move({"tmux", "tmux -S tmux -f /dev/null new dash -i", "tmux: client", "0:dash"},
                   first, second));
  EXPECT_TRUE(is_clean(first, "shell> tmux"));
  first.close_window();
  ASSERT_TRUE(shows(second, "0:dash"));
  // While it is drawn afresh it is a row smaller.
  EXPECT_TRUE(wait_until([] { return Tmux::size_within().find("29 132") != std::string::npos; }));
  second.type("echo $((40 + 2)) $(stty size)\r");
  EXPECT_TRUE(shows(second, "42 29 132"));
  // tmux takes no key for a binding that comes within a millisecond of the one before.
  second.type(
      "\x02"
      "d");
  EXPECT_TRUE(second.expect_grab_ended(0)) << "the server is no part of the tree";
  EXPECT_THAT(Tmux::says("capture-pane -p -S -"), HasSubstr("42 29 132"));
}

TEST_F(Screens, ATmuxClientInControlModeIsMovedThoughItReadsLines) {
  Tmux first("-C");
  SecondTerminal second;
  ASSERT_TRUE(first.expect("%session-changed"));
  ASSERT_NE(first.modes().c_lflag & ICANON, 0U);
  second.grab_tree(first.pid());
  second.type("display-message -p answered\r");
  EXPECT_TRUE(second.expect("\nanswered"));
  second.type("detach\r");
  EXPECT_TRUE(second.expect_grab_ended(0));
  EXPECT_THAT(Tmux::says("list-clients | wc -l"), HasSubstr("\n0\r"));
}

TEST_F(Screens, AnSshClientIsMovedAndWhatItShowsIsDrawnAfreshByTheOtherSide) {
  if (::geteuid() != 0)
    GTEST_SKIP() << "only root's sshd can hand out terminals";
  const SshServer server("HOME=" + scratch_folder());
  Shell first = terminal("terminal 1", {24, 80});
  SecondTerminal second("terminal 2", {30, 132}, true);
  const std::string file = scratch("text");
  ASSERT_TRUE(
      move({"ssh", server.login() + "'vim -u NONE -i NONE -n " + file + "'", "ssh", "line 20 of"},
           first, second));
  EXPECT_TRUE(is_clean(first, "shell> ssh -tt"));
  ASSERT_TRUE(shows(second, "line 29 of"));
  EXPECT_TRUE(second.ask([](Emulator& shown) { return shown.alternate_screen(); }));
  second.type(second.ask([](Emulator& shown) { return shown.arrow_down(); }));
  second.type("x:wq\r");
  EXPECT_TRUE(second.expect_grab_ended(0));
  EXPECT_THAT(read_file(file), HasSubstr("line 1 of the text\nine 2 of the text\n"));
}

}  // namespace
}  // namespace grab::test
