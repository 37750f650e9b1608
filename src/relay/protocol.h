// SPDX-License-Identifier: MIT
// What viewers and the relay say to each other: values, and their frames on a Unix socket
// (docs/protocol.md). Pure: bytes in, messages out, and back. What arrives is held to be hostile:
// anything but the one right encoding of a message is an error, and memory is bounded.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "base/error.h"
#include "relay/window_size.h"

namespace grab::relay {

inline constexpr std::uint16_t kProtocolVersion = 1;

/// Bounds, in bytes. A frame beyond them is a fault of the peer; encode() never makes one.
inline constexpr std::size_t kHeaderSize = 5;  ///< u32 length of the payload, u8 type
inline constexpr std::size_t kMaxPayload = std::size_t{64} * 1024;
inline constexpr std::size_t kMaxHelloPayload = 128;  ///< all that an unknown peer may make us hold
inline constexpr std::size_t kMaxSoftware = 64;
inline constexpr std::size_t kMaxName = 64;
inline constexpr std::size_t kMaxCommand = 4096;
inline constexpr std::size_t kMaxTerminal = 128;
inline constexpr std::size_t kMaxModes = 256;
inline constexpr std::size_t kMaxSentence = 1024;
inline constexpr std::size_t kMaxTyped = 4096;   // what the kernel keeps for a terminal
inline constexpr std::size_t kMaxViewers = 128;  ///< entries of Status::viewers

/// For the relay: how long a connection may take until its first request, in milliseconds, and how
/// many it keeps.
inline constexpr int kGreetPatienceMs = 5000;
inline constexpr std::size_t kMaxConnections = 64;

/// The side that sends a message; the one that a Decoder listens to.
enum class Side : std::uint8_t { kBoth, kViewer, kRelay };

struct FrameType {
  std::uint8_t number = 0;
  std::string_view name;
  Side sender = Side::kBoth;
};

/// Strings are bytes; what is to be printed goes through printable() where it is printed. Where a
/// comment gives a kMax..., encode() cuts what is longer. (Every member has an initializer, so that
/// designated initializers may leave any out.)
namespace message {

// --- both ways: the first frame of each side, and only that ---

struct Hello {
  static constexpr FrameType kFrame{0, "Hello", Side::kBoth};
  std::uint16_t version = kProtocolVersion;
  std::string software = {};  ///< "grab 0.1.0"; kMaxSoftware
  friend bool operator==(const Hello&, const Hello&) = default;
};

// --- from a viewer, or from who asks ---

/// Show the tree on my terminal.
struct Attach {
  static constexpr FrameType kFrame{1, "Attach", Side::kViewer};
  bool by_descriptor = false;  ///< the terminal's descriptor comes with this frame (SCM_RIGHTS)
  bool read_only = false;
  bool detach_others = false;
  WindowSize size = {};
  std::string saved_modes = {};  ///< struct termios before raw mode; empty: not known. kMaxModes
  std::optional<unsigned char> detach_key = {};  ///< a control character; none: no key detaches
  std::string terminal = {};                     ///< "/dev/pts/3", for list; kMaxTerminal
  friend bool operator==(const Attach&, const Attach&) = default;
};
/// What was typed, where the relay does not read the terminal itself. Of any length.
struct Input {
  static constexpr FrameType kFrame{2, "Input", Side::kViewer};
  std::string bytes = {};
  friend bool operator==(const Input&, const Input&) = default;
};
struct Resize {
  static constexpr FrameType kFrame{3, "Resize", Side::kViewer};
  WindowSize size = {};
  friend bool operator==(const Resize&, const Resize&) = default;
};
/// Leave my terminal alone: I am about to stop. Answer: Paused.
struct Pause {
  static constexpr FrameType kFrame{4, "Pause", Side::kViewer};
  friend bool operator==(const Pause&, const Pause&) = default;
};
/// After Paused or Suspended: the raw modes are set again.
struct Resume {
  static constexpr FrameType kFrame{5, "Resume", Side::kViewer};
  WindowSize size = {};
  friend bool operator==(const Resume&, const Resume&) = default;
};
/// Answer: Status.
struct AskStatus {
  static constexpr FrameType kFrame{6, "AskStatus", Side::kViewer};
  friend bool operator==(const AskStatus&, const AskStatus&) = default;
};
/// Type this. Of any length: encode() makes several of it, all but the last with `more`. Answer to
/// the last: Done or Failed.
struct SendText {
  static constexpr FrameType kFrame{7, "SendText", Side::kViewer};
  bool more = false;
  std::string text = {};
  friend bool operator==(const SendText&, const SendText&) = default;
};
/// Answer: ScreenText.
struct Peek {
  static constexpr FrameType kFrame{8, "Peek", Side::kViewer};
  friend bool operator==(const Peek&, const Peek&) = default;
};
/// Answer: Ended, when it has.
struct AwaitEnd {
  static constexpr FrameType kFrame{9, "AwaitEnd", Side::kViewer};
  friend bool operator==(const AwaitEnd&, const AwaitEnd&) = default;
};
/// Answer: Done or Failed.
struct SignalTree {
  static constexpr FrameType kFrame{10, "SignalTree", Side::kViewer};
  std::int32_t signo = 0;  ///< 1 to 64
  friend bool operator==(const SignalTree&, const SignalTree&) = default;
};
/// Send all viewers away. Answer: Done.
struct DetachViewers {
  static constexpr FrameType kFrame{11, "DetachViewers", Side::kViewer};
  friend bool operator==(const DetachViewers&, const DetachViewers&) = default;
};
/// Answer: TreeText.
struct AskTree {
  static constexpr FrameType kFrame{12, "AskTree", Side::kViewer};
  friend bool operator==(const AskTree&, const AskTree&) = default;
};

// --- from the relay ---

struct Status {
  static constexpr FrameType kFrame{64, "Status", Side::kRelay};
  enum class State : std::uint8_t { kRunning, kStopped, kEnded };
  struct ViewerInfo {
    std::int32_t pid = 0;
    std::string terminal = {};  ///< kMaxTerminal
    bool read_only = false;
    WindowSize size = {};
    friend bool operator==(const ViewerInfo&, const ViewerInfo&) = default;
  };
  std::string name = {};  ///< kMaxName
  std::int32_t pid = 0;
  std::string process = {};  ///< "4711 (make)", for sentences; kMaxName
  std::string command = {};  ///< kMaxCommand
  std::int64_t since = 0;    ///< seconds of CLOCK_REALTIME
  WindowSize size = {};
  State state = State::kRunning;
  std::optional<std::int32_t> wait_status = {};  ///< with kEnded, where known
  std::vector<ViewerInfo> viewers = {};          ///< the first kMaxViewers of them
  friend bool operator==(const Status&, const Status&) = default;
};
/// To be written to the terminal, where the relay does not do so itself. Of any length.
struct Output {
  static constexpr FrameType kFrame{65, "Output", Side::kRelay};
  std::string bytes = {};
  friend bool operator==(const Output&, const Output&) = default;
};
/// One line to say, for who has no terminal attached (--detached).
struct Notice {
  static constexpr FrameType kFrame{66, "Notice", Side::kRelay};
  std::string text = {};  ///< kMaxSentence
  friend bool operator==(const Notice&, const Notice&) = default;
};
struct Paused {
  static constexpr FrameType kFrame{67, "Paused", Side::kRelay};
  friend bool operator==(const Paused&, const Paused&) = default;
};
/// ^Z: the tree is stopped, the screen's modes are undone: restore yours, stop your own job, then
/// send Resume.
struct Suspended {
  static constexpr FrameType kFrame{68, "Suspended", Side::kRelay};
  friend bool operator==(const Suspended&, const Suspended&) = default;
};
struct Detached {
  static constexpr FrameType kFrame{69, "Detached", Side::kRelay};
  std::string why =
      {};  ///< "" by the key; else "by grab detach", "by another viewer". kMaxSentence
  std::string typed = {};  ///< read of the terminal, and not for the tree: give it back. kMaxTyped
  friend bool operator==(const Detached&, const Detached&) = default;
};
struct Ended {
  static constexpr FrameType kFrame{70, "Ended", Side::kRelay};
  std::optional<std::int32_t> wait_status = {};  ///< none: not known
  bool moved_away = false;                       ///< it lives, and was moved to another terminal
  friend bool operator==(const Ended&, const Ended&) = default;
};
/// Rows, each with a newline. Of any length: encode() makes several of it, all but the last with
/// `more`.
struct ScreenText {
  static constexpr FrameType kFrame{71, "ScreenText", Side::kRelay};
  bool more = false;
  std::string text = {};
  friend bool operator==(const ScreenText&, const ScreenText&) = default;
};
struct Done {
  static constexpr FrameType kFrame{72, "Done", Side::kRelay};
  friend bool operator==(const Done&, const Done&) = default;
};
struct Failed {
  static constexpr FrameType kFrame{73, "Failed", Side::kRelay};
  ErrorKind kind = ErrorKind::kSystem;
  std::string what = {};  ///< kMaxSentence
  std::string hint = {};  ///< kMaxSentence
  friend bool operator==(const Failed&, const Failed&) = default;
};
/// Who was moved: for each process its pid, a space, its start time as in /proc/PID/stat and a
/// newline; root's line first. Then the terminals on which they may be, the relay's own first: the
/// word "terminal", a space, its dev_t as a number and a newline. Of any length: encode() makes
/// several of it, all but the last with `more`.
struct TreeText {
  static constexpr FrameType kFrame{74, "TreeText", Side::kRelay};
  bool more = false;
  std::string text = {};
  friend bool operator==(const TreeText&, const TreeText&) = default;
};

}  // namespace message

using Message =
    std::variant<message::Hello, message::Attach, message::Input, message::Resize, message::Pause,
                 message::Resume, message::AskStatus, message::SendText, message::Peek,
                 message::AwaitEnd, message::SignalTree, message::DetachViewers, message::AskTree,
                 message::Status, message::Output, message::Notice, message::Paused,
                 message::Suspended, message::Detached, message::Ended, message::ScreenText,
                 message::Done, message::Failed, message::TreeText>;

/// Every type of frame, in the order of Message.
inline constexpr auto kFrameTypes = []<std::size_t... I>(std::index_sequence<I...>) {
  return std::array{std::variant_alternative_t<I, Message>::kFrame...};
}
(std::make_index_sequence<std::variant_size_v<Message>>());

[[nodiscard]] FrameType frame_type(const Message& message);

/// The frame of a message; of a long Input, Output, SendText, ScreenText or TreeText, its frames.
[[nodiscard]] std::string encode(const Message& message);

/// Only the header of an Output frame of `size` bytes (at most kMaxPayload), to be followed by
/// them: the hot path copies nothing.
[[nodiscard]] std::array<char, kHeaderSize> output_header(std::size_t size);

/// An Error on its way to the other side, and there.
[[nodiscard]] message::Failed to_failed(const Error& error);
[[nodiscard]] Error to_error(const message::Failed& failed);

/// Takes the bytes of one peer as they come, gives its messages: first Hello, of our version, then
/// whatever that side may send. Holds one frame at most, and memory for what has come of it only.
class Decoder {
 public:
  explicit Decoder(Side peer) : peer_(peer) {}

