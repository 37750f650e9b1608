// SPDX-License-Identifier: MIT
#include "cli/words.h"

#include <signal.h>

#include <algorithm>
#include <cctype>
#include <charconv>
#include <cstring>
#include <numeric>
#include <system_error>
#include <vector>

#include "base/text.h"
#include "relay/socket_directory.h"

namespace grab::cli {
namespace {

constexpr const char* kKeyForm = "write it as ^\\ or ^a, or none";
constexpr const char* kSignalForm = "kill -l lists them: TERM, SIGTERM and 15 are the same one";

std::optional<int> to_int(std::string_view digits) {
  int number = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), number);
  if (!all_digits(digits) || error != std::errc{})
    return std::nullopt;
  return number;
}

std::string upper(std::string_view word) {
  std::string out(word);
  std::transform(out.begin(), out.end(), out.begin(),
                 [](unsigned char c) { return static_cast<char>(std::toupper(c)); });
  return out;
}

// RTMIN, RTMIN+3, RTMAX-1; a number past the real-time signals is for the caller to refuse.
std::optional<int> real_time_signal(std::string_view name) {
  const bool from_first = name.starts_with("RTMIN");
  if (!from_first && !name.starts_with("RTMAX"))
    return std::nullopt;
  const std::string_view rest = name.substr(5);
  if (rest.empty())
    return from_first ? SIGRTMIN : SIGRTMAX;
  const std::optional<int> distance = to_int(rest.substr(1));
  if (rest[0] != (from_first ? '+' : '-') || !distance || *distance > SIGRTMAX - SIGRTMIN)
    return std::nullopt;
  return from_first ? SIGRTMIN + *distance : SIGRTMAX - *distance;
}

std::optional<int> named_signal(std::string_view name) {
  for (int signo = 1; signo < SIGRTMIN; ++signo) {
    const char* known = ::sigabbrev_np(signo);
    if (known != nullptr && name == known)
      return signo;
  }
  return real_time_signal(name);
}

int digit_value(char c) {
  if (c >= '0' && c <= '9')
    return c - '0';
  if (c >= 'a' && c <= 'f')
    return c - 'a' + 10;
  return c >= 'A' && c <= 'F' ? c - 'A' + 10 : 16;
}

// The byte of up to `most` digits of `base` at the start of `rest`, which loses them.
std::optional<char> take_number(std::string_view& rest, int base, std::size_t most) {
  std::size_t length = 0;
  int value = 0;
  while (length < std::min(most, rest.size()) && digit_value(rest[length]) < base)
    value = value * base + digit_value(rest[length++]);
  if (length == 0 || value > 0xFF)
    return std::nullopt;
  rest.remove_prefix(length);
  return static_cast<char>(value);
}

// What follows a backslash, which `rest` loses.
std::optional<char> take_escape(std::string_view& rest) {
  constexpr std::string_view kLetters = "rntebafv\\\"'";
  constexpr std::string_view kMeanings = "\r\n\t\x1b\b\a\f\v\\\"'";
  if (rest.empty())
    return std::nullopt;
  if (rest[0] >= '0' && rest[0] <= '7')
    return take_number(rest, 8, 3);
  const char letter = rest[0];
  rest.remove_prefix(1);
  if (letter == 'x')
    return take_number(rest, 16, 2);
  const std::size_t at = kLetters.find(letter);
  return at == std::string_view::npos ? std::nullopt : std::optional(kMeanings[at]);
}

// How many letters have to be put in, left out, or changed to make one word the other.
std::size_t edit_distance(std::string_view from, std::string_view to) {
  std::vector<std::size_t> row(to.size() + 1);
  std::iota(row.begin(), row.end(), std::size_t{0});
  for (std::size_t i = 0; i < from.size(); ++i) {
    std::size_t diagonal = std::exchange(row[0], i + 1);
    for (std::size_t j = 0; j < to.size(); ++j) {
      const std::size_t changed = diagonal + (from[i] == to[j] ? 0U : 1U);
      diagonal = row[j + 1];
      row[j + 1] = std::min({changed, diagonal + 1, row[j] + 1});
    }
  }
  return row.back();
}

}  // namespace

std::string try_help(std::string_view command) {
  return "try grab " + std::string(command) + (command.empty() ? "" : " ") + "--help";
}

tl::unexpected<Error> usage(std::string what, std::string hint) {
  return fail(ErrorKind::kUsage, std::move(what), std::move(hint));
}

std::string in_quotes(std::string_view word) {
  return "\"" + printable(word) + "\"";
}

