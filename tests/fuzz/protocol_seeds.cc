// SPDX-License-Identifier: MIT
// Writes the seeds of the protocol's corpus into a folder: every message alone, all of each side in
// one stream, each without its payload, a byte too short and a byte too long, a few other faults.
// Run it when a message changes; what libFuzzer found lies beside them.
#include <cstddef>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <map>
#include <string>

#include "relay/protocol.h"
#include "relay/protocol_fixture.h"

namespace {

using namespace grab::relay;

/// The first byte of an input; see protocol_fuzz.cc.
char how(Side peer, bool greeted, unsigned piece) {
  return static_cast<char>((peer == Side::kRelay ? 1U : 0U) | (greeted ? 2U : 0U) | (piece << 2U));
}

/// The frame with its payload cut, or filled up with zeros.
std::string with_payload_of(std::string frame, std::size_t length) {
  frame.resize(kHeaderSize + length);
  frame[0] = static_cast<char>(length & 0xFFU);
  frame[1] = static_cast<char>(length >> 8U);
  return frame;
}

std::map<std::string, std::string> seeds() {
  std::map<std::string, std::string> seeds;
  std::map<Side, std::string> streams;
  for (const Message& message : example_messages()) {
    const Side side = sender_of(message);
    const bool hello = std::holds_alternative<message::Hello>(message);
    std::string name(frame_type(message).name);
    while (seeds.contains(name))
      name += "_";
    const std::string frame = encode(message);
    seeds[name] = how(side, !hello, 0) + frame;
    const std::size_t payload = frame.size() - kHeaderSize;
    seeds["long_" + name] = how(side, !hello, 0) + with_payload_of(frame, payload + 1);
    seeds["empty_" + name] = how(side, !hello, 0) + with_payload_of(frame, 0);
    if (payload > 0)
      seeds["short_" + name] = how(side, !hello, 0) + with_payload_of(frame, payload - 1);
    streams[side] += hello ? "" : encode(message);
  }
  for (const auto& [side, stream] : streams) {
    const std::string name = side == Side::kRelay ? "relay" : "viewer";
    seeds["all_of_" + name] = how(side, true, 7) + stream;
    seeds["greeting_of_" + name] = how(side, false, 1) + hello_frame() + stream;
  }
  const auto add = [&seeds](const char* name, Side peer, bool greeted, const std::string& stream) {
    seeds[name] = how(peer, greeted, 0) + stream;
  };
  namespace m = message;
  add("other_version", Side::kRelay, false, std::string("\x08\0\0\0\0grab\2\0\0\0", 13));
  add("http", Side::kViewer, false, "GET / HTTP/1.1\r\n\r\n");
  add("huge_length", Side::kViewer, true, "\xFF\xFF\xFF\xFF\2" + std::string(5000, 'x'));
  add("bad_boolean", Side::kRelay, true, std::string("\2\0\0\0\x46\0\2", 7));
  add("bad_kind", Side::kRelay, true, encode(m::Failed{.kind = static_cast<grab::ErrorKind>(7)}));
  add("bad_state", Side::kRelay, true,
      encode(m::Status{.state = static_cast<m::Status::State>(3)}));
  add("bad_signal", Side::kViewer, true, encode(m::SignalTree{65}));
  add("bad_key", Side::kViewer, true, encode(m::Attach{.detach_key = 'a'}));
  add("long_text", Side::kRelay, true,
      std::string("\x03\4\0\0\x42\x01\4", 7) + std::string(kMaxSentence + 1, 'x'));
  std::string crowd = encode(m::Status{});
  crowd.back() = static_cast<char>(kMaxViewers + 1);
  const std::size_t one = 4 + 2 + 1 + 8;  // an empty ViewerInfo
  add("many_viewers", Side::kRelay, true,
      with_payload_of(crowd, crowd.size() - kHeaderSize + one * (kMaxViewers + 1)));
  return seeds;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) {
    std::cerr << "protocol_seeds: name the folder\n";
    return 2;
  }
  for (const auto& [name, bytes] : seeds()) {
    std::ofstream file(std::filesystem::path(argv[1]) / name, std::ios::binary);
    file << bytes;
    if (!file.flush())
      return 1;
  }
  return 0;
}
