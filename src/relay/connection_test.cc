// SPDX-License-Identifier: MIT
#include "relay/connection.h"

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <cstring>
#include <filesystem>
#include <iterator>
#include <string>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "relay/protocol_fixture.h"

namespace grab::relay {
namespace {

using testing::HasSubstr;

constexpr int kPatienceMs = 10'000;

struct Pair {
  UniqueFd relay, viewer;
};
Pair sockets() {
  std::array<int, 2> fds{};
  EXPECT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds.data()), 0);
  return {UniqueFd(fds[0]), UniqueFd(fds[1])};
}

/// Two that have said Hello.
struct Ends {
  explicit Ends(Pair pair = sockets())
      : relay(std::move(pair.relay), Side::kViewer), viewer(std::move(pair.viewer), Side::kRelay) {
    EXPECT_TRUE(relay.send(message::Hello{.software = "grab 0.1.0"}));
    EXPECT_TRUE(exchange_hello(viewer, "grab 0.1.0", kPatienceMs));
    EXPECT_TRUE(await_message(relay, kPatienceMs));
  }
  Connection relay, viewer;
};

/// A relay's end that has got Hello, and a bare socket, to misbehave on.
struct Misbehaving {
  explicit Misbehaving(Pair pair = sockets())
      : relay(std::move(pair.relay), Side::kViewer), viewer(std::move(pair.viewer)) {
    send(hello_frame(), {});
    EXPECT_TRUE(await_message(relay, kPatienceMs));
  }
  void send(const std::string& bytes, const std::vector<int>& descriptors) const {
    iovec part{const_cast<char*>(bytes.data()), bytes.size()};
    std::vector<char> control(CMSG_SPACE(descriptors.size() * sizeof(int)));
    msghdr header{};
    header.msg_iov = &part;
    header.msg_iovlen = 1;
    if (!descriptors.empty()) {
      header.msg_control = control.data();
      header.msg_controllen = control.size();
      cmsghdr* const rights = CMSG_FIRSTHDR(&header);
      rights->cmsg_level = SOL_SOCKET;
      rights->cmsg_type = SCM_RIGHTS;
      rights->cmsg_len = CMSG_LEN(descriptors.size() * sizeof(int));
      std::memcpy(CMSG_DATA(rights), descriptors.data(), descriptors.size() * sizeof(int));
    }
    ASSERT_EQ(::sendmsg(viewer.get(), &header, MSG_NOSIGNAL), static_cast<ssize_t>(bytes.size()));
  }
  Connection relay;
  UniqueFd viewer;
};

UniqueFd open_null() {
  return UniqueFd(::open("/dev/null", O_RDWR | O_CLOEXEC));
}

std::ptrdiff_t open_descriptors() {
  return std::distance(std::filesystem::directory_iterator("/proc/self/fd"), {});
}

const std::string kAttach = encode(message::Attach{.by_descriptor = true});

TEST(Connection, PassesMessagesBothWays) {
  Ends ends;
  ASSERT_TRUE(ends.relay.send(message::Notice{"the tree was moved"}));
  ASSERT_TRUE(ends.relay.send(message::Status{.name = "make.1", .pid = 1, .command = "make"}));
  const auto status = ask<message::Status>(ends.viewer, message::AskStatus{}, kPatienceMs);
  ASSERT_TRUE(status) << status.error().message();
  EXPECT_EQ(status->command, "make");
  EXPECT_EQ(await_message(ends.relay, kPatienceMs).value(), Message{message::AskStatus{}});
}

TEST(Connection, IsNeverBlockedAndNeverLeftToAProgramThatIsStarted) {
  const Ends ends;
  EXPECT_NE(::fcntl(ends.relay.fd(), F_GETFL) & O_NONBLOCK, 0);
  EXPECT_EQ(::fcntl(ends.relay.fd(), F_GETFD), FD_CLOEXEC);
}

