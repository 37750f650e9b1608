// SPDX-License-Identifier: MIT
// --log and --record: two files that get what the tree writes while it passes. They are opened
// before the move, with the rights of the user; what becomes of them later never harms the tree.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/error.h"
#include "base/unique_fd.h"
#include "relay/window_size.h"

namespace grab::relay {

/// Opens a file that gets the output byte by byte; appends if it is there. It may be a FIFO or a
/// device, which is never waited for.
/// Errors: what open(2) says; kRefused for a FIFO that nobody reads.
[[nodiscard]] Result<UniqueFd> open_log(const std::string& path);

/// What stands at the beginning of a recording. Source: asciicast v2, "Header".
struct RecordHeader {
  WindowSize size;            ///< 80x24 is written where it is 0
  std::int64_t realtime = 0;  ///< seconds of CLOCK_REALTIME
  std::string command;        ///< of the tree, for people
  std::string term;           ///< $TERM, may be empty
  std::string shell;          ///< $SHELL, may be empty
};

/// Makes a recording (asciicast v2, for asciinema(1)) and writes its header.
/// Errors: as open_log(); kRefused if there is a file of that name, unless it is empty or a
/// recording of nothing.
[[nodiscard]] Result<UniqueFd> open_record(const std::string& path, const RecordHeader& header);

/// Writes both. Each call is one write(2) a file, so that a crash loses at most what came with one
/// call. A file that takes no more is closed, with one complaint: the disk is full, or the reader
/// of a FIFO has gone, or has fallen behind by more than the pipe holds. The process has to ignore
/// SIGPIPE, and SIGXFSZ, which a limit on the size of files (RLIMIT_FSIZE) sends.
/// Another process may go on with the same files (after fork(2)), when this one has died.
class Recorder {
 public:
  /// Descriptors may be invalid: there is no such file then. `started_us` is when the recording
  /// began: microseconds of CLOCK_MONOTONIC, as all `now_us`.
  struct Files {
    UniqueFd log;
    std::string log_path;
    UniqueFd record;
    std::string record_path;
    std::uint64_t started_us = 0;
  };
  Recorder() = default;
  explicit Recorder(Files files);
  Recorder(Recorder&&) = default;
  Recorder& operator=(Recorder&&) = default;
  Recorder(const Recorder&) = delete;
  Recorder& operator=(const Recorder&) = delete;
  ~Recorder();

  /// There is a file to write to; without one, output() and resized() need not be called.
  [[nodiscard]] bool active() const { return files_.log.valid() || files_.record.valid(); }

  /// What the tree has written, in any cut. A character that is cut off is recorded with the rest
  /// of it; what is not UTF-8 is recorded as U+FFFD (and logged as it is).
  void output(std::string_view bytes, std::uint64_t now_us);
  /// The terminal has another size now. The same size again is not written.
  void resized(WindowSize size, std::uint64_t now_us);

  /// A sentence about a file that was given up since the last call.
  [[nodiscard]] std::optional<std::string> take_complaint();

 private:
  void write_log(std::string_view bytes);
  void write_event(char type, std::string_view text, std::uint64_t now_us);
  void give_up(UniqueFd& fd, const std::string& what, const std::string& path, int err);

  Files files_;
  std::string cut_;  ///< the beginning of a character, whose end has not come yet
  std::uint64_t last_us_ = 0;
  WindowSize size_;
  std::string complaint_;
};

}  // namespace grab::relay
