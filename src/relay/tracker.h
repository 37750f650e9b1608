// SPDX-License-Identifier: MIT
// Follows what a program writes to its terminal, for the modes that have to be undone when the
// terminal is given back to somebody else (alternate screen, mouse, bracketed paste ...) and set
// again afterwards. Pure: bytes in, two strings out. It keeps no picture of the screen.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace grab::relay {

class ScreenTracker {
 public:
  /// Takes the next bytes of the stream; a sequence may be cut anywhere. O(n); text between
  /// sequences costs one memchr.
  void follow(std::string_view bytes);

  /// No escape sequence is unfinished: other text may be written here.
  [[nodiscard]] bool between_sequences() const { return state_ == State::kText; }
  /// The last byte was a newline, or there was none yet.
  [[nodiscard]] bool at_line_start() const { return line_start_; }
  [[nodiscard]] bool alternate_screen() const { return alternate_ != 0; }

  /// What gives the terminal back as a shell expects it; empty if nothing was changed.
  [[nodiscard]] std::string undo() const;
  /// What sets the modes again that undo() took away. The contents of the screen and the colours
  /// are the program's to draw again.
  [[nodiscard]] std::string redo() const;

 private:
  enum class State : std::uint8_t { kText, kEscape, kEscapeRest, kControl, kString, kStringEscape };

  void text_byte(unsigned char byte);
  void escape_byte(unsigned char byte);
  void control_byte(unsigned char byte);
  void finish_control(char final);
  void set_private_mode(unsigned mode, bool on);
  void soft_reset();
  void full_reset();
  [[nodiscard]] bool is_plain_sequence() const { return prefix_ == 0 && intermediate_ == 0; }

  static constexpr std::size_t kMaxParameters = 16;  // what xterm and VTE take at least

  State state_ = State::kText;
  bool line_start_ = true;
  bool bell_ends_string_ = false;

  // The control sequence that is being read.
  char prefix_ = 0;
  char intermediate_ = 0;
  std::array<unsigned, kMaxParameters> parameters_{};
  std::size_t parameter_ = 0;  // index of the one being read

  // What differs from a terminal that a shell expects.
  std::uint32_t changed_modes_ = 0;  // bit i: kModes[i] of tracker.cc
  unsigned alternate_ = 0;           // 47, 1047, 1049; 0 on the main screen
  unsigned modified_keys_ = 0;       // xterm's modifyOtherKeys
  bool keypad_ = false;
  bool attributes_ = false;
  bool margins_ = false;
};

}  // namespace grab::relay
