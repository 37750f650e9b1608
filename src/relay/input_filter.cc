// SPDX-License-Identifier: MIT
// What libvterm does is what 0.1.4 was seen to do.
#include "relay/input_filter.h"

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <cstring>
#include <vector>

#include "relay/controls.h"
#include "relay/emulator.h"
#include "relay/utf8.h"

namespace grab::relay {
namespace {

constexpr std::size_t kMaxHeld = 1024;        // longer than any control sequence in use
constexpr unsigned kLargestParameter = 9999;  // libvterm repeats a tab as often as it is told
constexpr std::size_t kMaxParameters = 16;    // libvterm writes more than these behind its array

constexpr const char* kSoftReset =
    "\x1b"
    "7\x1b[?6l\x1b[?69l\x1b[r\x1b"
    "8\x1b[4l\x1b[?7h\x1b[m\x1b"
    "7";

bool is_final(char byte) {
  return byte >= 0x40 && byte <= 0x7e;
}

// A control sequence at the front of some bytes.
struct ControlSequence {
  std::size_t size = 0;
  enum class Kind {
    kUnfinished,
    kWhole,
    kMixed,   ///< whole, with control characters in it, which are carried out before it
    kBroken,  ///< what follows does not belong there: nothing but the former comes of it
  } kind = Kind::kUnfinished;
};

ControlSequence control_sequence(std::string_view bytes) {
  using Kind = ControlSequence::Kind;
  bool mixed = false;
  for (std::size_t i = 2; i < bytes.size(); ++i) {
    const auto byte = static_cast<unsigned char>(bytes[i]);
    if (is_final(bytes[i]))
      return {i + 1, mixed ? Kind::kMixed : Kind::kWhole};
    if (byte == 0x1b || byte == 0x18 || byte == 0x1a || byte >= 0x80)
      return {i, Kind::kBroken};
    mixed |= byte < 0x20 || byte == 0x7f;
  }
  return {bytes.size(), Kind::kUnfinished};
}

constexpr bool is_shift(char byte) {
  return byte == kShiftOut || byte == kShiftIn;
}

// The first byte that is ESC, SO, SI or not ASCII.
std::size_t next_special(std::string_view bytes, std::size_t at) {
  constexpr std::uint64_t kOnes = 0x0101010101010101, kHigh = 0x8080808080808080;
  for (; at + 8 <= bytes.size(); at += 8) {
    std::uint64_t word = 0;
    std::memcpy(&word, bytes.data() + at, 8);
    const std::uint64_t escapes = word ^ (kOnes * kEsc);
    const std::uint64_t shifts = (word & ~kOnes) ^ (kOnes * kShiftOut);
    const std::uint64_t found = ((escapes - kOnes) & ~escapes) | ((shifts - kOnes) & ~shifts);
    if (((word | found) & kHigh) != 0)
      break;
  }
  while (at < bytes.size() && bytes[at] != kEsc && !is_shift(bytes[at]) && (bytes[at] & 0x80) == 0)
    ++at;
  return at;
}

bool is_control(char byte) {
  return static_cast<unsigned char>(byte) < 0x20 || byte == 0x7f;
}

std::size_t text_end(std::string_view bytes, std::size_t at) {
  while (at < bytes.size() && is_printable(bytes[at]))
    ++at;
  return at;
}

std::size_t next_printable(std::string_view bytes, std::size_t at) {
  while (at < bytes.size() && !is_printable(bytes[at]))
    ++at;
  return at;
}

// The size of the escape sequence at the front that is no control sequence; 0 if it is not all
// there.
std::size_t escape_size(std::string_view bytes) {
  for (std::size_t i = 1; i < bytes.size(); ++i) {
    if (bytes[i] < 0x20 || bytes[i] > 0x2f)
      return bytes[i] < 0x20 || bytes[i] > 0x7e ? i : i + 1;
  }
  return 0;
}

bool is_unfinished(std::string_view sequence) {
  if (sequence.size() > 1 && sequence[1] == '[')
    return control_sequence(sequence).kind == ControlSequence::Kind::kUnfinished;
  return escape_size(sequence) == 0;
}

// Escape sequences that libvterm does not get to see.
bool is_exceptional_escape(std::string_view sequence) {
  if (sequence.size() == 2)
    return std::string_view("cnoNO]PX^_").find(sequence[1]) != std::string_view::npos;
  return sequence.size() == 3 && sequence[1] >= '(' && sequence[1] <= '+';
}

std::vector<std::string_view> split(std::string_view text, char at) {
  std::vector<std::string_view> parts;
  for (;;) {
    const std::size_t end = text.find(at);
    parts.push_back(text.substr(0, end));
    if (end == std::string_view::npos)
      return parts;
    text.remove_prefix(end + 1);
  }
}

unsigned number(std::string_view text) {
  unsigned value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc::result_out_of_range ? kLargestParameter
                                                 : std::min(value, kLargestParameter);
}

// The parameters of an SGR sequence, one group after the other, as libvterm understands them.
class SgrTranslator {
 public:
  explicit SgrTranslator(const Style& pen)
      : font_(((pen.flags & kFaint) != 0 ? kFaintFont : 0) |
              ((pen.flags & kConceal) != 0 ? kConcealFont : 0)) {}

