// SPDX-License-Identifier: MIT
// The sequences are those of ECMA-48, of xterm's ctlseqs document and of kitty's keyboard protocol.
#include "relay/tracker.h"

#include <algorithm>
#include <cstring>
#include <span>

#include "relay/controls.h"
#include "relay/queries.h"
#include "relay/utf8.h"

namespace grab::relay {
namespace {

constexpr unsigned char kBell = 0x07;
constexpr unsigned char kCancel = 0x18;
constexpr unsigned char kSubstitute = 0x1a;

struct Mode {
  unsigned number;
  bool usual;  ///< as a shell expects it
};

constexpr unsigned kOriginMode = 6, kWrapMode = 7, kLeftRightMargins = 69;

constexpr std::array kModes = {
    Mode{1, false},     // application cursor keys
    Mode{5, false},     // reverse video
    Mode{6, false},     // origin mode
    Mode{7, true},      // wrap at the margin
    Mode{9, false},     // mouse: X10
    Mode{12, false},    // blinking cursor
    Mode{25, true},     // cursor shown
    Mode{45, false},    // wrap backwards
    Mode{67, false},    // the backspace key sends BS
    Mode{69, false},    // left and right margins
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
    Mode{2026, false},  // synchronized output
    Mode{2027, false},  // grapheme clusters
    Mode{2031, false},  // reports of light and dark colours
    Mode{2048, false},  // reports of the size
};
static_assert(kModes.size() <= 32);

constexpr bool is_alternate_screen(unsigned mode) {
  return mode == 47 || mode == 1047 || mode == 1049;
}

// Those of kModes that redo_other_modes() leaves to others.
constexpr bool is_of_the_text(unsigned mode) {
  return mode == kOriginMode || mode == kWrapMode || mode == kLeftRightMargins;
}

std::string private_mode(unsigned number, bool on) {
  return "\x1b[?" + std::to_string(number) + (on ? 'h' : 'l');
}

}  // namespace

void ScreenTracker::follow(std::string_view bytes) {
  queries_.clear();
  if (bytes.empty())
    return;
  const std::uint64_t start = followed_;
  std::size_t i = 0;
  while (i < bytes.size()) {
    if (state_ == State::kText) {
      const std::size_t escape = std::min(bytes.find(kEsc, i), bytes.size());
      follow_shifts(bytes.substr(i, escape - i));
      if (escape == bytes.size())
        break;
      i = escape;
      pending_.clear();
      pending_begin_ = start + i;
    }
    followed_ = start + i + 1;
    if (pending_.size() < kMaxUnfinished)
      pending_ += bytes[i];
    sequence_byte(static_cast<unsigned char>(bytes[i]));
    ++i;
    if (state_ == State::kText)
      pending_.clear();
  }
  followed_ = start + bytes.size();
  if (state_ == State::kText) {
    pending_ += bytes.substr(bytes.size() - std::min<std::size_t>(bytes.size(), 4));
    pending_.erase(0, pending_.size() - unfinished_utf8(pending_));
    pending_begin_ = followed_ - pending_.size();
  }
  line_start_ = bytes.back() == '\n';
}

// Only the last shift of a run counts.
void ScreenTracker::follow_shifts(std::string_view text) {
  if (single_shift_ != 0 && std::any_of(text.begin(), text.end(), is_printable))
    single_shift_ = 0;
  const void* out = memrchr(text.data(), kShiftOut, text.size());
  const void* in = memrchr(text.data(), kShiftIn, text.size());
  if (out != nullptr || in != nullptr)
    shift_ = out > in ? 1 : 0;
}

// One byte of a sequence, ESC included.
void ScreenTracker::sequence_byte(unsigned char byte) {
  const bool in_string = state_ == State::kString || state_ == State::kStringEscape;
  if (byte == kCancel || byte == kSubstitute) {
    state_ = State::kText;
  } else if (byte == kEsc) {
    if (!in_string) {
      pending_.assign(1, kEsc);
      pending_begin_ = followed_ - 1;
    }
    state_ = in_string ? State::kStringEscape : State::kEscape;
    prefix_ = intermediate_ = 0;
  } else if (state_ == State::kStringEscape) {
    // ESC \ ends the string; ESC and anything else ends it too and is a sequence of its own.
    finish_string();
    pending_ = {kEsc, static_cast<char>(byte)};
    pending_begin_ = followed_ - 2;
    state_ = State::kEscape;
    escape_byte(byte);
  } else if (state_ == State::kString) {
    if (byte == kBell && string_kind_ == ']') {
      finish_string();
      state_ = State::kText;
    }
  } else if (byte < 0x20 || byte == 0x7f) {
    control_character(byte);
  } else if (state_ == State::kEscape) {
    escape_byte(byte);
  } else if (state_ == State::kEscapeRest) {
    if (byte >= 0x30)
      finish_escape(byte);
    else
      intermediate_ = '!';  // more than one: nothing that is kept
  } else if (state_ == State::kControl) {
    control_byte(byte);
  }
}

// Control characters inside a sequence are carried out and do not end it.
void ScreenTracker::control_character(unsigned char byte) {
  if (byte == kShiftOut || byte == kShiftIn)
    shift_ = byte == kShiftOut ? 1 : 0;
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
      string_kind_ = static_cast<char>(byte);
      break;
    case '7':  // DECSC
      saved_attributes_ = attributes_;
      break;
    case '8':  // DECRC
      attributes_ = attributes_ || saved_attributes_;
      break;
    case '=':
    case '>':
      keypad_ = byte == '=';
      break;
    case 'H':  // HTS
      tab_stops_ = true;
      break;
    case 'Z':  // DECID
      queries_.push_back({pending_begin_, followed_});
      break;
    case 'N':  // SS2
      single_shift_ = 2;
      break;
    case 'O':  // SS3
      single_shift_ = 3;
      break;
    case 'n':  // LS2
      shift_ = 2;
      break;
    case 'o':  // LS3
      shift_ = 3;
      break;
    case 'c':
      full_reset();
      break;
    default:
      if (byte >= 0x20 && byte < 0x30) {
        state_ = State::kEscapeRest;
        intermediate_ = static_cast<char>(byte);
      }
  }
}

