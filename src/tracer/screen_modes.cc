// SPDX-License-Identifier: MIT
// The sequences are those of xterm's ctlseqs document and of kitty's keyboard protocol.
#include "tracer/screen_modes.h"

#include <algorithm>
#include <array>
#include <cstddef>
#include <optional>
#include <vector>

namespace grab::tracer {
namespace {

constexpr unsigned kWrap = 7, kCursorShown = 25, kKeypad = 66;
constexpr std::array kAlternateScreens = {47U, 1047U, 1049U};
/// What is set on the new terminal where it was on the old one, in this order.
constexpr std::array kSetModes = {1U,    kKeypad, 1000U, 1002U, 1003U,
                                  1004U, 1005U,   1006U, 1015U, 2004U};
/// And what is reset.
constexpr std::array kResetModes = {kWrap, kCursorShown};

std::string private_mode(unsigned number, bool on) {
  if (number == kKeypad)  // more terminals know it by its older name
    return on ? "\x1b=" : "\x1b>";
  return "\x1b[?" + std::to_string(number) + (on ? 'h' : 'l');
}

/// A control sequence with '?' that a terminal has typed.
struct Answer {
  std::vector<unsigned> parameters;
  char intermediate = 0;
  char final = 0;
  std::size_t length = 0;
};

std::optional<Answer> parse_answer(std::string_view text) {
  constexpr std::size_t kLongest = 128;  // more than any DA1 known
  if (!text.starts_with("\x1b[?"))
    return std::nullopt;
  Answer answer{.parameters = {0}, .intermediate = 0, .final = 0, .length = 0};
  for (std::size_t i = 3; i < std::min(text.size(), kLongest); i++) {
    const char c = text[i];
    if (c >= '0' && c <= '9') {
      answer.parameters.back() = answer.parameters.back() * 10 % 100'000 + unsigned(c - '0');
    } else if (c == ';') {
      answer.parameters.push_back(0);
    } else if (c == '$') {
      answer.intermediate = c;
    } else {
      answer.final = c;
      answer.length = i + 1;
      return answer;
    }
  }
  return std::nullopt;
}

/// Whether it was an answer to one of the questions.
bool note(const Answer& answer, ScreenModes& said) {
  if (answer.final == 'c') {
    said.complete = true;
    return true;
  }
  if (answer.final == 'u' && answer.parameters.size() == 1) {
    said.keyboard_flags = answer.parameters[0];
    return true;
  }
  if (answer.final != 'y' || answer.intermediate != '$' || answer.parameters.size() != 2)
    return false;
  // 1 set, 2 reset, 3 and 4 the same for good, 0 not known
  if (const unsigned value = answer.parameters[1]; value >= 1 && value <= 4)
    said.modes[answer.parameters[0]] = value == 1 || value == 3;
  return true;
}

}  // namespace

TerminalKind terminal_kind(std::string_view term) {
  constexpr std::array<std::string_view, 17> kXtermLike = {
      "xterm",   "tmux",      "screen",  "rxvt",    "vte",    "gnome", "konsole", "kitty", "foot",
      "ghostty", "alacritty", "wezterm", "contour", "mintty", "putty", "iterm",   "st-"};
  constexpr std::array<std::string_view, 3> kPlain = {"linux", "vt", "cons25"};
  const auto begins = [term](std::string_view name) { return term.starts_with(name); };
  if (std::any_of(kXtermLike.begin(), kXtermLike.end(), begins))
    return TerminalKind::kXtermLike;
  const bool plain = std::any_of(kPlain.begin(), kPlain.end(), begins);
  return plain ? TerminalKind::kPlain : TerminalKind::kUnknown;
}

bool ScreenModes::knows_alternate_screen() const {
  return std::any_of(kAlternateScreens.begin(), kAlternateScreens.end(),
                     [this](unsigned mode) { return modes.count(mode) != 0; });
}

bool ScreenModes::alternate_screen() const {
  return std::any_of(kAlternateScreens.begin(), kAlternateScreens.end(), [this](unsigned mode) {
    const auto found = modes.find(mode);
    return found != modes.end() && found->second;
  });
}

std::string mode_questions() {
  std::string text;
  const auto ask = [&text](unsigned mode) { text += "\x1b[?" + std::to_string(mode) + "$p"; };
  std::for_each(kAlternateScreens.begin(), kAlternateScreens.end(), ask);
  std::for_each(kSetModes.begin(), kSetModes.end(), ask);
  std::for_each(kResetModes.begin(), kResetModes.end(), ask);
  return text + "\x1b[?u\x1b[c";
}

ScreenModes take_answers(std::string& typed) {
  ScreenModes said;
  std::size_t at = 0;
  while ((at = typed.find('\x1b', at)) != std::string::npos) {
    const auto answer = parse_answer(std::string_view(typed).substr(at));
    if (answer && note(*answer, said))
      typed.erase(at, answer->length);
    else
      at++;
  }
  return said;
}

// Emulators: leaving the alternate screen by mode 1049 moves the cursor to
// where it was last saved, even where that screen is not shown; by mode 1047 it does nothing then
// -> 1049 only where the terminal has said that it is on. Source: xterm's ctlseqs; libvterm, tmux.
std::string undo_modes(const ScreenModes& said, bool full_screen, TerminalKind kind) {
  std::string text =
      "\x1b[m\x1b(B\x0f"
      "\x1b[4l";
  if (said.keyboard_flags != 0)
    text += "\x1b[=0u";
  if (said.alternate_screen()) {
    text += "\x1b[?1049l\x1b[m";
    if (said.keyboard_flags != 0)
      text += "\x1b[=0u";  // each screen has its own
  } else if (full_screen && !said.knows_alternate_screen()) {
    // To the last row, so that the prompt stands below all that there is, whichever screen it was.
    text += "\x1b[?1047l\x1b[r\x1b[999;1H\r\n";
  }
  for (const unsigned mode : kSetModes)
    text += private_mode(mode, false);
  for (const unsigned mode : kResetModes)
    text += private_mode(mode, true);
  if (kind == TerminalKind::kXtermLike)
    text += "\x1b[>4m";  // xterm's modifyOtherKeys
  return text;
}

std::string redo_modes(const ScreenModes& said) {
  std::string text;
  if (said.alternate_screen())
    text += private_mode(1049, true);
  const auto is = [&said](unsigned mode, bool on) {
    const auto found = said.modes.find(mode);
    return found != said.modes.end() && found->second == on;
  };
  for (const unsigned mode : kSetModes) {
    if (is(mode, true))
      text += private_mode(mode, true);
  }
  for (const unsigned mode : kResetModes) {
    if (is(mode, false))
      text += private_mode(mode, false);
  }
  if (said.keyboard_flags != 0)
    text += "\x1b[=" + std::to_string(said.keyboard_flags) + "u";
  return text;
}

}  // namespace grab::tracer
