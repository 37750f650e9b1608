// SPDX-License-Identifier: MIT
// A terminal emulator for tests: libvterm as it comes, without any code of the project. It judges
// what a terminal shows, which modes it is in, and types the keys as that terminal would.
#pragma once

#include <memory>
#include <string>
#include <string_view>

namespace grab::test {

struct WindowSize;

class Emulator {
 public:
  explicit Emulator(WindowSize size);
  ~Emulator();
  Emulator(const Emulator&) = delete;
  Emulator& operator=(const Emulator&) = delete;

  void feed(std::string_view bytes);
  void resize(WindowSize size);
  /// What it types by itself: answers to queries.
  [[nodiscard]] std::string take_answers();

  /// The rows that it shows, each with "\n", trailing blanks and empty rows left out.
  [[nodiscard]] std::string text() const;
  [[nodiscard]] bool alternate_screen() const;
  [[nodiscard]] bool cursor_shown() const;
  [[nodiscard]] bool bold_or_coloured() const;  ///< what is written next
  [[nodiscard]] bool reports_mouse() const;

  // What it types for what a user does.
  [[nodiscard]] std::string arrow_up();
  [[nodiscard]] std::string arrow_down();
  [[nodiscard]] std::string keypad_enter();
  [[nodiscard]] std::string paste(std::string_view text);
  /// A click with the left button; from 0.
  [[nodiscard]] std::string click(int row, int column);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace grab::test
