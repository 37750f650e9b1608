// SPDX-License-Identifier: MIT
// The kitty protocol's form is  CSI code[:shifted[:base]] ; modifiers[:event] [; text] u,
// where modifiers is 1 + a sum of shift 1, alt 2, ctrl 4, super 8, hyper 16, meta 32, caps lock 64
// and num lock 128, and event is 1 for a press, 2 for a repeat, 3 for a release.
#include "relay/detach_key.h"

#include <algorithm>
#include <utility>

#include "relay/controls.h"

namespace grab::relay {
namespace {

// The key that is pressed together with control: the letter, or the sign, of the caret syntax.
int code_point(unsigned char key) {
  const int sign = key ^ 0x40;
  return sign >= 'A' && sign <= 'Z' ? sign + ('a' - 'A') : sign;
}

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

// The number at the front of `text`, which is taken off; nothing where there is none.
std::optional<unsigned> take_number(std::string_view& text) {
  if (text.empty() || !is_digit(text.front()))
    return std::nullopt;
  unsigned value = 0;
  for (; !text.empty() && is_digit(text.front()); text.remove_prefix(1))
    value = std::min(value * 10 + static_cast<unsigned>(text.front() - '0'), 9999U);
  return value;
}

bool take(std::string_view& text, char c) {
  if (text.empty() || text.front() != c)
    return false;
  text.remove_prefix(1);
  return true;
}

void take_all_of(std::string_view& text, std::string_view characters) {
  text.remove_prefix(std::min(text.find_first_not_of(characters), text.size()));
}

// Control, and no other modifier. The locks do not count.
bool is_control(unsigned modifiers) {
  constexpr unsigned kControl = 4, kLocks = 64 | 128;
  return modifiers > 0 && ((modifiers - 1) & ~kLocks) == kControl;
}

}  // namespace

DetachKey::DetachKey(std::optional<unsigned char> key) {
  if (!key)
    return;
  key_ = static_cast<char>(*key);
  code_ = std::to_string(code_point(*key));
}

bool DetachKey::leaves_alone(std::string_view bytes) const {
  if (!key_)
    return true;
  return !pressed_ && sequence_.empty() && bytes.find(*key_) == std::string_view::npos &&
         bytes.find(kEsc) == std::string_view::npos;
}

DetachKey::Verdict DetachKey::typed(std::string_view bytes) {
  Verdict verdict;
  if (!key_) {
    verdict.passed = bytes;
    return verdict;
  }
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    typed_byte(bytes[i], verdict);
    if (verdict.detaches) {
      verdict.behind += bytes.substr(i + 1);
      sequence_.clear();
      pressed_ = false;
      return verdict;
    }
  }
  // The escape key, and Alt-[, are keys that nobody may wait for. A program that gets the key in
  // its kitty form has asked for it, and then neither comes alone.
  if (sequence_.size() <= 2 && !pressed_) {
    pass(std::string_view(sequence_).substr(passed_on_), verdict);
    passed_on_ = sequence_.size();
  }
  return verdict;
}

void DetachKey::typed_byte(char byte, Verdict& verdict) {
  if (sequence_.empty()) {
    passed_on_ = 0;
    if (byte == *key_)
      press(verdict, false), verdict.passed.append(pressed_ ? "" : std::string(1, byte));
    else if (byte == kEsc)
      sequence_ = byte;
    else
      pass({&byte, 1}, verdict);
    return;
  }
  sequence_ += byte;
  const Match found = match();
  if (found == Match::kPossible)
    return;
  const std::string sequence = std::exchange(sequence_, {});
  const std::string_view held = std::string_view(sequence).substr(passed_on_);
  if (found == Match::kNo) {
    pass(held.substr(0, held.size() - 1), verdict);
    if (verdict.detaches)
      verdict.behind += byte;
    else
      typed_byte(byte, verdict);
  } else if (found == Match::kPress) {
    press(verdict, true);
    if (!pressed_)
      verdict.passed += held;
  } else if (!pressed_) {
    verdict.passed += held;
  }
}

// Another key than the detach key.
void DetachKey::pass(std::string_view bytes, Verdict& verdict) const {
  if (bytes.empty())
    return;
  if (pressed_)
    verdict.detaches = true, verdict.behind += bytes;
  else
    verdict.passed += bytes;
}

void DetachKey::press(Verdict& verdict, bool by_sequence) {
  pressed_ = !pressed_;
  by_sequence_ = by_sequence;
  verdict.began = pressed_;
}

// A sequence that was begun meanwhile was no second press either.
DetachKey::Verdict DetachKey::deadline() {
  Verdict verdict;
  if (!std::exchange(pressed_, false))
    return verdict;
  verdict.detaches = true;
  verdict.behind = std::exchange(sequence_, {});
  return verdict;
}

std::optional<char> DetachKey::awaited_byte() const {
  return pressed_ && !by_sequence_ ? key_ : std::nullopt;
}

DetachKey::Match DetachKey::match() const {
  std::string_view text = sequence_;
  if (text.size() > kMaxHeld || !take(text, kEsc))
    return Match::kNo;
  if (text.empty())
    return Match::kPossible;
  if (!take(text, '['))
    return Match::kNo;
  if (text.size() <= code_.size())
    return code_.starts_with(text) ? Match::kPossible : Match::kNo;
  if (!text.starts_with(code_) || is_digit(text[code_.size()]))
    return Match::kNo;
  text.remove_prefix(code_.size());
  if (text.front() == ':')
    take_all_of(text, ":0123456789");
  if (text.empty())
    return Match::kPossible;
  if (!take(text, ';'))
    return Match::kNo;
  const std::optional<unsigned> modifiers = take_number(text);
  std::optional<unsigned> event = 1;
  if (take(text, ':'))
    event = take_number(text);
  if (take(text, ';'))
    take_all_of(text, ":0123456789");
  if (text.empty())
    return Match::kPossible;
  if (text != "u" || !modifiers || !is_control(*modifiers))
    return Match::kNo;
  return event == 1U ? Match::kPress : Match::kRepeatOrRelease;
}

}  // namespace grab::relay