bool all_digits(std::string_view word) {
  return !word.empty() &&
         std::all_of(word.begin(), word.end(), [](char c) { return c >= '0' && c <= '9'; });
}

Result<pid_t> parse_pid(std::string_view word) {
  if (word.starts_with('-') && all_digits(word.substr(1)))
    return usage(std::string(word) + " is not a process id: they begin at 1");
  if (!all_digits(word))
    return usage(in_quotes(word) + " is not a process id: that is a decimal number");
  long number = 0;
  const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), number);
  if (error != std::errc{} || number > kLargestPid) {
    return usage(std::string(word) + " is not a process id: the largest is " +
                 std::to_string(kLargestPid));
  }
  if (number == 0)
    return usage("0 is not a process id: they begin at 1");
  return static_cast<pid_t>(number);
}

// from_chars also takes "inf" and "nan"; the comparison is false for both.
Result<double> parse_timeout(std::string_view word) {
  double seconds = 0;
  const char* const last = word.data() + word.size();
  const auto [end, error] = std::from_chars(word.data(), last, seconds);
  if (error != std::errc{} || end != last || !(seconds > 0 && seconds <= kLongestTimeout)) {
    return usage("--timeout " + printable(word) +
                 " is not a time: that is a number of seconds, more than 0 and at most 86400");
  }
  return seconds;
}

Result<std::string> parse_name(std::string_view word) {
  Status good = relay::check_name(word);
  if (good)
    return std::string(word);
  good.error().what = in_quotes(word) + " cannot be the name of a tree: " + good.error().what;
  return tl::unexpected(std::move(good).error());
}

Result<std::string> parse_target(std::string_view word) {
  if (all_digits(word)) {
    GRAB_TRY(const pid_t pid, parse_pid(word));
    return std::to_string(pid);
  }
  return parse_name(word);
}

Result<std::optional<unsigned char>> parse_key(std::string_view word) {
  if (word == "none")
    return std::nullopt;
  std::optional<unsigned char> key;
  if (word.size() == 1 && (static_cast<unsigned char>(word[0]) < 0x20 || word[0] == 0x7F))
    key = static_cast<unsigned char>(word[0]);
  if (word.size() == 2 && word[0] == '^') {
    const auto letter = static_cast<unsigned char>(std::toupper(word[1]));
    if ((letter >= '@' && letter <= '_') || letter == '?')
      key = letter ^ 0x40U;
  }
  if (!key)
    return usage(in_quotes(word) + " is not a key that can detach: that is a control character",
                 kKeyForm);
  if (*key == 0x1B)
    return usage("^[ cannot detach: the arrow keys and function keys begin with it", kKeyForm);
  return key;
}

std::string key_name(unsigned char key) {
  return {'^', static_cast<char>(key ^ 0x40U)};
}

Result<int> parse_signal(std::string_view word) {
  if (all_digits(word)) {
    const std::optional<int> number = to_int(word);
    if (!number || *number > SIGRTMAX)
      return usage("there is no signal " + std::string(word), kSignalForm);
    if (*number == 0)
      return usage("0 is no signal that does anything", "grab list says whether a tree lives");
    return *number;
  }
  const std::string name = upper(word);
  const std::optional<int> signo =
      named_signal(name.starts_with("SIG") ? std::string_view(name).substr(3) : name);
  if (!signo)
    return usage("there is no signal " + in_quotes(word), kSignalForm);
  return *signo;
}

Result<std::string> unescape(std::string_view text) {
  std::string out;
  while (!text.empty()) {
    const std::size_t plain = std::min(text.find('\\'), text.size());
    out += text.substr(0, plain);
    text.remove_prefix(plain);
    if (text.empty())
      break;
    std::string_view rest = text.substr(1);
    const std::optional<char> byte = take_escape(rest);
    if (!byte) {
      return usage(in_quotes(text.substr(0, std::min<std::size_t>(text.size(), 2))) +
                       " in the text is not an escape such as \\r, \\t or \\x03",
                   "write \\\\ for a backslash, or use --literal");
    }
    out += *byte;
    text = rest;
  }
  return out;
}

std::string_view nearest_word(std::string_view word, std::span<const std::string_view> known) {
  std::string_view best;
  std::size_t least = word.size() <= 3 ? 2 : 3;  // a distance less than this is near
  for (const std::string_view candidate : known) {
    const std::size_t distance = edit_distance(word, candidate);
    if (distance < least) {
      least = distance;
      best = candidate;
    }
  }
  return best;
}

}  // namespace grab::cli
