// SPDX-License-Identifier: MIT
// The protocol, whatever is said and however the socket cuts it: every message comes out as it went
// in; whatever else comes costs no more memory than a bound, is never taken for a message in two
// ways, and ends in one sentence.
#include <rapidcheck.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include "relay/protocol.h"
#include "relay/protocol_fixture.h"

namespace grab::relay {
namespace {

// Drawn by hand and not by gen::build, which takes the compiler minutes for as many types.

bool any_bool() {
  return *rc::gen::arbitrary<bool>();
}
unsigned short any_u16() {
  return *rc::gen::arbitrary<unsigned short>();
}
std::int32_t any_i32() {
  return *rc::gen::arbitrary<std::int32_t>();
}
int below(int end) {
  return *rc::gen::inRange(0, end);
}
WindowSize any_size() {
  return {any_u16(), any_u16(), any_u16(), any_u16()};
}
std::optional<std::int32_t> any_wait_status() {
  return any_bool() ? std::optional(any_i32()) : std::nullopt;
}

/// Of any bytes, mostly short, at times as long as it may be.
std::string any_text(std::size_t limit) {
  auto text = *rc::gen::arbitrary<std::string>();
  return below(10) == 0 ? std::string(limit, 'x') : text.substr(0, limit);
}

Message any_status() {
  message::Status status{.name = any_text(kMaxName),
                         .pid = any_i32(),
                         .process = any_text(kMaxName),
                         .command = any_text(kMaxCommand),
                         .since = *rc::gen::arbitrary<std::int64_t>(),
                         .size = any_size(),
                         .state = static_cast<message::Status::State>(below(3)),
                         .wait_status = any_wait_status()};
  for (int n = below(5); n > 0; --n)
    status.viewers.push_back({any_i32(), any_text(kMaxTerminal), any_bool(), any_size()});
  return status;
}

Message any_attach() {
  const int key = below(34);  // 33: none
  return message::Attach{
      .by_descriptor = any_bool(),
      .read_only = any_bool(),
      .detach_others = any_bool(),
      .size = any_size(),
      .saved_modes = any_text(kMaxModes),
      .detach_key = key == 33 ? std::nullopt
                              : std::optional(static_cast<unsigned char>(key == 32 ? 0x7F : key)),
      .terminal = any_text(kMaxTerminal)};
}

/// One frame of that type with any values.
Message any_of_type(const FrameType& type) {
  namespace m = message;
  switch (type.number) {
    case m::Attach::kFrame.number:
      return any_attach();
    case m::Input::kFrame.number:
      return m::Input{any_text(kMaxPayload)};
    case m::Resize::kFrame.number:
      return m::Resize{any_size()};
    case m::Resume::kFrame.number:
      return m::Resume{any_size()};
    case m::SendText::kFrame.number:
      return m::SendText{any_bool(), any_text(kMaxPayload - 1)};
    case m::SignalTree::kFrame.number:
      return m::SignalTree{1 + below(64)};
    case m::Status::kFrame.number:
      return any_status();
    case m::Output::kFrame.number:
      return m::Output{any_text(kMaxPayload)};
    case m::Notice::kFrame.number:
      return m::Notice{any_text(kMaxSentence)};
    case m::Detached::kFrame.number:
      return m::Detached{any_text(kMaxSentence), any_text(kMaxTyped)};
    case m::Ended::kFrame.number:
      return m::Ended{any_wait_status(), any_bool()};
    case m::ScreenText::kFrame.number:
      return m::ScreenText{any_bool(), any_text(kMaxPayload - 1)};
    case m::TreeText::kFrame.number:
      return m::TreeText{any_bool(), any_text(kMaxPayload - 1)};
    case m::Failed::kFrame.number:
      return m::Failed{static_cast<ErrorKind>(below(7)), any_text(kMaxSentence),
                       any_text(kMaxSentence)};
    default:  // those without fields
      for (const Message& message : example_messages()) {
        if (frame_type(message).number == type.number)
          return message;
      }
      RC_FAIL("a type without an example");
  }
}

/// Any that the viewer, or the relay, may send after Hello, each of which is one frame.
Message any_message(Side sender) {
  std::vector<FrameType> types;
  std::copy_if(kFrameTypes.begin(), kFrameTypes.end(), std::back_inserter(types),
               [sender](const FrameType& type) { return type.sender == sender; });
  return any_of_type(types[static_cast<std::size_t>(below(static_cast<int>(types.size())))]);
}

Side any_side() {
  return any_bool() ? Side::kViewer : Side::kRelay;
}

constexpr std::size_t kMostHeld = kHeaderSize + kMaxPayload;

/// Whatever the decoder takes for a message is the only way to say it.
void check_faithful(const std::string& stream, const std::vector<Message>& messages) {
  std::string again;
  for (const Message& message : messages)
    again += encode(message);
  RC_ASSERT(stream.starts_with(again));
}

RC_GTEST_PROP(ProtocolProperty, AnyMessagesCutAnywhereComeOutAsTheyWentIn, ()) {
  const Side side = any_side();
  std::vector<Message> said;
  std::string stream = hello_frame();
  for (int n = below(8); n > 0; --n) {
    said.push_back(any_message(side));
    stream += encode(said.back());
  }
  Decoder decoder(side);
  std::vector<Message> heard;
  for (std::string_view rest = stream; !rest.empty();) {
    // Long streams by single bytes would only take long.
    const auto few = static_cast<std::size_t>(1 + below(any_bool() ? 8 : 100'000));
    const auto piece = std::min(std::max(few, stream.size() / 500), rest.size());
    Decoded decoded = decode_in_pieces(decoder, rest.substr(0, piece), piece);
    rest.remove_prefix(piece);
    RC_ASSERT(!decoded.error);
    RC_ASSERT(decoded.most_held <= kMostHeld);
    std::move(decoded.messages.begin(), decoded.messages.end(), std::back_inserter(heard));
  }
  RC_ASSERT(!decoder.in_frame());
  RC_ASSERT(heard.size() == said.size() + 1);
  RC_ASSERT(std::equal(said.begin(), said.end(), heard.begin() + 1));
}

RC_GTEST_PROP(ProtocolProperty, AnyBytesCostNoMoreThanABoundAndMeanOneThing, ()) {
  const Side side = any_side();
  const std::string stream = (any_bool() ? hello_frame() : "") + *rc::gen::arbitrary<std::string>();
  Decoder decoder(side);
  const auto piece = static_cast<std::size_t>(1 + below(5000));
  const Decoded decoded = decode_in_pieces(decoder, stream, piece);
  RC_ASSERT(!decoded.stuck && decoded.most_held <= kMostHeld);
  check_faithful(stream, decoded.messages);
}

RC_GTEST_PROP(ProtocolProperty, AMessageWithBytesChangedIsAnotherMessageOrAFault, ()) {
  const Side side = any_side();
  std::string stream = hello_frame() + encode(any_message(side));
  for (int n = 1 + below(4); n > 0; --n)
    stream[static_cast<std::size_t>(below(static_cast<int>(stream.size())))] =
        *rc::gen::arbitrary<char>();
  Decoder decoder(side);
  const Decoded decoded = decode_in_pieces(decoder, stream, 4096);
  RC_ASSERT(decoded.most_held <= kMostHeld);
  RC_ASSERT(!decoded.error || decoded.error->what.find('\n') == std::string::npos);
  check_faithful(stream, decoded.messages);
}

}  // namespace
}  // namespace grab::relay
