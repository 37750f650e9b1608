// SPDX-License-Identifier: MIT
// Writes the seeds of the protocol's corpus into a folder: every message alone, all of each side in
// one stream, a few faults. Run it when a message changes; what libFuzzer found lies beside them.
#include <algorithm>
#include <cctype>
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

std::map<std::string, std::string> seeds() {
  std::map<std::string, std::string> seeds;
  std::map<Side, std::string> streams;
  for (const Message& message : example_messages()) {
    const Side side = sender_of(message);
    const bool hello = std::holds_alternative<message::Hello>(message);
    std::string name(frame_type(message).name);
    while (seeds.contains(name))
      name += "_";
    seeds[name] = how(side, !hello, 0) + encode(message);
    streams[side] += hello ? "" : encode(message);
  }
  for (const auto& [side, stream] : streams) {
    const std::string name = side == Side::kRelay ? "relay" : "viewer";
    seeds["all_of_" + name] = how(side, true, 7) + stream;
    seeds["greeting_of_" + name] = how(side, false, 1) + hello_frame() + stream;
  }
  seeds["other_version"] =
      how(Side::kRelay, false, 0) + std::string("\x08\0\0\0\0grab\2\0\0\0", 13);
  seeds["huge_length"] = how(Side::kViewer, true, 0) + std::string("\xFF\xFF\xFF\xFF\2", 5);
  seeds["http"] = how(Side::kViewer, false, 0) + std::string("GET / HTTP/1.1\r\n\r\n");
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