TEST(Connection, PassesADescriptorWithItsMessageAndWithNoOther) {
  Ends ends;
  const UniqueFd null = open_null();
  // They arrive together: the kernel hands out the bytes of the first with those of the second.
  ASSERT_TRUE(ends.viewer.send(message::AskStatus{}));
  ASSERT_TRUE(ends.viewer.send(message::Attach{.by_descriptor = true}, null.get()));
  ASSERT_TRUE(ends.viewer.send(message::Peek{}));
  ASSERT_TRUE(await_message(ends.relay, kPatienceMs));
  EXPECT_FALSE(ends.relay.take_descriptor().valid());
  const auto attach = await_message(ends.relay, kPatienceMs);
  ASSERT_TRUE(attach && std::holds_alternative<message::Attach>(*attach));
  const UniqueFd arrived = ends.relay.take_descriptor();
  ASSERT_TRUE(arrived.valid());
  struct stat sent {
  }, got{};
  ASSERT_EQ(::fstat(null.get(), &sent), 0);
  ASSERT_EQ(::fstat(arrived.get(), &got), 0);
  EXPECT_EQ(sent.st_rdev, got.st_rdev);
  EXPECT_EQ(::fcntl(arrived.get(), F_GETFD), FD_CLOEXEC);
  ASSERT_TRUE(await_message(ends.relay, kPatienceMs));
  EXPECT_FALSE(ends.relay.take_descriptor().valid());
}

TEST(Connection, PassesADescriptorThatHadToWaitBehindOtherBytes) {
  Ends ends;
  const std::string text(400'000, 'x');
  ASSERT_TRUE(ends.viewer.send(message::Input{text}));
  ASSERT_TRUE(ends.viewer.wants_write()) << "the socket took it all: send more";
  ASSERT_TRUE(ends.viewer.send(message::Attach{.by_descriptor = true}, open_null().get()));
  std::size_t typed = 0;
  for (;;) {
    ASSERT_TRUE(ends.viewer.flush());
    const auto message = await_message(ends.relay, kPatienceMs);
    ASSERT_TRUE(message) << message.error().message();
    const UniqueFd descriptor = ends.relay.take_descriptor();
    const auto* const input = std::get_if<message::Input>(&*message);
    EXPECT_EQ(descriptor.valid(), input == nullptr);
    if (input == nullptr)
      break;
    typed += input->bytes.size();
  }
  EXPECT_EQ(typed, text.size());
}

TEST(Connection, ClosesEveryDescriptorButOneOfOneFrame) {
  Misbehaving ends;
  const UniqueFd null = open_null();
  const auto before = open_descriptors();
  for (const std::size_t n : {1U, 2U, 3U, 253U}) {
    ends.send(kAttach, std::vector<int>(n, null.get()));
    ASSERT_TRUE(await_message(ends.relay, kPatienceMs));
    EXPECT_EQ(open_descriptors(), before + 1) << n << " were sent";
    EXPECT_TRUE(ends.relay.take_descriptor().valid());
    EXPECT_EQ(open_descriptors(), before);
  }
}

TEST(Connection, ClosesADescriptorThatNobodyTakes) {
  Misbehaving ends;
  const UniqueFd null = open_null();
  const auto before = open_descriptors();
  ends.send(kAttach, {null.get()});
  ASSERT_TRUE(await_message(ends.relay, kPatienceMs));
  ends.send(encode(message::Peek{}), {});
  ASSERT_TRUE(await_message(ends.relay, kPatienceMs));
  EXPECT_EQ(open_descriptors(), before);
}

TEST(Connection, ClosesADescriptorThatCameWithAFrameThatTakesNone) {
  Misbehaving ends;
  const UniqueFd null = open_null();
  const auto before = open_descriptors();
  for (const Message& message :
       {Message{message::Peek{}}, Message{message::Attach{}}, Message{message::Input{"x"}}}) {
    ends.send(encode(message), {null.get()});
    ASSERT_TRUE(await_message(ends.relay, kPatienceMs));
    EXPECT_FALSE(ends.relay.take_descriptor().valid());
    EXPECT_EQ(open_descriptors(), before);
  }
  ends.send(kAttach, {});
  ASSERT_TRUE(await_message(ends.relay, kPatienceMs));
  EXPECT_FALSE(ends.relay.take_descriptor().valid()) << "one of before was kept for it";
}

TEST(Connection, HoldsOneDescriptorHoweverManyComeWithinOneFrame) {
  Misbehaving ends;
  const UniqueFd null = open_null();
  const std::string text = encode(message::SendText{.text = std::string(300, 'x')});
  const auto before = open_descriptors();
  for (std::size_t i = 0; i + 1 < text.size(); ++i) {
    ends.send(text.substr(i, 1), {null.get()});
    ASSERT_TRUE(ends.relay.receive());
    ASSERT_TRUE(ends.relay.next());
  }
  EXPECT_LE(open_descriptors(), before + 1);
  ends.send(text.substr(text.size() - 1), {null.get()});
  ASSERT_TRUE(await_message(ends.relay, kPatienceMs));
  EXPECT_EQ(open_descriptors(), before);
}

TEST(Connection, ClosesADescriptorThatCameInsideAnAttach) {
  Misbehaving ends;
  const UniqueFd null = open_null();
  const auto before = open_descriptors();
  ends.send(kAttach.substr(0, 7), {});
  ASSERT_TRUE(ends.relay.receive());
  ends.send(kAttach.substr(7), {null.get()});
  ASSERT_TRUE(await_message(ends.relay, kPatienceMs));
  EXPECT_FALSE(ends.relay.take_descriptor().valid());
  EXPECT_EQ(open_descriptors(), before);
}

TEST(Connection, TakesAnAttachWithoutItsDescriptorWhereThereIsNoRoomForIt) {
  Misbehaving ends;
  ends.send(kAttach, {ends.viewer.get()});
  rlimit old{};
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &old), 0);
  const int highest = ::dup(0);  // the lowest number that is free
  ::close(highest);
  const rlimit none{static_cast<rlim_t>(highest), old.rlim_max};
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &none), 0);
  const auto message = await_message(ends.relay, kPatienceMs);
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &old), 0);
  ASSERT_TRUE(message) << message.error().message();
  EXPECT_TRUE(std::holds_alternative<message::Attach>(*message));
  EXPECT_FALSE(ends.relay.take_descriptor().valid());
}

