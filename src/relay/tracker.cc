// SPDX-License-Identifier: MIT
// The sequences are those of ECMA-48 and of xterm's ctlseqs document.
#include "relay/tracker.h"

#include <cstring>

namespace grab::relay {
namespace {

constexpr unsigned char kEsc = 0x1b;
constexpr unsigned char kBell = 0x07;
constexpr unsigned char kCancel = 0x18;
constexpr unsigned char kSubstitute = 0x1a;

struct Mode {
  unsigned number;
  bool usual;  ///< as a shell expects it
};

constexpr std::array kModes = {
    Mode{1, false},     // application cursor keys
    Mode{7, true},      // wrap at the margin
    Mode{9, false},     // mouse: X10
    Mode{25, true},     // cursor shown
    Mode{1000, false},  // mouse: buttons
    Mode{1001, false},  // mouse: highlight
    Mode{1002, false},  // mouse: drag
    Mode{1003, false},  // mouse: all motion
    Mode{1004, false},  // focus reports
    Mode{1005, false},  // mouse: UTF-8 coordinates
    Mode{1006, false},  // mouse: SGR coordinates
    Mode{1015, false},  // mouse: urxvt coordinates
    Mode{1016, false},  // mouse: pixels
    Mode{2004, false},  // bracketed paste
};
static_assert(kModes.size() <= 32);

constexpr bool is_alternate_screen(unsigned mode) {
  return mode == 47 || mode == 1047 || mode == 1049;
}

std::string private_mode(unsigned number, bool on) {
  return "\x1b[?" + std::to_string(number) + (on ? 'h' : 'l');
}

}  // namespace

void ScreenTracker::follow(std::string_view bytes) {
  if (bytes.empty())
    return;
  std::size_t i = 0;
  while (i < bytes.size()) {
    if (state_ == State::kText) {
      const void* escape = std::memchr(bytes.data() + i, kEsc, bytes.size() - i);
      if (escape == nullptr)
        break;
      i = static_cast<std::size_t>(static_cast<const char*>(escape) - bytes.data());
    }
    text_byte(static_cast<unsigned char>(bytes[i]));
    ++i;
  }
  line_start_ = bytes.back() == '\n';
}

// One byte, whatever the state.
void ScreenTracker::text_byte(unsigned char byte) {
  const bool in_string = state_ == State::kString || state_ == State::kStringEscape;
  if (byte == kCancel || byte == kSubstitute) {
    state_ = State::kText;
  } else if (byte == kEsc) {
    state_ = in_string ? State::kStringEscape : State::kEscape;
    prefix_ = intermediate_ = 0;
  } else if (state_ == State::kStringEscape) {
    // ESC \ ends the string; ESC and anything else ends it too and is a sequence of its own.
    state_ = State::kEscape;
    escape_byte(byte);
  } else if (state_ == State::kString) {
    if (byte == kBell && bell_ends_string_)
      state_ = State::kText;
  } else if (byte < 0x20 || byte == 0x7f) {
    // Control characters inside a sequence are carried out and do not end it.
  } else if (state_ == State::kEscape) {
    escape_byte(byte);
  } else if (state_ == State::kEscapeRest) {
    if (byte >= 0x30)
      state_ = State::kText;
  } else if (state_ == State::kControl) {
    control_byte(byte);
  }
}

void ScreenTracker::escape_byte(unsigned char byte) {
  state_ = State::kText;
  switch (byte) {
    case '[':
      state_ = State::kControl;
      parameters_.fill(0);
      parameter_ = 0;
      break;
    case ']':  // OSC
    case 'P':  // DCS
    case 'X':  // SOS
    case '^':  // PM
    case '_':  // APC
      state_ = State::kString;
      bell_ends_string_ = byte == ']';
      break;
    case '=':
      keypad_ = true;
      break;
    case '>':
      keypad_ = false;
      break;
    case 'c':
      full_reset();
      break;
    default:
      if (byte >= 0x20 && byte < 0x30)
        state_ = State::kEscapeRest;
  }
}

void ScreenTracker::control_byte(unsigned char byte) {
  if (byte >= '0' && byte <= '9') {
    constexpr unsigned kLargest =
        99999;  // beyond every mode number; keeps the sum from overflowing
    unsigned& value = parameters_[parameter_];
    value = std::min(value * 10 + static_cast<unsigned>(byte - '0'), kLargest);
  } else if (byte == ';' || byte == ':') {
    if (parameter_ + 1 < kMaxParameters)
      ++parameter_;
  } else if (byte >= 0x3c && byte <= 0x3f) {
    prefix_ = static_cast<char>(byte);
  } else if (byte >= 0x20 && byte < 0x30) {
    intermediate_ = static_cast<char>(byte);
  } else {
    state_ = State::kText;
    finish_control(static_cast<char>(byte));
  }
}

void ScreenTracker::finish_control(char final) {
  if (prefix_ == '?' && intermediate_ == 0 && (final == 'h' || final == 'l')) {
    for (std::size_t i = 0; i <= parameter_; ++i)
      set_private_mode(parameters_[i], final == 'h');
  } else if (final == 'm' && prefix_ == '>' && parameters_[0] == 4) {
    modified_keys_ = parameter_ > 0 ? parameters_[1] : 0;
  } else if (final == 'm' && is_plain_sequence()) {
    attributes_ = parameter_ != 0 || parameters_[0] != 0;
  } else if (final == 'r' && is_plain_sequence()) {
    margins_ = parameters_[0] > 1 || parameters_[1] != 0;
  } else if (final == 'p' && intermediate_ == '!') {
    soft_reset();
  }
}

void ScreenTracker::set_private_mode(unsigned mode, bool on) {
  if (is_alternate_screen(mode)) {
    alternate_ = on ? mode : 0;
    return;
  }
  for (std::size_t i = 0; i < kModes.size(); ++i) {
    if (kModes[i].number != mode)
      continue;
    const std::uint32_t bit = std::uint32_t{1} << i;
    changed_modes_ = on == kModes[i].usual ? changed_modes_ & ~bit : changed_modes_ | bit;
  }
}

void ScreenTracker::soft_reset() {
  set_private_mode(1, false);
  set_private_mode(25, true);
  keypad_ = attributes_ = margins_ = false;
}

void ScreenTracker::full_reset() {
  changed_modes_ = 0;
  alternate_ = modified_keys_ = 0;
  keypad_ = attributes_ = margins_ = false;
}

std::string ScreenTracker::undo() const {
  std::string out;
  if (!between_sequences())
    out += state_ == State::kString ? "\x1b\\" : "\x18";
  if (attributes_)
    out += "\x1b[m";
  if (margins_)
    out +=
        "\x1b"
        "7\x1b[r\x1b"
        "8";  // setting margins moves the cursor: save and restore it
  for (std::size_t i = 0; i < kModes.size(); ++i) {
    if ((changed_modes_ >> i & 1U) != 0)
      out += private_mode(kModes[i].number, kModes[i].usual);
  }
  if (keypad_)
    out += "\x1b>";
  if (modified_keys_ != 0)
    out += "\x1b[>4m";
  if (alternate_ != 0)
    out += private_mode(alternate_, false);
  return out;
}

std::string ScreenTracker::redo() const {
  std::string out;
  if (alternate_ != 0)
    out += private_mode(alternate_, true);
  for (std::size_t i = 0; i < kModes.size(); ++i) {
    if ((changed_modes_ >> i & 1U) != 0)
      out += private_mode(kModes[i].number, !kModes[i].usual);
  }
  if (keypad_)
    out += "\x1b=";
  if (modified_keys_ != 0)
    out += "\x1b[>4;" + std::to_string(modified_keys_) + "m";
  return out;
}

}  // namespace grab::relay
