// SPDX-License-Identifier: MIT
// The fields of every message, once, for both directions: fields(io, message) names them in the
// order in which they lie in the payload; io is a Writer, which appends them, or a Reader, which
// takes them out again and accepts no other encoding than the Writer's.
#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "relay/protocol.h"

namespace grab::relay {

/// Little-endian integers; booleans of 0 and 1; strings behind their u16 length.
class Writer {
 public:
  explicit Writer(std::string& out) : out_(out) {}

  template <std::integral T>
  void number(const T& value) {
    const auto bits = static_cast<std::make_unsigned_t<T>>(value);
    for (std::size_t i = 0; i < sizeof bits; ++i)
      out_.push_back(static_cast<char>((bits >> (8 * i)) & 0xFFU));
  }
  void boolean(const bool& value) { out_.push_back(value ? '\1' : '\0'); }
  template <class T>
  void enumeration(const T& value, T /*last*/) {
    number(static_cast<std::uint8_t>(value));
  }
  void text(const std::string& value, std::size_t limit) {
    const std::string_view kept = std::string_view(value).substr(0, limit);
    number(static_cast<std::uint16_t>(kept.size()));
    out_.append(kept);
  }
  /// What is left of the payload.
  void rest(const std::string& value) { out_.append(value); }
  template <class T>
  void count(const std::vector<T>& values, std::size_t limit, auto&& each) {
    const std::size_t n = values.size() < limit ? values.size() : limit;
    number(static_cast<std::uint8_t>(n));
    for (std::size_t i = 0; i < n; ++i)
      each(values[i]);
  }
  void require(bool /*holds*/, const char* /*what*/) {}

 private:
  std::string& out_;
};

class Reader {
 public:
  explicit Reader(std::string_view payload) : rest_(payload) {}

  template <std::integral T>
  void number(T& value) {
    using Bits = std::make_unsigned_t<T>;
    const std::string_view bytes = take(sizeof(Bits));
    Bits bits = 0;
    for (std::size_t i = 0; i < bytes.size(); ++i)
      bits = static_cast<Bits>(
          bits |
          static_cast<Bits>(static_cast<Bits>(static_cast<unsigned char>(bytes[i])) << (8 * i)));
    value = static_cast<T>(bits);
  }
  void boolean(bool& value) {
    std::uint8_t byte = 0;
    number(byte);
    require(byte <= 1, "a boolean that is neither 0 nor 1");
    value = byte == 1;
  }
  template <class T>
  void enumeration(T& value, T last) {
    std::uint8_t byte = 0;
    number(byte);
    require(byte <= static_cast<std::uint8_t>(last), "a value that means nothing");
    value = static_cast<T>(byte);
  }
  void text(std::string& value, std::size_t limit) {
    std::uint16_t length = 0;
    number(length);
    require(length <= limit, "too long a string");
    if (ok())
      value = take(length);
  }
  void rest(std::string& value) { value = take(rest_.size()); }
  template <class T>
  void count(std::vector<T>& values, std::size_t limit, auto&& each) {
    std::uint8_t n = 0;
    number(n);
    require(n <= limit, "too many entries");
    for (std::size_t i = 0; i < n && ok(); ++i)
      each(values.emplace_back());
  }
  void require(bool holds, const char* what) {
    if (!holds && fault_ == nullptr)
      fault_ = what;
  }

  [[nodiscard]] bool ok() const { return fault_ == nullptr; }
  /// What is wrong, for "a frame with ..."; null where all is right.
  [[nodiscard]] const char* fault() const { return fault_; }
  void finish() { require(rest_.empty(), "bytes behind its end"); }

 private:
  std::string_view take(std::size_t n) {
    require(n <= rest_.size(), "its end missing");
    if (!ok())
      return {};
    const std::string_view taken = rest_.substr(0, n);
    rest_.remove_prefix(n);
    return taken;
  }

