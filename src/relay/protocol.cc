// SPDX-License-Identifier: MIT
#include "relay/protocol.h"

#include <algorithm>
#include <cstring>

#include "base/text.h"
#include "relay/fields.h"

namespace grab::relay {
namespace {

constexpr std::string_view kMagic = "grab";
constexpr std::size_t kHelloStart = kMagic.size() + sizeof(std::uint16_t);

/// The least that a Decoder reads: most frames are far smaller.
constexpr std::size_t kReadSize = 4096;

// Failed::kind is an ErrorKind on the wire: its numbers are part of the protocol.
static_assert(static_cast<int>(ErrorKind::kSystem) == 0 && static_cast<int>(ErrorKind::kGone) == 1);
static_assert(static_cast<int>(ErrorKind::kPermission) == 2);
static_assert(static_cast<int>(ErrorKind::kUnsupported) == 3);
static_assert(static_cast<int>(ErrorKind::kRefused) == 4);
static_assert(static_cast<int>(ErrorKind::kTimeout) == 5 &&
              static_cast<int>(ErrorKind::kUsage) == 6);

constexpr std::size_t kSizeBytes = 4 * sizeof(std::uint16_t);
constexpr std::size_t kViewerBytes = 4 + 2 + kMaxTerminal + 1 + kSizeBytes;
constexpr std::size_t kStatusBytes =
    2 + kMaxName + 4 + 2 + kMaxCommand + 8 + kSizeBytes + 1 + 5 + 1 + kMaxViewers * kViewerBytes;
static_assert(kStatusBytes <= kMaxPayload, "the largest Status is one frame");
static_assert(kHelloStart + 2 + kMaxSoftware <= kMaxHelloPayload);

void put_header(char* at, std::size_t payload, std::uint8_t type) {
  for (std::size_t i = 0; i < 4; ++i)
    at[i] = static_cast<char>((payload >> (8 * i)) & 0xFFU);
  at[4] = static_cast<char>(type);
}

std::size_t payload_length(const char* header) {
  std::size_t length = 0;
  for (std::size_t i = 0; i < 4; ++i)
    length |= static_cast<std::size_t>(static_cast<unsigned char>(header[i])) << (8 * i);
  return length;
}

template <class M>
void append_frame(std::string& out, const M& message) {
  const std::size_t begin = out.size();
  out.resize(begin + kHeaderSize);
  if constexpr (Is<M, message::Hello>)
    out.append(kMagic);
  Writer writer(out);
  fields(writer, message);
  put_header(out.data() + begin, out.size() - begin - kHeaderSize, M::kFrame.number);
}

template <class M>
void append_frames(std::string& out, const M& message) {
  if constexpr (Bulk<M>) {
    std::string_view bytes = message.bytes;
    for (; bytes.size() > kMaxPayload; bytes.remove_prefix(kMaxPayload))
      append_frame(out, M{std::string(bytes.substr(0, kMaxPayload))});
    append_frame(out, M{std::string(bytes)});
  } else if constexpr (Parted<M>) {
    constexpr std::size_t kPart = kMaxPayload - 1;  // behind `more`
    std::string_view text = message.text;
    for (; text.size() > kPart; text.remove_prefix(kPart))
      append_frame(out, M{.more = true, .text = std::string(text.substr(0, kPart))});
    append_frame(out, M{.more = message.more, .text = std::string(text)});
  } else {
    append_frame(out, message);
  }
}

/// Reads the payload as the I-th alternative of Message, if `number` is its type.
template <std::size_t I>
bool read_as(std::uint8_t number, Reader& reader, std::optional<Message>& message) {
  using M = std::variant_alternative_t<I, Message>;
  if (M::kFrame.number != number)
    return false;
  M value;
  fields(reader, value);
  reader.finish();
  message = std::move(value);
  return true;
}

std::optional<Message> read_payload(std::uint8_t number, Reader& reader) {
  std::optional<Message> message;
  [&]<std::size_t... I>(std::index_sequence<I...>) {
    (void)(read_as<I>(number, reader, message) || ...);
  }
  (std::make_index_sequence<std::variant_size_v<Message>>());
  return message;
}

const FrameType* find_type(std::uint8_t number) {
  const auto* const found =
      std::find_if(kFrameTypes.begin(), kFrameTypes.end(),
                   [number](const FrameType& type) { return type.number == number; });
  return found == kFrameTypes.end() ? nullptr : found;
}

std::string side_name(Side side) {
  return side == Side::kRelay ? "the relay" : "the viewer";
}

/// A peer's Hello of another version. Its first fields are the same in every version.
Error other_version(Side peer, const message::Hello& hello) {
  const std::string who = side_name(peer);
  const std::string software =
      hello.software.empty() ? std::string("a grab") : printable(hello.software);
  const bool newer = hello.version > kProtocolVersion;
  std::string what = who + " is of " + (newer ? "a newer" : "an older") + " grab (" + software +
                     "): it speaks version " + std::to_string(hello.version) +
                     " of the protocol, this grab speaks version " +
                     std::to_string(kProtocolVersion);
  std::string hint = peer == Side::kRelay
                         ? "use the grab that the relay was started with"
                         : "use the grab that this relay was started with in its place";
  return {ErrorKind::kUnsupported, 0, std::move(what), std::move(hint)};
}

}  // namespace

FrameType frame_type(const Message& message) {
  return kFrameTypes[message.index()];
}

std::string encode(const Message& message) {
  std::string out;
  std::visit([&out](const auto& value) { append_frames(out, value); }, message);
  return out;
}

std::array<char, kHeaderSize> output_header(std::size_t size) {
  std::array<char, kHeaderSize> header{};
  put_header(header.data(), size, message::Output::kFrame.number);
  return header;
}

message::Failed to_failed(const Error& error) {
  return {error.kind, error.message(), error.hint};
}

Error to_error(const message::Failed& failed) {
  return {failed.kind, 0, printable(failed.what), printable(failed.hint)};
}

std::span<char> Decoder::space() {
  if (error_)
    return {};
  if (begin_ > 0) {
    std::memmove(buffer_.data(), buffer_.data() + begin_, end_ - begin_);
    end_ -= begin_;
    begin_ = 0;
  }
  std::size_t wanted = kReadSize;
  if (end_ >= kHeaderSize) {
    const std::size_t frame = kHeaderSize + payload_length(buffer_.data());
    if (frame > kHeaderSize + kMaxPayload || frame <= end_)
      return {};  // next() has something to say
    // Doubled, so that a peer makes us hold no more than twice what it has sent.
    wanted = std::max(kReadSize, std::min(frame, 2 * end_));
  }
  if (buffer_.size() < wanted) {
    buffer_.reserve(wanted);  // resize() alone would reserve more
    buffer_.resize(wanted);
  }
  return std::span(buffer_).subspan(end_);
}

void Decoder::fed(std::size_t n) {
  end_ += n;
}

tl::unexpected<Error> Decoder::fault(const std::string& what) const {
  return fail(ErrorKind::kSystem, side_name(peer_) + " " + what);
}

Result<std::optional<Message>> Decoder::next() {
  if (error_)
    return tl::unexpected(*error_);
  auto decoded = decode();
  if (!decoded) {
    error_ = decoded.error();
    std::vector<char>().swap(buffer_);
    begin_ = end_ = 0;
  }
  return decoded;
}

Result<std::optional<Message>> Decoder::decode() {
  if (end_ - begin_ < kHeaderSize)
    return std::nullopt;
  const char* const header = buffer_.data() + begin_;
  const std::size_t length = payload_length(header);
  const auto number = static_cast<std::uint8_t>(header[4]);
  const FrameType* const type = find_type(number);
  if (!greeted_ && (number != message::Hello::kFrame.number || length > kMaxHelloPayload))
    return fault("does not speak grab's protocol");
  if (type == nullptr)
    return fault("sent a frame of the unknown type " + std::to_string(number));
  const std::string name(type->name);
  if (length > kMaxPayload)
    return fault("sent the frame " + name + " with " + std::to_string(length) +
                 " bytes, where at most " + std::to_string(kMaxPayload) + " are allowed");
  if (greeted_ && type->sender != peer_)
    return fault("sent the frame " + name + ", which it may not send now");
  if (end_ - begin_ < kHeaderSize + length)
    return std::nullopt;

  std::string_view payload(header + kHeaderSize, length);
  message_begin_ = message_end_;
  message_end_ += kHeaderSize + length;
  begin_ += kHeaderSize + length;
  if (!greeted_)
    GRAB_CHECK(check_hello(payload));
  if (!greeted_)
    payload.remove_prefix(kMagic.size());
  greeted_ = true;
  Reader reader(payload);
  std::optional<Message> message = read_payload(number, reader);
  if (!reader.ok())
    return fault("sent the frame " + name + " with " + reader.fault());
  return message;
}

Status Decoder::check_hello(std::string_view payload) const {
  if (payload.size() < kHelloStart || !payload.starts_with(kMagic))
    return fault("does not speak grab's protocol");
  Reader reader(payload.substr(kMagic.size()));
  message::Hello hello;
  fields(reader, hello);
  if (hello.version != kProtocolVersion)
    return tl::unexpected(other_version(peer_, hello));
  return {};
}

}  // namespace grab::relay
