// SPDX-License-Identifier: MIT
// What libvterm does is what 0.1.4 was seen to do.
#include "relay/input_filter.h"

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <cstring>
#include <vector>

#include "relay/emulator.h"
#include "relay/utf8.h"

namespace grab::relay {
namespace {

constexpr char kEsc = '\x1b';
constexpr std::size_t kMaxHeld = 256;         // longer than any control sequence in use
constexpr unsigned kLargestParameter = 9999;  // libvterm repeats a tab as often as it is told
constexpr std::size_t kMaxParameters = 16;    // libvterm's

bool is_final(char byte) {
  return byte >= 0x40 && byte <= 0x7e;
}

// Where the control sequence at the front of `bytes` ends; 0 if it is not all there; npos if there
// is a byte in it that does not belong there (libvterm sees to those).
std::size_t control_sequence_end(std::string_view bytes) {
  for (std::size_t i = 2; i < bytes.size(); ++i) {
    if (is_final(bytes[i]))
      return i + 1;
    if (bytes[i] < 0x20 || bytes[i] > 0x3f)
      return std::string_view::npos;
  }
  return 0;
}

// The first byte that is ESC or not ASCII.
std::size_t next_special(std::string_view bytes, std::size_t at) {
  constexpr std::uint64_t kOnes = 0x0101010101010101, kHigh = 0x8080808080808080;
  for (; at + 8 <= bytes.size(); at += 8) {
    std::uint64_t word = 0;
    std::memcpy(&word, bytes.data() + at, 8);
    const std::uint64_t escapes = word ^ (kOnes * 0x1b);
    if (((word | ((escapes - kOnes) & ~escapes)) & kHigh) != 0)
      break;
  }
  while (at < bytes.size() && bytes[at] != kEsc && (bytes[at] & 0x80) == 0)
    ++at;
  return at;
}

struct Parameter {
  std::string_view text;              // with its subparameters
  std::vector<std::string_view> sub;  // the text split at ':'
};

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
  if ((final == 's' || final == 'u') && parameters.empty())
    return true;
  if ((final == 'h' || final == 'l') && parameters.starts_with('?') &&
      parameters.find("47") != std::string_view::npos)
    return true;
  return parameters.size() > 4 &&
         (has_large_number(parameters) || std::count(parameters.begin(), parameters.end(), ';') >=
                                              static_cast<std::ptrdiff_t>(kMaxParameters));
}

// Other sequences than SGR: numbers are bounded, and so is how many there are; 47 becomes 1047.
std::string translate_numbers(std::string_view sequence) {
  std::string out = "\x1b[";
  const bool is_private = sequence[2] == '?';
  std::size_t count = 1;
  for (std::size_t i = 2; i < sequence.size(); ++i) {
    const std::size_t start = i;
    while (sequence[i] >= '0' && sequence[i] <= '9')
      ++i;
    if (i != start && count <= kMaxParameters) {
      const unsigned value = number(sequence.substr(start, i - start));
      out += std::to_string(is_private && value == 47 ? 1047 : value);
    }
    const bool separates = sequence[i] == ';' || sequence[i] == ':';
    count += separates ? 1 : 0;
    if (!separates || count <= kMaxParameters)
      out += sequence[i];
  }
  return out;
}

}  // namespace

std::size_t InputFilter::complete_end(std::string_view bytes) {
  const std::size_t recent = bytes.size() - std::min(bytes.size(), kMaxHeld);
  const std::size_t escape = bytes.rfind(kEsc);
  if (escape != std::string_view::npos && escape >= recent) {
    const std::string_view sequence = bytes.substr(escape);
    if (sequence.size() == 1 || (sequence[1] == '[' && control_sequence_end(sequence) == 0))
      return escape;
  }
  return bytes.size() - unfinished_utf8(bytes);
}

InputFilter::Exception InputFilter::next_exception(std::string_view bytes) {
  for (std::size_t at = 0;;) {
    at = next_special(bytes, at);
    if (at == bytes.size())
      return {at, at};
    if (bytes[at] != kEsc) {
      const Utf8Character character = utf8_character(bytes.substr(at));
      const bool is_c1 = character.code >= 0x80 && character.code < 0xa0;
      if (!character.valid || is_c1)
        return {at, at + character.size};
      at += character.size;
    } else if (at + 1 < bytes.size() && bytes[at + 1] == '[') {
      const std::size_t size = control_sequence_end(bytes.substr(at));
      if (size == 0 || size == std::string_view::npos)
        at += 2;
      else if (is_exceptional(bytes.substr(at, size)))
        return {at, at + size};
      else
        at += size;
    } else {
      ++at;
    }
  }
}

std::string InputFilter::translate(std::string_view bytes, const Style& pen) {
  if (bytes[0] != kEsc)
    return utf8_character(bytes).valid ? "" : "\xef\xbf\xbd";
  const std::string_view parameters = bytes.substr(2, bytes.size() - 3);
  if (bytes.back() == 'm' && (parameters.empty() || parameters[0] < 0x3c))
    return SgrTranslator(pen).translate(parameters);
  if (parameters.empty() && bytes.back() == 's')
    return "\x1b"
           "7";
  if (parameters.empty() && bytes.back() == 'u')
    return "\x1b"
           "8";
  return translate_numbers(bytes);
}

}  // namespace grab::relay