  /// Room to read into, then say how much has come. Empty only while next() has a message to give
  /// (or an error).
  [[nodiscard]] std::span<char> space();
  void fed(std::size_t n);

  /// The next message; nothing when more bytes are needed. Call it until there is nothing.
  /// Errors: one sentence that names the peer, and every later call gives it again. kUnsupported: a
  /// peer of another version (the sentence says which side is older, the hint what to do);
  /// kSystem: what has come is not of this protocol.
  [[nodiscard]] Result<std::optional<Message>> next();

  /// Where in the peer's stream the frame of the message begins that next() gave last, and where
  /// the next one begins, in bytes.
  [[nodiscard]] std::uint64_t message_begin() const { return message_begin_; }
  [[nodiscard]] std::uint64_t message_end() const { return message_end_; }
  /// A part of a frame has come: a peer that closes now has been cut off.
  [[nodiscard]] bool in_frame() const { return begin_ != end_; }
  /// Bytes of memory held for the peer.
  [[nodiscard]] std::size_t held() const { return buffer_.capacity(); }

 private:
  [[nodiscard]] Result<std::optional<Message>> decode();
  [[nodiscard]] Status check_hello(std::string_view payload) const;
  [[nodiscard]] tl::unexpected<Error> fault(const std::string& what) const;

  Side peer_;
  std::vector<char> buffer_;
  std::size_t begin_ = 0, end_ = 0;  // of what has come and was not given yet
  std::uint64_t message_begin_ = 0, message_end_ = 0;
  bool greeted_ = false;
  std::optional<Error> error_;
};

}  // namespace grab::relay