void ScreenTracker::finish_escape(unsigned char byte) {
  state_ = State::kText;
  if (intermediate_ >= '(' && intermediate_ <= '+')
    charsets_[static_cast<std::size_t>(intermediate_ - '(')] = static_cast<char>(byte);
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
  const std::span<const unsigned> parameters = {parameters_.data(), parameter_ + 1};
  const bool sets = final == 'h' || final == 'l';
  if (is_query(prefix_, parameters, intermediate_, final)) {
    queries_.push_back({pending_begin_, followed_});
  } else if (prefix_ == '?' && intermediate_ == 0 && sets) {
    for (const unsigned mode : parameters)
      set_private_mode(mode, final == 'h');
  } else if (prefix_ == '?' && intermediate_ == 0 && (final == 's' || final == 'r')) {
    for (const unsigned mode : parameters)
      save_private_mode(mode, final == 's');
  } else if (is_plain_sequence() && sets) {
    for (const unsigned mode : parameters)
      set_ansi_mode(mode, final == 'h');
  } else if (prefix_ == '>' && (final == 'm' || final == 'n') && parameters_[0] == 4) {
    modified_keys_ = final == 'm' && parameter_ > 0 ? parameters_[1] : 0;
  } else if (prefix_ != 0 && intermediate_ == 0 && final == 'u') {
    set_keyboard_flags();
  } else if (prefix_ == 0 && intermediate_ == ' ' && final == 'q') {
    cursor_shape_ = parameters_[0];
  } else if (final == 'm' && is_plain_sequence()) {
    attributes_ = parameter_ != 0 || parameters_[0] != 0;
  } else if (final == 'r' && is_plain_sequence()) {
    margins_ = parameters_[0] > 1 || parameters_[1] != 0;
  } else if (final == 's' && is_plain_sequence()) {
    saved_attributes_ = attributes_;
  } else if (final == 'u' && is_plain_sequence()) {
    attributes_ = attributes_ || saved_attributes_;
  } else if (final == 'g' && is_plain_sequence()) {
    tab_stops_ = true;
  } else if (final == 'p' && intermediate_ == '!') {
    soft_reset();
  }
}

void ScreenTracker::set_keyboard_flags() {
  const unsigned first = parameters_[0], second = parameter_ > 0 ? parameters_[1] : 0;
  if (prefix_ == '>')
    keyboard().push(first);
  else if (prefix_ == '<')
    keyboard().pop(std::max(first, 1U));
  else if (prefix_ == '=')
    keyboard().set(first, second);
}

