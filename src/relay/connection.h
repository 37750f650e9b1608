// SPDX-License-Identifier: MIT
// One framed, non-blocking Unix stream connection: a Decoder, a bounded send queue, descriptors by
// SCM_RIGHTS. Knows nothing of the loop that polls it.
#pragma once

#include <sys/socket.h>

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>

#include "base/error.h"
#include "base/unique_fd.h"
#include "relay/protocol.h"

namespace grab::relay {

/// Whether this errno value of a non-blocking call says: later.
[[nodiscard]] inline bool would_block(int err) {
  return err == EAGAIN || err == EWOULDBLOCK || err == EINTR;
}

/// The peer's faults and its end are errors of the call that notices; the connection is of no use
/// then and is to be closed by destroying it. kGone: the peer has gone.
class Connection {
 public:
  /// Owns the socket, makes it non-blocking and close-on-exec. `peer`: who is at the other end.
  Connection(UniqueFd socket, Side peer);

  [[nodiscard]] int fd() const { return socket_.get(); }

  /// Queues a message and sends what the socket takes. `descriptor` is duplicated, and goes with
  /// the first byte of the message. Errors: kGone; kRefused when more than kMaxQueued bytes are
  /// waiting already, since the peer does not read.
  [[nodiscard]] Status send(const Message& message, int descriptor = -1);
  /// Sends bytes as Output frames without copying what the socket takes at once. Takes all of them,
  /// or nothing while kOutputBound bytes or more are waiting. Returns how many it took.
  [[nodiscard]] Result<std::size_t> send_output(std::string_view bytes);
  [[nodiscard]] bool wants_write() const { return sent_ < queue_.size(); }
  /// Bytes that wait for the peer to read.
  [[nodiscard]] std::size_t queued() const { return queue_.size() - sent_; }
  [[nodiscard]] Status flush();

  /// Reads once, at most what there is room for; then call next() until it gives nothing, since
  /// nothing more is read before that. End of file is no error: at_end() tells. Errors: kSystem.
  [[nodiscard]] Status receive();
  /// Errors: as Decoder::next().
  [[nodiscard]] Result<std::optional<Message>> next();
  /// The peer has closed its side; what it had said before, next() still gives.
  [[nodiscard]] bool at_end() const { return at_end_; }
  /// The descriptor that came with the message that next() gave last (an Attach by_descriptor),
  /// close-on-exec; invalid if none came (or this process had no room for it). Every other
  /// descriptor that comes is closed.
  [[nodiscard]] UniqueFd take_descriptor() { return std::move(taken_); }

  static constexpr std::size_t kMaxQueued = std::size_t{256} * 1024;
  static constexpr std::size_t kOutputBound = std::size_t{64} * 1024;

 private:
  /// A descriptor that came with the bytes [begin, end) of the peer's stream.
  struct Arrived {
    UniqueFd fd;
    std::uint64_t begin = 0, end = 0;
  };
  /// A descriptor to be sent with the byte at this place of the queue.
  struct Departing {
    UniqueFd fd;
    std::size_t at = 0;
  };

  void keep_descriptors(msghdr& header, std::uint64_t begin, std::uint64_t end);
  void claim_descriptor(const Message& message);
  [[nodiscard]] Result<std::size_t> write_some(std::string_view first, std::string_view second,
                                               int descriptor);
  [[nodiscard]] const char* peer_name() const;

  UniqueFd socket_;
  Side peer_;
  Decoder decoder_;
  std::uint64_t received_ = 0;  // bytes of the peer's stream
  std::optional<Arrived> arrived_;
  UniqueFd taken_;
  bool at_end_ = false;
  std::string queue_;
  std::size_t sent_ = 0;  // of the queue
  std::deque<Departing> departing_;
};

/// For who asks: the next message, waiting at most `timeout_ms` milliseconds (-1: for ever). Sends
/// what is queued meanwhile. Errors: kTimeout; kGone; as Connection::next().
[[nodiscard]] Result<Message> await_message(Connection& connection, int timeout_ms);

/// Sends our Hello and waits for the peer's. Errors: as await_message().
[[nodiscard]] Result<message::Hello> exchange_hello(Connection& connection, std::string software,
                                                    int timeout_ms);

/// Sends to a peer that may have gone, which is no error: what it said before is still to be read.
/// Errors: as Connection::send() otherwise.
[[nodiscard]] Status send_if_there(Connection& connection, const Message& message);

/// Sends a question and waits for its answer; Notices in between are skipped, a Failed is returned
/// as the error that it tells of. `timeout_ms` is for each message of the answer. What the peer
/// said before it went is seen even where the question could not be sent any more.
/// Errors: as await_message(); kSystem for an answer that is none to this question.
template <class Answer>
[[nodiscard]] Result<Answer> ask(Connection& connection, const Message& question, int timeout_ms);

/// The same, without the type: everything but Notice and Failed is an answer.
[[nodiscard]] Result<Message> ask_any(Connection& connection, const Message& question,
                                      int timeout_ms);
[[nodiscard]] tl::unexpected<Error> no_answer_to(const Message& question, const Message& answer);

template <class Answer>
Result<Answer> ask(Connection& connection, const Message& question, int timeout_ms) {
  GRAB_TRY(Message message, ask_any(connection, question, timeout_ms));
  if (auto* answer = std::get_if<Answer>(&message))
    return std::move(*answer);
  return no_answer_to(question, message);
}

/// Asks Peek and puts the parts of the answer together. Errors: as ask().
[[nodiscard]] Result<std::string> ask_screen_text(Connection& connection, int timeout_ms);

/// Asks AskTree and puts the parts of the answer together. Errors: as ask().
[[nodiscard]] Result<std::string> ask_tree_text(Connection& connection, int timeout_ms);

}  // namespace grab::relay
