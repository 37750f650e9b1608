// SPDX-License-Identifier: MIT
#include "relay/protocol.h"

#include <algorithm>
#include <charconv>
#include <fstream>
#include <limits>
#include <map>
#include <set>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "relay/connection.h"
#include "relay/fields.h"
#include "relay/protocol_fixture.h"

namespace grab::relay {
namespace {

using testing::HasSubstr;

std::string frame(std::size_t length, std::uint8_t type, std::string_view payload) {
  std::string out;
  Writer writer(out);
  writer.number(static_cast<std::uint32_t>(length));
  writer.number(type);
  return out + std::string(payload);
}
std::string frame(std::uint8_t type, std::string_view payload) {
  return frame(payload.size(), type, payload);
}

/// What a peer of that side gets for its Hello and then this.
Decoded decode_after_hello(Side peer, const std::string& stream) {
  Decoder decoder(peer);
  Decoded decoded = decode_in_pieces(decoder, hello_frame() + stream, 4096);
  if (!decoded.messages.empty())
    decoded.messages.erase(decoded.messages.begin());
  return decoded;
}

/// The sentence that the peer is refused with.
std::string fault_of(Side peer, const std::string& stream) {
  const Decoded decoded = decode_after_hello(peer, stream);
  EXPECT_TRUE(decoded.messages.empty());
  return decoded.error ? decoded.error->what : "no fault";
}

TEST(Protocol, GivesEveryMessageBackAsItWas) {
  for (const Message& message : example_messages()) {
    SCOPED_TRACE(frame_type(message).name);
    Decoder decoder(sender_of(message));
    std::string stream = encode(message);
    if (!std::holds_alternative<message::Hello>(message))
      stream.insert(0, hello_frame());
    const Decoded decoded = decode_in_pieces(decoder, stream, 1);
    ASSERT_FALSE(decoded.error) << decoded.error->what;
    EXPECT_EQ(decoded.messages.back(), message);
    EXPECT_FALSE(decoder.in_frame());
    EXPECT_EQ(decoder.message_end(), stream.size());
  }
}

TEST(Protocol, HasAnExampleAndANumberOfItsOwnForEveryType) {
  std::set<std::uint8_t> numbers, of_examples;
  for (const FrameType& type : kFrameTypes)
    EXPECT_TRUE(numbers.insert(type.number).second) << type.name;
  for (const Message& message : example_messages())
    of_examples.insert(frame_type(message).number);
  EXPECT_EQ(numbers, of_examples);
}

TEST(Protocol, GivesNothingForHalfAFrameAndTheMessageForTheOtherHalf) {
  const std::string stream = hello_frame() + encode(message::Notice{"moved"});
  for (std::size_t cut = 0; cut < stream.size(); ++cut) {
    Decoder decoder(Side::kRelay);
    const Decoded before = decode_in_pieces(decoder, stream.substr(0, cut), 4096);
    EXPECT_FALSE(before.error);
    EXPECT_EQ(before.messages.size(), cut < hello_frame().size() ? 0U : 1U);
    EXPECT_EQ(decoder.in_frame(), cut != 0 && cut != hello_frame().size());
    const Decoded after = decode_in_pieces(decoder, stream.substr(cut), 4096);
    ASSERT_FALSE(after.messages.empty());
    EXPECT_EQ(after.messages.back(), Message{message::Notice{"moved"}});
  }
}

TEST(Protocol, CutsLongBytesAndTextsIntoFramesThatAreTakenTogetherAgain) {
  const std::string text(3 * kMaxPayload + 17, 'x');
  const auto together = [&](Side side, const Message& message) {
    std::string all;
    for (const Message& part : decode_after_hello(side, encode(message)).messages) {
      bool more = true;
      if (const auto* output = std::get_if<message::Output>(&part))
        all += output->bytes;
      if (const auto* input = std::get_if<message::Input>(&part))
        all += input->bytes;
      if (const auto* sent = std::get_if<message::SendText>(&part))
        all += sent->text, more = sent->more;
      if (const auto* shown = std::get_if<message::ScreenText>(&part))
        all += shown->text, more = shown->more;
      if (const auto* tree = std::get_if<message::TreeText>(&part))
        all += tree->text, more = tree->more;
      if (frame_type(message).number == message::SendText::kFrame.number ||
          frame_type(message).number == message::TreeText::kFrame.number ||
          frame_type(message).number == message::ScreenText::kFrame.number) {
        EXPECT_EQ(more, all.size() < text.size());
      }
    }
    return all;
  };
  EXPECT_EQ(together(Side::kRelay, message::Output{text}), text);
  EXPECT_EQ(together(Side::kViewer, message::Input{text}), text);
  EXPECT_EQ(together(Side::kViewer, message::SendText{.text = text}), text);
  EXPECT_EQ(together(Side::kRelay, message::ScreenText{.text = text}), text);
  EXPECT_EQ(together(Side::kRelay, message::TreeText{.text = text}), text);
}

TEST(Protocol, SendsOutputBehindAHeaderWithoutCopyingIt) {
  const auto header = output_header(kMaxPayload);
  const std::string bytes(kMaxPayload, 'x');
  EXPECT_EQ(std::string(header.data(), header.size()) + bytes, encode(message::Output{bytes}));
}

TEST(Protocol, CutsWhatAForeignProgramCallsItselfSoThatItAlwaysFits) {
  message::Status status;
  status.name.assign(100'000, 'n');
  status.command.assign(1'000'000, 'c');
  status.viewers.assign(1000, {1, std::string(1000, 't'), false, {}});
  const Decoded decoded = decode_after_hello(Side::kRelay, encode(status));
  ASSERT_EQ(decoded.messages.size(), 1U);
  const auto& got = std::get<message::Status>(decoded.messages[0]);
  EXPECT_EQ(got.name.size(), kMaxName);
  EXPECT_EQ(got.command.size(), kMaxCommand);
  ASSERT_EQ(got.viewers.size(), kMaxViewers);
  EXPECT_EQ(got.viewers.back().terminal.size(), kMaxTerminal);
}

TEST(Protocol, RefusesWhoeverDoesNotBeginWithHello) {
  for (const std::string& stream :
       {std::string("GET / HTTP/1.1\r\n\r\n"), std::string(64, '\0'), std::string(64, '\xFF'),
        encode(message::AskStatus{}), frame(0, "grab"), frame(0, "gr"), frame(0, "grub\1\0\0\0"),
        frame(kMaxHelloPayload + 1, 0, "")}) {
    Decoder decoder(Side::kViewer);
    const Decoded decoded = decode_in_pieces(decoder, stream, 4096);
    ASSERT_TRUE(decoded.error);
    EXPECT_EQ(decoded.error->what, "the viewer does not speak grab's protocol");
    EXPECT_TRUE(decoded.messages.empty());
  }
}

std::string hello_of_version(std::uint16_t version, std::string_view software) {
  std::string payload = "grab";
  Writer writer(payload);
  writer.number(version);
  writer.text(std::string(software), kMaxSoftware);
  return frame(0, payload + "what later versions may add");
}

TEST(Protocol, TellsAnOlderAndANewerPeerApartAndWhatToDo) {
  const auto error_for = [](Side peer, const std::string& hello) {
    Decoder decoder(peer);
    const Decoded decoded = decode_in_pieces(decoder, hello, 4096);
    EXPECT_TRUE(decoded.messages.empty());
    return decoded.error.value_or(Error{});
  };
  const Error newer = error_for(Side::kRelay, hello_of_version(7, "grab 3.0\x1B[31m"));
  EXPECT_EQ(newer.kind, ErrorKind::kUnsupported);
  EXPECT_EQ(
      newer.what,
      "the relay is of a newer grab (grab 3.0?[31m): it speaks version 7 of the protocol, this "
      "grab speaks version 1");
  EXPECT_EQ(newer.hint, "use the grab that the relay was started with");
  const Error older = error_for(Side::kViewer, hello_of_version(0, ""));
  EXPECT_THAT(older.what, HasSubstr("the viewer is of an older grab (a grab)"));
  EXPECT_THAT(older.hint, HasSubstr("the grab that this relay was started with"));
}

TEST(Protocol, RefusesASecondHello) {
  EXPECT_EQ(fault_of(Side::kRelay, hello_frame()),
            "the relay sent the frame Hello, which it may not send now");
}

TEST(Protocol, RefusesWhatOnlyTheOtherSideMaySend) {
  for (const Message& message : example_messages()) {
    const Side other = sender_of(message) == Side::kViewer ? Side::kRelay : Side::kViewer;
    EXPECT_THAT(fault_of(other, encode(message)), HasSubstr("may not send now"))
        << frame_type(message).name;
  }
}

TEST(Protocol, RefusesUnknownTypesBeforeTheirPayloadCame) {
  EXPECT_EQ(fault_of(Side::kViewer, frame(1000, 200, "")),
            "the viewer sent a frame of the unknown type 200");
}

TEST(Protocol, RefusesHugeLengthsBeforeTheirPayloadCameAndWithoutMemoryForIt) {
  Decoder decoder(Side::kViewer);
  for (const std::size_t length : {kMaxPayload + 1, std::size_t{0xFFFFFFFF}}) {
    const auto fault = fault_of(Side::kViewer, frame(length, message::Input::kFrame.number, ""));
    EXPECT_EQ(fault, "the viewer sent the frame Input with " + std::to_string(length) +
                         " bytes, where at most 65536 are allowed");
  }
  const Decoded decoded =
      decode_in_pieces(decoder, hello_frame() + frame(kMaxPayload, 2, std::string(5000, 'x')), 100);
  EXPECT_FALSE(decoded.error);
  EXPECT_LE(decoded.most_held, 3 * 5000U) << "memory is taken for what came, not for what may come";
}

TEST(Protocol, HoldsOneFrameAtMost) {
  std::string stream = hello_frame();
  for (int i = 0; i < 20; ++i)
    stream += encode(message::Input{std::string(kMaxPayload, 'x')});
  Decoder decoder(Side::kViewer);
  const Decoded decoded = decode_in_pieces(decoder, stream, 1'000'000);
  EXPECT_EQ(decoded.messages.size(), 21U);
  EXPECT_LE(decoded.most_held, kHeaderSize + kMaxPayload);
}

TEST(Protocol, RefusesBytesBehindTheEndOfAMessageAndAMissingEnd) {
  for (const Message& message : example_messages()) {
    const FrameType type = frame_type(message);
    const std::string payload = encode(message).substr(kHeaderSize);
    const bool to_the_end = std::holds_alternative<message::Input>(message) ||
                            std::holds_alternative<message::Output>(message) ||
                            std::holds_alternative<message::SendText>(message) ||
                            std::holds_alternative<message::TreeText>(message) ||
                            std::holds_alternative<message::ScreenText>(message);
    if (to_the_end || type.sender == Side::kBoth)
      continue;
    SCOPED_TRACE(type.name);
    EXPECT_EQ(fault_of(type.sender, frame(type.number, payload + '\0')),
              (type.sender == Side::kRelay ? "the relay" : "the viewer") +
                  (" sent the frame " + std::string(type.name)) + " with bytes behind its end");
    for (std::size_t n = 0; n < payload.size(); ++n)
      EXPECT_NE(fault_of(type.sender, frame(type.number, payload.substr(0, n))), "no fault") << n;
  }
}

TEST(Protocol, AcceptsOneEncodingOfEachValueOnly) {
  EXPECT_THAT(fault_of(Side::kRelay, frame(70, std::string("\0\2", 2))), HasSubstr("a boolean"));
  EXPECT_THAT(fault_of(Side::kRelay, frame(70, "\xFF")), HasSubstr("a boolean"));
  EXPECT_THAT(fault_of(Side::kRelay, frame(73, std::string("\7\0\0\0\0", 5))),
              HasSubstr("means nothing"));
  EXPECT_THAT(fault_of(Side::kRelay, encode(message::Failed{.kind = static_cast<ErrorKind>(7)})),
              HasSubstr("means nothing"));
  EXPECT_THAT(fault_of(Side::kViewer, encode(message::SignalTree{0})), HasSubstr("signal"));
  EXPECT_THAT(fault_of(Side::kViewer, encode(message::SignalTree{65})), HasSubstr("signal"));
  EXPECT_THAT(fault_of(Side::kViewer, encode(message::SignalTree{-1})), HasSubstr("signal"));
  EXPECT_THAT(fault_of(Side::kViewer, encode(message::Attach{.detach_key = 'a'})),
              HasSubstr("control character"));
  for (const int key : {0, 0x1F, 0x7F}) {
    const auto attach = message::Attach{.detach_key = static_cast<unsigned char>(key)};
    EXPECT_FALSE(decode_after_hello(Side::kViewer, encode(attach)).error) << key;
  }
}

TEST(Protocol, RefusesStringsAndListsBeyondTheirBound) {
  std::string text;
  Writer(text).text(std::string(kMaxSentence + 1, 'x'), kMaxSentence + 1);
  EXPECT_THAT(fault_of(Side::kRelay, frame(66, text)), HasSubstr("too long a string"));
  std::string list = encode(message::Status{}).substr(kHeaderSize);
  list.back() = static_cast<char>(kMaxViewers + 1);
  EXPECT_THAT(fault_of(Side::kRelay, frame(64, list)), HasSubstr("too many entries"));
}

TEST(Protocol, GivesNothingMoreAfterAFault) {
  Decoder decoder(Side::kViewer);
  Decoded decoded = decode_in_pieces(decoder, hello_frame() + frame(200, ""), 4096);
  ASSERT_TRUE(decoded.error);
  EXPECT_TRUE(decoder.space().empty());
  EXPECT_EQ(decoder.next().error().what, decoded.error->what);
  EXPECT_EQ(decoder.held(), 0U);
}

TEST(Protocol, PassesAnErrorOnWithoutTheControlBytesOfForeignPrograms) {
  const Error error = to_error(to_failed(from_errno(ESRCH, "kill of \x1B[2J")));
  EXPECT_EQ(error.kind, ErrorKind::kGone);
  EXPECT_EQ(error.message(), "kill of ?[2J: No such process");
}

// --- docs/protocol.md ---

/// Writes down which fields a message has, in the words of docs/protocol.md.
class Describer {
 public:
  template <std::integral T>
  void number(const T& /*value*/) {
    add((std::is_signed_v<T> ? "i" : "u") + std::to_string(8 * sizeof(T)));
  }
  void boolean(const bool& /*value*/) { add("bool"); }
  template <class T>
  void enumeration(const T& /*value*/, T last) {
    add("enum(" + std::to_string(static_cast<int>(last)) + ")");
  }
  void text(const std::string& /*value*/, std::size_t limit) {
    add("text(" + std::to_string(limit) + ")");
  }
  void rest(const std::string& /*value*/) { add("rest"); }
  template <class T>
  void count(const std::vector<T>& values, std::size_t limit, auto&& each) {
    add("list(" + std::to_string(limit) + ")");
    if (!values.empty())
      each(values.front());
  }
  void require(bool /*holds*/, const char* /*what*/) {}
  [[nodiscard]] const std::string& fields() const { return fields_; }

 private:
  void add(const std::string& field) { fields_ += (fields_.empty() ? "" : " ") + field; }
  std::string fields_;
};

/// The fields of the first, that is the fullest, example of each type.
std::map<std::string, std::string> fields_of_types() {
  std::map<std::string, std::string> all;
  for (const Message& message : example_messages()) {
    Describer describer;
    std::visit([&](const auto& value) { fields(describer, value); }, message);
    std::string line = describer.fields();
    for (std::size_t at = 0; (at = line.find("u16 u16 u16 u16", at)) != std::string::npos;)
      line.replace(at, 15, "size");
    all.emplace(frame_type(message).name, line);
  }
  return all;
}

std::vector<std::string> lines_of_document() {
  std::ifstream file(GRAB_DOCS "/protocol.md");
  EXPECT_TRUE(file) << GRAB_DOCS "/protocol.md";
  std::vector<std::string> lines;
  for (std::string line; std::getline(file, line);)
    lines.push_back(line);
  return lines;
}

std::string trimmed(std::string text) {
  std::erase(text, '`');
  const std::size_t begin = text.find_first_not_of(' ');
  return begin == std::string::npos ? ""
                                    : text.substr(begin, text.find_last_not_of(' ') - begin + 1);
}

/// The rows of every table with that many columns, cells trimmed and without backquotes.
std::vector<std::vector<std::string>> rows_of_document(std::size_t columns) {
  std::vector<std::vector<std::string>> rows;
  for (const std::string& line : lines_of_document()) {
    if (!line.starts_with("| "))
      continue;
    std::vector<std::string> cells;
    std::istringstream rest(line.substr(1));
    for (std::string cell; std::getline(rest, cell, '|');)
      cells.push_back(trimmed(cell));
    if (cells.size() == columns)
      rows.push_back(cells);
  }
  return rows;
}

TEST(ProtocolDocument, NamesEveryFrameWithItsNumberItsSenderAndItsFields) {
  std::vector<std::string> documented, real;
  for (const auto& row : rows_of_document(5)) {  // type, name, from, fields, meaning
    if (row[0] == "type")
      continue;
    std::string types;  // the first word of each field; the second is its name
    std::istringstream list(row[3]);
    for (std::string field; std::getline(list, field, ',');) {
      const std::string name = trimmed(field);
      types += (types.empty() ? "" : " ") + name.substr(0, name.find(' '));
    }
    documented.push_back(row[0] + " " + row[1] + " " + row[2] + ": " + types);
  }
  const auto fields = fields_of_types();
  for (const FrameType& type : kFrameTypes) {
    const std::map<Side, std::string> senders = {
        {Side::kBoth, "both"}, {Side::kViewer, "viewer"}, {Side::kRelay, "relay"}};
    real.push_back(std::to_string(type.number) + " " + std::string(type.name) + " " +
                   senders.at(type.sender) + ": " + fields.at(std::string(type.name)));
  }
  EXPECT_EQ(documented, real);
}

TEST(ProtocolDocument, GivesBytesOfEveryFrameThatAreWhatIsSent) {
  std::set<std::string> shown;
  for (const auto& row : rows_of_document(2)) {  // name, bytes in hexadecimal
    const auto type = std::find_if(kFrameTypes.begin(), kFrameTypes.end(),
                                   [&](const FrameType& one) { return one.name == row[0]; });
    if (type == kFrameTypes.end())
      continue;
    SCOPED_TRACE(row[0]);
    std::string bytes;
    std::istringstream list(row[1]);
    for (std::string hex; list >> hex;)
      bytes.push_back(static_cast<char>(std::stoi(hex, nullptr, 16)));
    Decoder decoder(type->sender == Side::kRelay ? Side::kRelay : Side::kViewer);
    const bool greets = type->sender == Side::kBoth;
    const Decoded decoded =
        decode_in_pieces(decoder, greets ? bytes : hello_frame() + bytes, bytes.size());
    ASSERT_FALSE(decoded.error) << decoded.error->what;
    EXPECT_EQ(encode(decoded.messages.back()), bytes);
    EXPECT_EQ(frame_type(decoded.messages.back()).name, row[0]);
    shown.insert(row[0]);
  }
  EXPECT_EQ(shown.size(), kFrameTypes.size());
}

TEST(ProtocolDocument, GivesTheBoundsThatHold) {
  std::map<std::string, std::size_t> documented;
  for (const auto& row : rows_of_document(3)) {  // bound, bytes, what happens beyond it
    std::size_t value = 0;
    if (std::from_chars(row[1].data(), row[1].data() + row[1].size(), value).ec == std::errc())
      documented[row[0]] = value;
  }
  const std::map<std::string, std::size_t> real = {
      {"version", kProtocolVersion},
      {"header", kHeaderSize},
      {"payload", kMaxPayload},
      {"payload of Hello", kMaxHelloPayload},
      {"time to the first request", kGreetPatienceMs},
      {"connections", kMaxConnections},
      {"output that a viewer has not read", Connection::kOutputBound},
      {"all that a peer has not read", Connection::kMaxQueued},
  };
  for (const auto& [name, value] : real)
    EXPECT_EQ(documented[name], value) << name;
}

}  // namespace
}  // namespace grab::relay