  std::string translate(std::string_view parameters) {
    const auto all = split(parameters, ';');
    for (std::size_t i = 0; i < all.size(); ++i)
      i += take(all, i);
    return out_;
  }

 private:
  // Returns how many parameters behind all[i] belong to it.
  std::size_t take(const std::vector<std::string_view>& all, std::size_t i) {
    const auto sub = split(all[i], ':');
    const unsigned value = number(sub[0]);
    const bool is_colour = value == 38 || value == 48 || value == 58;
    if (is_colour && sub.size() > 1) {
      colour_of_subparameters(value, sub);
    } else if (is_colour) {
      const unsigned kind = i + 1 < all.size() ? number(all[i + 1]) : 0;
      const std::size_t arguments = kind == 2 ? 4 : kind == 5 ? 2 : 0;
      if (arguments == 0 || i + arguments >= all.size())
        return all.size();  // nobody knows what follows
      colour(value, {all.begin() + static_cast<std::ptrdiff_t>(i) + 1,
                     all.begin() + static_cast<std::ptrdiff_t>(i + arguments) + 1});
      return arguments;
    } else {
      attribute(value, all[i]);
    }
    return 0;
  }

  void colour_of_subparameters(unsigned which, const std::vector<std::string_view>& sub) {
    const unsigned kind = number(sub[1]);
    if (kind == 5 && sub.size() >= 3)
      colour(which, {sub[1], sub[2]});
    else if (kind == 2 && sub.size() == 5)
      colour(which, {sub[1], sub[2], sub[3], sub[4]});
    else if (kind == 2 && sub.size() >= 6)  // with a colour space
      colour(which, {sub[1], sub[3], sub[4], sub[5]});
  }

  void colour(unsigned which, const std::vector<std::string_view>& arguments) {
    if (which == 58)
      return;  // the colour of underlines is not kept
    std::string group = std::to_string(which);
    for (const std::string_view argument : arguments)
      group += ';' + std::to_string(number(argument));
    emit(group);
  }

  void attribute(unsigned value, std::string_view text) {
    switch (value) {
      case 0:
        font_ = 0;
        emit("0");
        break;
      case 2:
        font(font_ | kFaintFont);
        break;
      case 8:
        font(font_ | kConcealFont);
        break;
      case 22:
        emit("22");
        font(font_ & ~kFaintFont);
        break;
      case 28:
        font(font_ & ~kConcealFont);
        break;
      default:
        if (value < 10 || value > 19)
          emit(value == 4 ? std::string(text) : std::to_string(value));
    }
  }

  void font(int font) {
    font_ = font;
    emit(std::to_string(10 + font));
  }
  void emit(const std::string& group) { out_ += "\x1b[" + group + 'm'; }