TEST(Connection, GivesUpOnAPeerThatDoesNotRead) {
  Ends ends;
  const message::Notice notice{std::string(kMaxSentence, 'x')};
  Status sent;
  while ((sent = ends.relay.send(notice)).has_value())
    ASSERT_LE(ends.relay.queued(), Connection::kMaxQueued + 2 * kMaxSentence);
  EXPECT_EQ(sent.error().kind, ErrorKind::kRefused);
  EXPECT_EQ(sent.error().what, "the viewer does not read what it is sent");
}

TEST(Connection, TakesNoMoreOutputThanItsBoundAndLosesNoneThatItTook) {
  Ends ends;
  std::string wanted, got;
  int line = 0;
  while (wanted.size() < 3'000'000) {
    const std::string bytes = std::to_string(line++) + std::string(20'000, '.') + "\n";
    const auto taken = ends.relay.send_output(bytes);
    ASSERT_TRUE(taken);
    ASSERT_TRUE(*taken == 0 || *taken == bytes.size());
    ASSERT_LE(ends.relay.queued(), Connection::kOutputBound + bytes.size() + kHeaderSize);
    wanted += bytes.substr(0, *taken);
    if (*taken != 0)
      continue;
    // Only part of what waits is read before more is sent.
    for (int i = 0; i < 3; ++i) {
      const auto message = await_message(ends.viewer, kPatienceMs);
      ASSERT_TRUE(message);
      got += std::get<message::Output>(*message).bytes;
      ASSERT_TRUE(ends.relay.flush());
    }
  }
  while (got.size() < wanted.size()) {
    ASSERT_TRUE(ends.relay.flush());
    const auto message = await_message(ends.viewer, kPatienceMs);
    ASSERT_TRUE(message);
    got += std::get<message::Output>(*message).bytes;
  }
  EXPECT_TRUE(got == wanted);
}

TEST(Connection, SendsOutputBeyondAFrameInSeveral) {
  Ends ends;
  const std::string bytes(kMaxPayload + 1, 'x');
  EXPECT_EQ(ends.relay.send_output(bytes).value(), bytes.size());
  EXPECT_EQ(ends.relay.send_output("").value(), 0U);
  std::string got;
  while (got.size() < bytes.size()) {
    ASSERT_TRUE(ends.relay.flush());
    got += std::get<message::Output>(await_message(ends.viewer, kPatienceMs).value()).bytes;
  }
  EXPECT_EQ(got, bytes);
}

TEST(Connection, NoticesAPeerThatHasGoneAndStillReadsWhatItHadSaid) {
  Ends ends;
  ASSERT_TRUE(ends.relay.send(message::Notice{"last words"}));
  ASSERT_TRUE(ends.viewer.send(message::Peek{}));  // which it does not read any more
  { const Connection gone = std::move(ends.relay); }
  const Status sent = ends.viewer.send(message::AskStatus{});
  ASSERT_FALSE(sent);
  EXPECT_EQ(sent.error().kind, ErrorKind::kGone);
  EXPECT_EQ(ends.viewer.send_output("x").error().kind, ErrorKind::kGone);
  EXPECT_EQ(await_message(ends.viewer, kPatienceMs).value(),
            Message{message::Notice{"last words"}});
  EXPECT_EQ(await_message(ends.viewer, kPatienceMs).error().message(), "the relay has gone");
  EXPECT_TRUE(ends.viewer.at_end());
}

TEST(Connection, TakesAPeerThatIsCutOffInAFrameForGone) {
  Ends ends;
  ASSERT_EQ(::send(ends.relay.fd(), "\5\0\0", 3, MSG_NOSIGNAL), 3);
  { const Connection gone = std::move(ends.relay); }
  EXPECT_EQ(await_message(ends.viewer, kPatienceMs).error().kind, ErrorKind::kGone);
}

TEST(Connection, TellsWhyItWasRefusedEvenWhenTheRelayHasHungUpAlready) {
  Ends ends;
  ASSERT_TRUE(
      ends.relay.send(to_failed(Error{ErrorKind::kRefused, 0, "there are too many", "go"})));
  { const Connection gone = std::move(ends.relay); }
  const auto status = ask<message::Status>(ends.viewer, message::AskStatus{}, kPatienceMs);
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().what, "there are too many");
  EXPECT_EQ(status.error().hint, "go");
}

