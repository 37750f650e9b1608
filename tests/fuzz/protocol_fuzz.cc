// SPDX-License-Identifier: MIT
// Any bytes on a relay's socket, for libFuzzer and for replay.cc. The first byte says how they
// come: bit 0 who is the peer, bit 1 whether a right Hello has come before, the others how many
// bytes a read returns (0: all). What must hold: no memory beyond the bound, each message the only
// reading of its bytes, the same messages however the bytes are cut, silence after a fault.
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>
#include <variant>

#include "relay/protocol.h"
#include "relay/protocol_fixture.h"

namespace {

using grab::relay::Decoded;
using grab::relay::Decoder;
using grab::relay::Message;
using grab::relay::Side;

void require(bool holds, const char* what) {
  if (holds)
    return;
  (void)std::fprintf(stderr, "protocol_fuzz: %s\n", what);
  std::abort();
}

void check(Side peer, const std::string& stream, std::size_t piece) {
  Decoder decoder(peer);
  const Decoded decoded = grab::relay::decode_in_pieces(decoder, stream, piece);
  require(!decoded.stuck, "neither room for more nor a message nor a fault");
  require(decoded.most_held <= grab::relay::kHeaderSize + grab::relay::kMaxPayload,
          "more memory than for one frame");
  std::string again;
  for (const Message& message : decoded.messages) {
    again += grab::relay::encode(message);
    if (const auto* failed = std::get_if<grab::relay::message::Failed>(&message))
      require(failed->kind <= grab::ErrorKind::kUsage, "a kind of error that there is not");
    if (const auto* status = std::get_if<grab::relay::message::Status>(&message))
      require(status->state <= grab::relay::message::Status::State::kEnded, "a state there is not");
  }
  require(std::string_view(stream).starts_with(again), "a message that is sent in other bytes");
  require(again.size() == decoder.message_end() || decoded.error.has_value(),
          "frames of another length than was taken");

  Decoder at_once(peer);
  const Decoded same = grab::relay::decode_in_pieces(at_once, stream, stream.size());
  require(same.messages == decoded.messages, "other messages when the bytes come at once");
  require(same.error.has_value() == decoded.error.has_value(), "another fault then");
  if (!decoded.error)
    return;
  require(same.error->what == decoded.error->what, "another sentence then");
  const auto after = decoder.next();
  require(!after && after.error().what == decoded.error->what, "something after a fault");
  require(decoder.space().empty(), "room for more after a fault");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0)
    return 0;
  const Side peer = (data[0] & 1U) != 0 ? Side::kRelay : Side::kViewer;
  std::string stream = (data[0] & 2U) != 0 ? grab::relay::hello_frame() : std::string();
  stream.append(data + 1, data + size);
  const std::size_t piece = data[0] >> 2U;
  check(peer, stream, piece == 0 ? stream.size() : piece);
  return 0;
}