void ScreenTracker::finish_string() {
  std::string_view content = pending_;
  content.remove_prefix(std::min<std::size_t>(2, content.size()));
  content = content.substr(0, content.find_first_of("\x1b\x07"));
  const bool whole = pending_.size() < kMaxUnfinished;
  if (string_kind_ == ']') {
    if (is_osc_query(content))
      queries_.push_back({pending_begin_, followed_});
    else if (whole)
      finish_osc(content);
  } else if (string_kind_ == 'P' && is_dcs_query(content)) {
    queries_.push_back({pending_begin_, followed_});
  }
}

void ScreenTracker::finish_osc(std::string_view content) {
  const std::size_t semicolon = std::min(content.find(';'), content.size());
  const std::string_view number = content.substr(0, semicolon);
  const std::string_view rest = content.substr(std::min(semicolon + 1, content.size()));
  if (number == "0" || number == "2") {
    if (rest.size() <= kMaxTitle)
      title_ = rest;
  } else if (number == "8") {
    link_ = rest.find(';') + 1 < rest.size();
  } else if (number == "10" || number == "11" || number == "12") {
    if (rest.size() <= kMaxTitle)
      colours_[static_cast<std::size_t>(number[1] - '0')] = rest;
  } else if (number == "110" || number == "111" || number == "112") {
    colours_[static_cast<std::size_t>(number[2] - '0')].clear();
  }
}

void ScreenTracker::set_ansi_mode(unsigned mode, bool on) {
  if (mode == 4)
    insert_ = on;
  else if (mode == 20)
    newline_mode_ = on;
}

void ScreenTracker::set_bit(std::size_t mode, bool changed) {
  const std::uint32_t bit = std::uint32_t{1} << mode;
  changed_modes_ = changed ? changed_modes_ | bit : changed_modes_ & ~bit;
}

void ScreenTracker::set_private_mode(unsigned mode, bool on) {
  if (is_alternate_screen(mode)) {
    if (mode == 1049 && on)
      saved_attributes_ = attributes_;
    else if (mode == 1049)
      attributes_ = attributes_ || saved_attributes_;
    alternate_ = on ? mode : 0;
    return;
  }
  if (mode == 1048 && on)
    saved_attributes_ = attributes_;
  else if (mode == 1048)
    attributes_ = attributes_ || saved_attributes_;
  if (mode == 66)
    keypad_ = on;
  for (std::size_t i = 0; i < kModes.size(); ++i) {
    if (kModes[i].number == mode)
      set_bit(i, on != kModes[i].usual);
  }
}

void ScreenTracker::save_private_mode(unsigned mode, bool save) {
  for (std::size_t i = 0; i < kModes.size(); ++i) {
    if (kModes[i].number != mode)
      continue;
    const std::uint32_t bit = std::uint32_t{1} << i;
    if (save)
      saved_modes_ = (saved_modes_ & ~bit) | (changed_modes_ & bit);
    else
      set_bit(i, (saved_modes_ & bit) != 0);
  }
}

bool ScreenTracker::is_changed(unsigned mode) const {
  for (std::size_t i = 0; i < kModes.size(); ++i) {
    if (kModes[i].number == mode)
      return (changed_modes_ >> i & 1U) != 0;
  }
  return false;
}

bool ScreenTracker::origin_mode() const {
  return is_changed(kOriginMode);
}

bool ScreenTracker::left_right_margins() const {
  return is_changed(kLeftRightMargins);
}

void ScreenTracker::soft_reset() {
  set_private_mode(1, false);
  set_private_mode(kOriginMode, false);
  set_private_mode(kWrapMode, true);
  set_private_mode(25, true);
  set_private_mode(kLeftRightMargins, false);
  keypad_ = attributes_ = margins_ = insert_ = false;
  charsets_.fill('B');
  shift_ = single_shift_ = 0;
}

void ScreenTracker::full_reset() {
  changed_modes_ = saved_modes_ = 0;
  alternate_ = modified_keys_ = cursor_shape_ = 0;
  keypad_ = attributes_ = saved_attributes_ = margins_ = tab_stops_ = insert_ = newline_mode_ =
      link_ = false;
  charsets_.fill('B');
  shift_ = single_shift_ = 0;
  keyboards_ = {};
  colours_ = {};
}

std::string ScreenTracker::unfinished() const {
  const bool in_string = state_ == State::kString || state_ == State::kStringEscape;
  if (!in_string || pending_.size() < kMaxUnfinished)
    return pending_;
  // Strings that no terminal knows; the end that is to come ends them too.
  return string_kind_ == ']' ? "\x1b]9999;" : "\x1bPz";
}

