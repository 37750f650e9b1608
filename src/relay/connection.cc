// SPDX-License-Identifier: MIT
#include "relay/connection.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <span>
#include <utility>

#include "base/text.h"

namespace grab::relay {
namespace {

/// What has been sent is cut off the queue's front when it is more than this, in bytes.
constexpr std::size_t kCutAt = std::size_t{16} * 1024;

/// One descriptor is all that a frame may bring.
/// Kernel: recvmsg(2) stores as many descriptors as fit, closes the others and sets MSG_CTRUNC; the
/// alignment of the buffer leaves room for two, so a second one can arrive. Source: unix(7),
/// scm_detach_fds() in net/core/scm.c.
constexpr std::size_t kControlSize = CMSG_SPACE(sizeof(int));

void make_ready(int fd) {
  // These fail for a bad descriptor only, as the next call on it will tell.
  const int flags = ::fcntl(fd, F_GETFL);
  (void)::fcntl(fd, F_SETFL, flags | O_NONBLOCK);
  (void)::fcntl(fd, F_SETFD, FD_CLOEXEC);
}

bool takes_descriptor(const Message& message) {
  const auto* const attach = std::get_if<message::Attach>(&message);
  return attach != nullptr && attach->by_descriptor;
}

bool peer_is_gone(int err) {
  return err == EPIPE || err == ECONNRESET;
}

}  // namespace

Connection::Connection(UniqueFd socket, Side peer)
    : socket_(std::move(socket)), peer_(peer), decoder_(peer) {
  make_ready(socket_.get());
}

const char* Connection::peer_name() const {
  return peer_ == Side::kRelay ? "the relay" : "the viewer";
}

// --- sending ---

/// Sends what the socket takes of both, in order; 0 where it takes nothing now.
Result<std::size_t> Connection::write_some(std::string_view first, std::string_view second,
                                           int descriptor) {
  // sendmsg(2) writes to neither.
  std::array<iovec, 2> parts = {{{const_cast<char*>(first.data()), first.size()},
                                 {const_cast<char*>(second.data()), second.size()}}};
  alignas(cmsghdr) std::array<char, kControlSize> control{};
  msghdr header{};
  header.msg_iov = parts.data();
  header.msg_iovlen = second.empty() ? 1 : 2;
  if (descriptor >= 0) {
    header.msg_control = control.data();
    header.msg_controllen = CMSG_SPACE(sizeof(int));
    cmsghdr* const rights = CMSG_FIRSTHDR(&header);
    rights->cmsg_level = SOL_SOCKET;
    rights->cmsg_type = SCM_RIGHTS;
    rights->cmsg_len = CMSG_LEN(sizeof(int));
    std::memcpy(CMSG_DATA(rights), &descriptor, sizeof(int));
  }
  for (;;) {
    const ssize_t n = ::sendmsg(socket_.get(), &header, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (n >= 0)
      return static_cast<std::size_t>(n);
    const int err = errno;
    if (err == EINTR)
      continue;
    if (err == EAGAIN || err == EWOULDBLOCK)
      return std::size_t{0};
    if (peer_is_gone(err))
      return fail(ErrorKind::kGone, std::string(peer_name()) + " has gone");
    return fail_errno(err, std::string("sendmsg to ") + peer_name());
  }
}

Status Connection::send(const Message& message, int descriptor) {
  if (queued() > kMaxQueued)
    return fail(ErrorKind::kRefused, std::string(peer_name()) + " does not read what it is sent");
  if (descriptor >= 0) {
    UniqueFd own(::fcntl(descriptor, F_DUPFD_CLOEXEC, 0));
    if (!own.valid())
      return fail_errno(errno, "duplicating the descriptor to send");
    departing_.push_back({std::move(own), queue_.size()});
  }
  queue_ += encode(message);
  return flush();
}

Status Connection::flush() {
  while (wants_write()) {
    // Kernel: descriptors go with the first byte of a sendmsg(2); a reader may get bytes sent
    // before and that byte in one read. So one call ends before each byte that brings one. Source:
    // unix_stream_sendmsg() and unix_stream_read_generic() in net/unix/af_unix.c.
    std::size_t end = queue_.size();
    int descriptor = -1;
    if (!departing_.empty() && departing_.front().at > sent_)
      end = departing_.front().at;
    else if (!departing_.empty())
      descriptor = departing_.front().fd.get();
    if (descriptor >= 0 && departing_.size() > 1)
      end = departing_[1].at;
    const std::string_view waiting = std::string_view(queue_).substr(sent_, end - sent_);
    GRAB_TRY(const std::size_t n, write_some(waiting, {}, descriptor));
    if (n == 0)
      break;
    sent_ += n;
    if (descriptor >= 0)
      departing_.pop_front();
  }
  if (!wants_write() || sent_ > kCutAt) {
    queue_.erase(0, sent_);
    if (queue_.empty() && queue_.capacity() > kOutputBound)
      std::string().swap(queue_);
    for (Departing& departing : departing_)
      departing.at -= sent_;
    sent_ = 0;
  }
  return {};
}

Result<std::size_t> Connection::send_output(std::string_view bytes) {
  if (queued() >= kOutputBound || bytes.empty())
    return std::size_t{0};
  const std::size_t all = bytes.size();
  while (!bytes.empty()) {
    const std::string_view frame = bytes.substr(0, kMaxPayload);
    bytes.remove_prefix(frame.size());
    const auto header = output_header(frame.size());
    const std::string_view head(header.data(), header.size());
    std::size_t n = 0;
    if (!wants_write()) {
      GRAB_TRY(n, write_some(head, frame, -1));
    }
    // What the socket did not take waits in the queue.
    queue_.append(head.substr(std::min(n, head.size())));
    queue_.append(frame.substr(n > head.size() ? n - head.size() : 0));
  }
  return all;
}

// --- receiving ---

Status Connection::receive() {
  const std::span<char> space = decoder_.space();
  if (space.empty() || at_end_)
    return {};
  iovec part{space.data(), space.size()};
  alignas(cmsghdr) std::array<char, kControlSize> control{};
  msghdr header{};
  header.msg_iov = &part;
  header.msg_iovlen = 1;
  header.msg_control = control.data();
  header.msg_controllen = control.size();
  ssize_t n = 0;
  do {
    n = ::recvmsg(socket_.get(), &header, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
  } while (n < 0 && errno == EINTR);
  if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
    return {};
  // Kernel: a peer that closes with bytes unread makes this ECONNRESET, once all that it had sent
  // has been read. Source: unix_release_sock() in net/unix/af_unix.c.
  if (n == 0 || (n < 0 && peer_is_gone(errno))) {
    at_end_ = true;
    return {};
  }
  if (n < 0)
    return fail_errno(errno, std::string("recvmsg from ") + peer_name());
  const std::uint64_t begin = received_;
  received_ += static_cast<std::uint64_t>(n);
  decoder_.fed(static_cast<std::size_t>(n));
  keep_descriptors(header, begin, received_);
  return {};
}

/// Takes over every descriptor that came, keeps the first if none is waiting for its frame, closes
/// the others: a peer can make us hold one.
void Connection::keep_descriptors(msghdr& header, std::uint64_t begin, std::uint64_t end) {
  for (cmsghdr* part = CMSG_FIRSTHDR(&header); part != nullptr; part = CMSG_NXTHDR(&header, part)) {
    if (part->cmsg_level != SOL_SOCKET || part->cmsg_type != SCM_RIGHTS)
      continue;
    const std::size_t count = (part->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (std::size_t i = 0; i < count; ++i) {
      int number = -1;
      std::memcpy(&number, CMSG_DATA(part) + i * sizeof(int), sizeof(int));
      UniqueFd fd(number);
      if (!arrived_)
        arrived_ = Arrived{std::move(fd), begin, end};
    }
  }
}

/// Kernel: one read may return bytes without a descriptor and then those that one came with, but
/// stops behind these. So it belongs to the first frame that begins among the bytes of that read
/// and that takes one; once a later frame begins, it belongs to none, and is closed. Source:
/// unix_stream_read_generic() in net/unix/af_unix.c.
void Connection::claim_descriptor(const Message& message) {
  if (!arrived_)
    return;
  const std::uint64_t begin = decoder_.message_begin();
  if (takes_descriptor(message) && arrived_->begin <= begin && begin < arrived_->end) {
    taken_ = std::move(arrived_->fd);
    arrived_.reset();
  } else if (arrived_->end <= decoder_.message_end()) {
    arrived_.reset();
  }
}

Result<std::optional<Message>> Connection::next() {
  taken_.reset();
  auto message = decoder_.next();
  if (!message)
    arrived_.reset();
  else if (message->has_value())
    claim_descriptor(**message);
  return message;
}

// --- asking ---

Result<Message> await_message(Connection& connection, int timeout_ms) {
  using Clock = std::chrono::steady_clock;
  const auto deadline = Clock::now() + std::chrono::milliseconds(timeout_ms);
  for (;;) {
    GRAB_TRY(std::optional<Message> message, connection.next());
    if (message)
      return std::move(*message);
    if (connection.at_end())
      return fail(ErrorKind::kGone, "the relay has gone");
    int left_ms = -1;
    if (timeout_ms >= 0) {
      const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - Clock::now());
      if (left.count() < 0)
        return fail(ErrorKind::kTimeout, "the relay did not answer in time");
      left_ms = static_cast<int>(left.count());
    }
    pollfd ready{connection.fd(), POLLIN, 0};
    if (connection.wants_write())
      ready.events |= POLLOUT;
    const int n = ::poll(&ready, 1, left_ms);
    if (n < 0 && errno != EINTR)
      return fail_errno(errno, "poll of the connection to the relay");
    if (n == 0)
      return fail(ErrorKind::kTimeout, "the relay did not answer in time");
    if (n < 0)
      continue;
    // What it said before it went is to be read, so its end is left to receive().
    if ((ready.revents & POLLOUT) != 0) {
      const Status flushed = connection.flush();
      if (!flushed && flushed.error().kind != ErrorKind::kGone)
        return tl::unexpected(flushed.error());
    }
    GRAB_CHECK(connection.receive());
  }
}

Status send_if_there(Connection& connection, const Message& message) {
  Status sent = connection.send(message);
  if (!sent && sent.error().kind == ErrorKind::kGone)
    return {};
  return sent;
}

Result<Message> ask_any(Connection& connection, const Message& question, int timeout_ms) {
  GRAB_CHECK(send_if_there(connection, question));
  for (;;) {
    GRAB_TRY(Message message, await_message(connection, timeout_ms));
    if (std::holds_alternative<message::Notice>(message))
      continue;
    if (const auto* failed = std::get_if<message::Failed>(&message))
      return tl::unexpected(to_error(*failed));
    return message;
  }
}

tl::unexpected<Error> no_answer_to(const Message& question, const Message& answer) {
  return fail(ErrorKind::kSystem, "the relay answered " + std::string(frame_type(question).name) +
                                      " with " + std::string(frame_type(answer).name));
}

Result<message::Hello> exchange_hello(Connection& connection, std::string software,
                                      int timeout_ms) {
  return ask<message::Hello>(connection, message::Hello{.software = std::move(software)},
                             timeout_ms);
}

template <class Part>
static Result<std::string> ask_text(Connection& connection, const Message& question,
                                    int timeout_ms) {
  GRAB_TRY(Part part, ask<Part>(connection, question, timeout_ms));
  std::string text = std::move(part.text);
  while (part.more) {
    GRAB_TRY(Message message, await_message(connection, timeout_ms));
    auto* const next = std::get_if<Part>(&message);
    if (next == nullptr)
      return no_answer_to(question, message);
    part = std::move(*next);
    text += part.text;
  }
  return text;
}

Result<std::string> ask_screen_text(Connection& connection, int timeout_ms) {
  return ask_text<message::ScreenText>(connection, message::Peek{}, timeout_ms);
}

Result<std::string> ask_tree_text(Connection& connection, int timeout_ms) {
  return ask_text<message::TreeText>(connection, message::AskTree{}, timeout_ms);
}

}  // namespace grab::relay
