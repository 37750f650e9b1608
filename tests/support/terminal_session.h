// SPDX-License-Identifier: MIT
// A terminal as a user sees one: a pts of its own with a session of its own on it, everything that
// it shows, and keys to type. The test holds the ptmx, so it is the terminal emulator.
#pragma once

#include <sys/types.h>
#include <termios.h>

#include <chrono>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include <gtest/gtest.h>

#include "support/emulator.h"
#include "support/process_guard.h"

namespace grab::test {

struct WindowSize {
  unsigned short rows = 24;
  unsigned short columns = 80;
};

class TerminalSession {
 public:
  struct Options {
    std::map<std::string, std::string> environment;  ///< beside the few that all get
    WindowSize size;
    /// A whole emulator shows it and answers all queries. Else only DA1 is answered, which every
    /// terminal does.
    bool emulated = false;
  };

  /// Starts `argv` as the leader of a new session on a new terminal; `name` is for messages.
  /// Its environment is PATH, HOME (a folder of the test), TERM, LANG, XDG_RUNTIME_DIR and
  /// `options.environment`.
  TerminalSession(std::string name, const std::vector<std::string>& argv, Options options);
  TerminalSession(std::string name, const std::vector<std::string>& argv)
      : TerminalSession(std::move(name), argv, Options{}) {}
  ~TerminalSession();
  TerminalSession(const TerminalSession&) = delete;
  TerminalSession& operator=(const TerminalSession&) = delete;

  [[nodiscard]] pid_t pid() const;                ///< the session leader
  [[nodiscard]] const std::string& path() const;  ///< "/dev/pts/N"
  [[nodiscard]] dev_t device() const;

  /// As keys: "\r" is Enter, "\x03" is ^C.
  void type(std::string_view keys);
  /// Waits until `text` is shown behind what earlier calls have found, and goes behind it.
  /// Fails with all that was shown.
  [[nodiscard]] testing::AssertionResult expect(std::string_view text, Duration limit = kDeadline);
  /// Everything shown since the terminal was opened.
  [[nodiscard]] std::string transcript() const;
  /// What has been shown behind what expect() has found.
  [[nodiscard]] std::string unread() const;
  /// What comes from here on is what the next expect() looks at.
  void skip_shown();

  /// As an emulator that hangs: what is written stays in the terminal, until that is full.
  void stop_reading();
  void read_on();

  /// Asks the emulator something, or what it would type. Only where Options::emulated is set.
  template <class Ask>
  [[nodiscard]] auto ask(Ask what) {
    const auto lock = lock_emulator();
    return what(emulator());
  }
  /// What it shows.
  [[nodiscard]] std::string screen() {
    return ask([](Emulator& emulator) { return emulator.text(); });
  }

  void resize(WindowSize size);
  [[nodiscard]] WindowSize size() const;
  /// What closing the window of an emulator does: the ptmx is closed.
  void close_window();
  [[nodiscard]] termios modes() const;
  [[nodiscard]] pid_t foreground_pgid() const;

 private:
  [[nodiscard]] std::unique_lock<std::mutex> lock_emulator() const;
  [[nodiscard]] Emulator& emulator() const;
  friend std::string all_transcripts();
  struct State;
  std::unique_ptr<State> state_;
};

/// All that the terminals of this test have shown, for a report.
[[nodiscard]] std::string all_transcripts();
/// Text with control characters made visible.
[[nodiscard]] std::string visible(std::string_view text);
/// A folder of this process, made at the first call and removed by remove_scratch_folder().
[[nodiscard]] const std::string& scratch_folder();
/// In it, the XDG_RUNTIME_DIR of all terminals: no test sees the trees of another, or of the user.
[[nodiscard]] std::string runtime_folder();
void remove_scratch_folder();

}  // namespace grab::test