std::uint64_t ScreenTracker::unfinished_begin() const {
  return pending_.empty() ? followed_ : pending_begin_;
}

// Setting margins and origin mode moves the cursor. It is saved and restored, but for origin mode,
// which terminals save with it.
std::string ScreenTracker::undo() const {
  std::string out;
  if (!between_sequences())
    out += state_ == State::kString ? "\x1b\\" : "\x18";
  if (link_)
    out += "\x1b]8;;\x1b\\";
  if (attributes_)
    out += "\x1b[m";
  if (insert_)
    out += "\x1b[4l";
  if (newline_mode_)
    out += "\x1b[20l";
  for (std::size_t i = 0; i < charsets_.size(); ++i) {
    if (charsets_[i] != 'B')
      out += {'\x1b', static_cast<char>('(' + i), 'B'};
  }
  if (shift_ != 0)
    out += '\x0f';
  if (single_shift_ != 0)
    out += " \b";  // nothing else takes it away
  if (margins_ || left_right_margins()) {
    out += origin_mode() ? "\x1b[r"
                         : "\x1b"
                           "7\x1b[r\x1b"
                           "8";
  }
  for (std::size_t i = 0; i < kModes.size(); ++i) {
    if ((changed_modes_ >> i & 1U) != 0)
      out += private_mode(kModes[i].number, kModes[i].usual);
  }
  if (origin_mode())
    out += "\x1b[9999H";
  if (tab_stops_)
    out += "\x1b[?5W";
  if (keypad_)
    out += "\x1b>";
  if (modified_keys_ != 0)
    out += "\x1b[>4m";
  if (cursor_shape_ != 0)
    out += "\x1b[0 q";
  for (std::size_t i = 0; i < colours_.size(); ++i) {
    if (!colours_[i].empty())
      out += "\x1b]11" + std::to_string(i) + '\x07';
  }
  out += keyboard().undo();
  if (alternate_ != 0)
    out += private_mode(alternate_, false) + keyboards_[0].undo();
  if (alternate_ == 1049 && saved_attributes_)
    out += "\x1b[m";
  return out;
}

std::string ScreenTracker::redo() const {
  return redo_alternate_screen() + redo_geometry() + redo_text_modes() + redo_other_modes();
}

std::string ScreenTracker::redo_alternate_screen() const {
  return alternate_ == 0 ? "" : keyboards_[0].redo() + private_mode(alternate_, true);
}

std::string ScreenTracker::redo_geometry() const {
  std::string out;
  if (left_right_margins())
    out += private_mode(kLeftRightMargins, true);
  if (origin_mode())
    out += private_mode(kOriginMode, true);
  return out;
}

std::string ScreenTracker::redo_text_modes() const {
  std::string out;
  if (is_changed(kWrapMode))
    out += private_mode(kWrapMode, false);
  if (insert_)
    out += "\x1b[4h";
  if (newline_mode_)
    out += "\x1b[20h";
  return out + charsets();
}

std::string ScreenTracker::charsets() const {
  std::string out;
  for (std::size_t i = 0; i < charsets_.size(); ++i) {
    if (charsets_[i] != 'B')
      out += {'\x1b', static_cast<char>('(' + i), charsets_[i]};
  }
  if (shift_ == 1)
    out += kShiftOut;
  else if (shift_ != 0)
    out += shift_ == 2 ? "\x1bn" : "\x1bo";
  if (single_shift_ != 0)
    out += single_shift_ == 2 ? "\x1bN" : "\x1bO";
  return out;
}

std::string ScreenTracker::redo_other_modes() const {
  std::string out;
  for (std::size_t i = 0; i < kModes.size(); ++i) {
    if ((changed_modes_ >> i & 1U) != 0 && !is_of_the_text(kModes[i].number))
      out += private_mode(kModes[i].number, !kModes[i].usual);
  }
  if (keypad_)
    out += "\x1b=";
  if (modified_keys_ != 0)
    out += "\x1b[>4;" + std::to_string(modified_keys_) + "m";
  if (cursor_shape_ != 0)
    out += "\x1b[" + std::to_string(cursor_shape_) + " q";
  for (std::size_t i = 0; i < colours_.size(); ++i) {
    if (!colours_[i].empty())
      out += "\x1b]1" + std::to_string(i) + ';' + colours_[i] + '\x07';
  }
  return out + keyboard().redo();
}

}  // namespace grab::relay
