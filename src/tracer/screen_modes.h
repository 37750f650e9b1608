// SPDX-License-Identifier: MIT
// The modes of a terminal's screen and keyboard (alternate screen, mouse, bracketed paste ...): how
// to ask for them, to undo them where a program has left, and to set them where it has gone. Pure.
#pragma once

#include <map>
#include <string>
#include <string_view>

namespace grab::tracer {

/// How far a terminal can be trusted to understand what is written to it.
enum class TerminalKind {
  kUnknown,    ///< nothing is to be written to it
  kPlain,      ///< it passes over the sequences that it does not know, but is not to be asked
  kXtermLike,  ///< it passes over questions that it does not know, too, and answers DA1
};
/// By the value of TERM, which is that of a program on it.
[[nodiscard]] TerminalKind terminal_kind(std::string_view term);

/// What a terminal has said.
struct ScreenModes {
  std::map<unsigned, bool> modes;  ///< DEC private modes that it knows, by number: whether set
  unsigned keyboard_flags = 0;     ///< of kitty's keyboard protocol
  bool complete = false;           ///< the answer to the last question has come
  /// Whether the alternate screen is shown; nothing is known where it said nothing of it.
  [[nodiscard]] bool knows_alternate_screen() const;
  [[nodiscard]] bool alternate_screen() const;
  friend bool operator==(const ScreenModes&, const ScreenModes&) = default;
};

/// What asks a terminal for its modes. The last question is one that every terminal answers.
[[nodiscard]] std::string mode_questions();
/// Takes the answers out of what was typed on the terminal, of which the rest stays.
[[nodiscard]] ScreenModes take_answers(std::string& typed);

/// What gives the terminal back as a shell expects it. `full_screen`: the program's terminal modes
/// are those of one that draws the whole screen; counts only where the terminal has not told.
[[nodiscard]] std::string undo_modes(const ScreenModes& said, bool full_screen, TerminalKind kind);
/// What sets on another terminal the modes that this one has said are set; empty if none.
[[nodiscard]] std::string redo_modes(const ScreenModes& said);

}  // namespace grab::tracer