  int font_;
  std::string out_;
};

// Whether SGR parameters must be looked at one by one.
bool is_plain_sgr(std::string_view parameters) {
  std::size_t count = 1, digits = 0;
  bool suspicious = false;
  for (std::size_t i = 0; i <= parameters.size(); ++i) {
    const char byte = i < parameters.size() ? parameters[i] : ';';
    if (byte == ';') {
      const std::string_view one = parameters.substr(i - digits, digits);
      suspicious |= one == "2" || one == "8" || one == "02" || one == "22" || one == "28" ||
                    one == "58" || digits > 3 || (digits == 2 && one[0] == '1');
      ++count;
      digits = 0;
    } else {
      suspicious |= byte < '0' || byte > '9';
      ++digits;
    }
  }
  return !suspicious && count <= kMaxParameters;
}

bool are_numbers(std::string_view parameters) {
  return parameters.find_first_not_of("0123456789;:") == std::string_view::npos;
}

// REP. More than fills the screen makes no difference.
std::string repeat(const Emulator& to, unsigned count) {
  std::string glyph, out;
  for (const char32_t code : to.last_glyph())
    append_utf8(glyph, code);
  const unsigned cells = static_cast<unsigned>(to.rows()) * static_cast<unsigned>(to.columns());
  for (count = std::min(count, cells); count > 0; --count)
    out += glyph;
  return out;
}

bool has_large_number(std::string_view parameters) {
  std::size_t digits = 0;
  for (const char byte : parameters) {
    digits = byte >= '0' && byte <= '9' ? digits + 1 : 0;
    if (digits > 4)
      return true;
  }
  return false;
}

bool is_exceptional(std::string_view sequence) {
  const std::string_view parameters = sequence.substr(2, sequence.size() - 3);
  const char final = sequence.back();
  if (final == 'm' && (parameters.empty() || parameters[0] < 0x3c))
    return !is_plain_sgr(parameters);
  if ((parameters == "!" && final == 'p') || (parameters == "?5" && final == 'W'))
    return true;
  if (final == 'b' && are_numbers(parameters))
    return true;
  if ((final == 's' || final == 'u') && parameters.empty())
    return true;
  if ((final == 'h' || final == 'l') && (parameters.find(';') != std::string_view::npos ||
                                         parameters.find("47") != std::string_view::npos))
    return true;
  const auto separators = std::count_if(parameters.begin(), parameters.end(),
                                        [](char byte) { return byte == ';' || byte == ':'; });
  return has_large_number(parameters) || separators >= static_cast<std::ptrdiff_t>(kMaxParameters);
}

// libvterm takes the first of several modes only, and does not know 47.
std::string translate_modes(std::string_view parameters, char final) {
  const bool is_private = parameters.starts_with('?');
  if (is_private)
    parameters.remove_prefix(1);
  std::string out;
  for (const std::string_view one : split(parameters, ';')) {
    const unsigned mode = number(one);
    out += is_private ? "\x1b[?" : "\x1b[";
    out += std::to_string(is_private && mode == 47 ? 1047 : mode) + final;
  }
  return out;
}

// Other sequences: numbers are bounded, and so is how many there are.
std::string translate_numbers(std::string_view sequence) {
  std::string out = "\x1b[";
  std::size_t count = 1;
  for (std::size_t i = 2; i < sequence.size(); ++i) {
    const std::size_t start = i;
    while (sequence[i] >= '0' && sequence[i] <= '9')
      ++i;
    if (i != start && count <= kMaxParameters)
      out += std::to_string(number(sequence.substr(start, i - start)));
    const bool separates = sequence[i] == ';' || sequence[i] == ':';
    count += separates ? 1 : 0;
    if (!separates || count <= kMaxParameters)
      out += sequence[i];
  }
  return out;
}

// DECST8C.
std::string usual_tab_stops(const Emulator& to) {
  std::string out = "\x1b[3g\r";
  for (int column = 8; column < to.columns(); column += 8)
    out += "\x1b[8C\x1bH";
  out += '\r';
  if (to.cursor().column != 0)
    out += "\x1b[" + std::to_string(to.cursor().column) + 'C';
  return out;
}

std::string translate_sequence(std::string_view sequence, const Emulator& to) {
  if (!is_exceptional(sequence))
    return std::string(sequence);
  const std::string_view parameters = sequence.substr(2, sequence.size() - 3);
  const char final = sequence.back();
  if (final == 'm' && (parameters.empty() || parameters[0] < 0x3c))
    return SgrTranslator(to.pen()).translate(parameters);
  if (final == 'h' || final == 'l')
    return translate_modes(parameters, final);
  if (parameters == "!" && final == 'p')  // DECSTR, which libvterm ignores but for margins
    return kSoftReset;
  if (final == 'W')
    return usual_tab_stops(to);
  if (parameters.empty() && final == 's')
    return "\x1b"
           "7";
  if (parameters.empty() && final == 'u')
    return "\x1b"
           "8";
  if (final == 'b' && are_numbers(parameters))
    return repeat(to, std::max(number(parameters), 1U));
  return translate_numbers(sequence);
}

}  // namespace

void InputFilter::feed(std::string_view bytes, Emulator& to) {
  std::string joined;
  if (!held_.empty()) {
    joined = held_.append(bytes);
    bytes = joined;
  }
  const std::size_t end = complete_end(bytes);
  held_ = bytes.substr(end);
  bytes = bytes.substr(0, end);
  while (!bytes.empty()) {
    if (string_kind_ != 0) {
      bytes.remove_prefix(take_string(bytes, to));
      continue;
    }
    const Exception found = next_exception(bytes);
    if (found.begin != 0)
      to.write(bytes.substr(0, found.begin));
    if (found.begin != found.end)
      to.write(translate(bytes.substr(found.begin, found.end - found.begin), to));
    bytes.remove_prefix(found.end);
  }
}

// Strings are not for the screen, but that libvterm answers DECRQSS. It carries control characters
// in them out, which terminals do not. Returns how many bytes belong to the string.
std::size_t InputFilter::take_string(std::string_view bytes, Emulator& to) {
  const std::size_t end = std::min(
      bytes.find_first_of(string_kind_ == ']' ? "\x1b\x18\x1a\x07" : "\x1b\x18\x1a"), bytes.size());
  string_ += bytes.substr(0, std::min(end, kMaxString - string_.size()));
  if (end == bytes.size())
    return end;
  const bool ends_well = bytes[end] == kEsc && end + 1 < bytes.size() && bytes[end + 1] == '\\';
  if (string_kind_ == 'P' && ends_well && string_.starts_with("$q"))
    to.write("\x1bP" + string_ + "\x1b\\");
  string_kind_ = 0;
  if (bytes[end] == kEsc)
    return ends_well ? end + 2 : end;
  return end + 1;
}

std::size_t InputFilter::complete_end(std::string_view bytes) {
  const std::size_t recent = bytes.size() - std::min(bytes.size(), kMaxHeld);
  const std::size_t escape = bytes.rfind(kEsc);
  if (escape != std::string_view::npos && escape >= recent) {
    const std::string_view sequence = bytes.substr(escape);
    if (is_unfinished(sequence))
      return escape;
  }
  return bytes.size() - unfinished_utf8(bytes);
}

InputFilter::Exception InputFilter::next_exception(std::string_view bytes) const {
  const bool plain = charsets_.are_plain();
  for (std::size_t at = 0;;) {
    const std::size_t special = next_special(bytes, at);
    const std::size_t text = plain ? special : next_printable(bytes, at);
    if (text < special)
      return {text, charsets_.single_shift_waits() ? text + 1 : text_end(bytes, text)};
    at = special;
    if (at == bytes.size())
      return {at, at};
    const std::string_view rest = bytes.substr(at);
    if (rest[0] == kEsc && rest.size() > 1 && rest[1] == '[') {
      const auto [size, kind] = control_sequence(rest);
      if (kind != ControlSequence::Kind::kWhole || is_exceptional(rest.substr(0, size)))
        return {at, at + size};
      at += size;
    } else if (rest[0] == kEsc) {
      const std::size_t size = std::max<std::size_t>(escape_size(rest), 1);
      if (size == 1 || is_exceptional_escape(rest.substr(0, size)))
        return {at, at + size};
      at += size;
    } else if (is_shift(rest[0])) {
      return {at, at + 1};
    } else {
      const Utf8Character character = utf8_character(rest);
      const bool is_c1 = character.code >= 0x80 && character.code < 0xa0;
      if (!character.valid || is_c1)
        return {at, at + character.size};
      at += character.size;
    }
  }
}

std::string InputFilter::translate(std::string_view bytes, const Emulator& to) {
  if (is_shift(bytes[0])) {
    charsets_.shift(bytes[0] == kShiftOut ? 1 : 0);
    return "";
  }
  if (bytes[0] != kEsc) {
    if (is_printable(bytes[0]))
      return charsets_.translate(bytes);
    return utf8_character(bytes).valid ? "" : "\xef\xbf\xbd";
  }
  if (bytes.size() == 1)  // what follows makes no sequence
    return "";
  if (bytes[1] != '[')
    return translate_escape(bytes);
  const ControlSequence::Kind kind = control_sequence(bytes).kind;
  if (kind == ControlSequence::Kind::kWhole) {
    if (bytes.ends_with("!p"))  // DECSTR
      charsets_.reset();
    return translate_sequence(bytes, to);
  }
  std::string controls, sequence = "\x1b[";
  for (const char byte : bytes.substr(2)) {
    if (is_shift(byte))
      charsets_.shift(byte == kShiftOut ? 1 : 0);
    else
      (is_control(byte) ? controls : sequence) += byte;
  }
  return kind == ControlSequence::Kind::kMixed ? controls + translate(sequence, to) : controls;
}

std::string InputFilter::translate_escape(std::string_view sequence) {
  switch (sequence[1]) {
    case 'c':  // libvterm stays on the alternate screen, and keeps the saved cursor
      charsets_.reset();
      return "\x1b[?1047l\x1b"
             "c\x1b"
             "7";
    case 'n':
    case 'o':
      charsets_.shift(sequence[1] == 'n' ? 2 : 3);
      return "";
    case ']':
    case 'P':
    case 'X':
    case '^':
    case '_':
      string_kind_ = sequence[1];
      string_.clear();
      return "";
    case 'N':
    case 'O':
      charsets_.single_shift(sequence[1] == 'N' ? 2 : 3);
      return "";
    default:
      charsets_.designate(static_cast<std::size_t>(sequence[1] - '('), sequence[2]);
      return "";
  }
}

}  // namespace grab::relay