TEST(Connection, WaitsForAStalledRelayNoLongerThanItMay) {
  Ends ends;
  const auto begin = std::chrono::steady_clock::now();
  const auto status = ask<message::Status>(ends.viewer, message::AskStatus{}, 30);
  EXPECT_EQ(status.error().kind, ErrorKind::kTimeout);
  EXPECT_GE(std::chrono::steady_clock::now() - begin, std::chrono::milliseconds(30));
}

TEST(Connection, TakesNoOtherMessageForAnAnswer) {
  Ends ends;
  ASSERT_TRUE(ends.relay.send(message::Done{}));
  const auto status = ask<message::Status>(ends.viewer, message::AskStatus{}, kPatienceMs);
  EXPECT_EQ(status.error().what, "the relay answered AskStatus with Done");
}

TEST(Connection, PutsTheRowsOfALargeScreenTogether) {
  Ends ends;
  const std::string rows(100'000, 'r');
  ASSERT_TRUE(ends.relay.send(message::ScreenText{.text = rows}));
  EXPECT_EQ(ask_screen_text(ends.viewer, kPatienceMs).value(), rows);
}

TEST(Connection, EndsWithOneSentenceAboutGarbage) {
  Misbehaving ends;
  ends.send(std::string(100'000, '\xFF'), {});
  Status received;
  Result<std::optional<Message>> next;
  for (int i = 0; i < 100 && next; ++i) {
    received = ends.relay.receive();
    ASSERT_TRUE(received);
    next = ends.relay.next();
  }
  ASSERT_FALSE(next);
  EXPECT_THAT(next.error().message(), HasSubstr("the viewer sent a frame of the unknown type 255"));
  EXPECT_FALSE(ends.relay.next());
}

TEST(Connection, DoesNothingForAPeerThatStalls) {
  Misbehaving ends;
  ends.send(kAttach.substr(0, 9), {});
  for (int i = 0; i < 3; ++i) {
    ASSERT_TRUE(ends.relay.receive());
    const auto next = ends.relay.next();
    ASSERT_TRUE(next);
    EXPECT_FALSE(next->has_value());
  }
  EXPECT_FALSE(ends.relay.at_end());
}

}  // namespace
}  // namespace grab::relay