  std::string_view rest_;
  const char* fault_ = nullptr;
};

/// M is T, or const T.
template <class M, class T>
concept Is = std::same_as<std::remove_const_t<M>, T>;

template <class Io, class Optional>
void optional_number(Io& io, Optional& value) {
  bool there = value.has_value();
  io.boolean(there);
  if (!there)
    return;
  auto number = value.value_or(0);
  io.number(number);
  if constexpr (!std::is_const_v<Optional>)
    value = number;
}

template <class Io, Is<WindowSize> M>
void fields(Io& io, M& size) {
  io.number(size.rows);
  io.number(size.columns);
  io.number(size.x_pixels);
  io.number(size.y_pixels);
}

template <class Io, Is<message::Hello> M>
void fields(Io& io, M& m) {
  io.number(m.version);
  io.text(m.software, kMaxSoftware);
}

template <class Io, Is<message::Attach> M>
void fields(Io& io, M& m) {
  io.boolean(m.by_descriptor);
  io.boolean(m.read_only);
  io.boolean(m.detach_others);
  fields(io, m.size);
  io.text(m.saved_modes, kMaxModes);
  optional_number(io, m.detach_key);
  io.require(m.detach_key.value_or(0) < 0x20 || m.detach_key == 0x7F,
             "a detach key that is no control character");
  io.text(m.terminal, kMaxTerminal);
}

/// Messages that are bytes to the end of their payload.
template <class M>
concept Bulk = Is<M, message::Input> || Is<M, message::Output>;
template <class Io, Bulk M>
void fields(Io& io, M& m) {
  io.rest(m.bytes);
}

/// Messages that are text to the end of their payload, and may go on in the next one.
template <class M>
concept Parted = Is<M, message::SendText> || Is<M, message::ScreenText> || Is<M, message::TreeText>;
template <class Io, Parted M>
void fields(Io& io, M& m) {
  io.boolean(m.more);
  io.rest(m.text);
}

template <class M>
concept Sized = Is<M, message::Resize> || Is<M, message::Resume>;
template <class Io, Sized M>
void fields(Io& io, M& m) {
  fields(io, m.size);
}

template <class M>
concept Bare = std::is_empty_v<std::remove_const_t<M>>;
template <class Io, Bare M>
void fields(Io& /*io*/, M& /*m*/) {}

template <class Io, Is<message::SignalTree> M>
void fields(Io& io, M& m) {
  io.number(m.signo);
  io.require(m.signo >= 1 && m.signo <= 64, "no signal's number");
}

template <class Io, Is<message::Status> M>
void fields(Io& io, M& m) {
  io.text(m.name, kMaxName);
  io.number(m.pid);
  io.text(m.process, kMaxName);
  io.text(m.command, kMaxCommand);
  io.number(m.since);
  fields(io, m.size);
  io.enumeration(m.state, message::Status::State::kEnded);
  optional_number(io, m.wait_status);
  io.count(m.viewers, kMaxViewers, [&io](auto& viewer) {
    io.number(viewer.pid);
    io.text(viewer.terminal, kMaxTerminal);
    io.boolean(viewer.read_only);
    fields(io, viewer.size);
  });
}

template <class Io, Is<message::Notice> M>
void fields(Io& io, M& m) {
  io.text(m.text, kMaxSentence);
}

template <class Io, Is<message::Detached> M>
void fields(Io& io, M& m) {
  io.text(m.why, kMaxSentence);
  io.text(m.typed, kMaxTyped);
}

template <class Io, Is<message::Ended> M>
void fields(Io& io, M& m) {
  optional_number(io, m.wait_status);
  io.boolean(m.moved_away);
}

template <class Io, Is<message::Failed> M>
void fields(Io& io, M& m) {
  io.enumeration(m.kind, ErrorKind::kUsage);
  io.text(m.what, kMaxSentence);
  io.text(m.hint, kMaxSentence);
}

}  // namespace grab::relay
