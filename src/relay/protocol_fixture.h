// SPDX-License-Identifier: MIT
// For the tests of the protocol: a message of every type, and a stream cut into pieces on its way
// through a Decoder.
#pragma once

#include <algorithm>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "relay/protocol.h"

namespace grab::relay {

/// What a Decoder made of a stream.
struct Decoded {
  std::vector<Message> messages;
  std::optional<Error> error;
  std::size_t most_held = 0;  ///< bytes of memory
  bool stuck = false;         ///< it wanted no more bytes, and had nothing to say
};

/// Hands the stream over in pieces of `piece` bytes at most, as a socket may.
inline Decoded decode_in_pieces(Decoder& decoder, std::string_view stream, std::size_t piece) {
  Decoded decoded;
  while (!stream.empty() && !decoded.error) {
    const auto space = decoder.space();
    if (space.empty()) {
      decoded.stuck = true;
      break;
    }
    const std::size_t n = std::min({piece, space.size(), stream.size()});
    std::copy_n(stream.begin(), n, space.begin());
    decoder.fed(n);
    stream.remove_prefix(n);
    decoded.most_held = std::max(decoded.most_held, decoder.held());
    for (;;) {
      auto message = decoder.next();
      if (!message)
        decoded.error = message.error();
      if (!message || !message->has_value())
        break;
      decoded.messages.push_back(std::move(**message));
    }
  }
  return decoded;
}

/// At least one message of each type, each field with a value that is not its default in one of
/// them; Hello is first.
inline std::vector<Message> example_messages() {
  using State = message::Status::State;
  const WindowSize size{24, 80, 640, 384};
  return {
      message::Hello{.software = "grab 0.1.0"},
      message::Attach{.by_descriptor = true,
                      .read_only = true,
                      .detach_others = true,
                      .size = size,
                      .saved_modes = std::string("\0\5\0\0", 4),
                      .detach_key = 0x1C,
                      .terminal = "/dev/pts/3"},
      message::Attach{},
      message::Input{"ls\r"},
      message::Resize{size},
      message::Pause{},
      message::Resume{size},
      message::AskStatus{},
      message::SendText{.more = true, .text = "make "},
      message::SendText{.more = false, .text = "test\n"},
      message::Peek{},
      message::AwaitEnd{},
      message::SignalTree{15},
      message::DetachViewers{},
      message::AskTree{},
      message::Status{.name = "make.4711",
                      .pid = 4711,
                      .process = "4711 (make)",
                      .command = "make -j2",
                      .since = 1'700'000'000,
                      .size = size,
                      .state = State::kEnded,
                      .wait_status = 0x0100,
                      .viewers = {{4712, "/dev/pts/3", true, size}}},
      message::Status{.name = "a", .pid = 2, .state = State::kStopped},
      message::Output{"\x1B[1mhello\r\n"},
      message::Notice{"moved 3 processes"},
      message::Paused{},
      message::Suspended{},
      message::Detached{.why = "by grab detach", .typed = {}},
      message::Detached{.why = {}, .typed = "ls\r"},
      message::Ended{.wait_status = 9, .moved_away = false},
      message::Ended{.wait_status = std::nullopt, .moved_away = true},
      message::ScreenText{.more = false, .text = "$ make\n"},
      message::Done{},
      message::Failed{.kind = ErrorKind::kGone, .what = "it has ended", .hint = "see grab list"},
      message::TreeText{.more = false, .text = "4711 815\n"},
  };
}

inline std::string hello_frame() {
  return encode(message::Hello{.software = "grab 0.1.0"});
}

/// The side from which a Decoder expects this message.
inline Side sender_of(const Message& message) {
  const Side sender = frame_type(message).sender;
  return sender == Side::kBoth ? Side::kViewer : sender;
}

}  // namespace grab::relay
