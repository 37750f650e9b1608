// SPDX-License-Identifier: MIT
// What the core keeps of one viewer: what it is shown next, and what its terminal has been told, so
// that it can be brought up to date, and left as it was, at any moment.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <string_view>

#include "relay/byte_ring.h"
#include "relay/detach_key.h"
#include "relay/tracker.h"
#include "relay/tree_output.h"
#include "relay/window_size.h"

namespace grab::relay {

enum class DetachReason { kKey, kAsked, kOtherViewer };

struct ViewerOptions {
  WindowSize size;
  bool read_only = false;
  std::optional<unsigned char> detach_key = std::nullopt;  ///< a control character
  bool up_to_date = false;  ///< the first viewer of a tree just moved: there is nothing to paint
};

class ViewerState {
 public:
  enum class Showing {
    kRaw,      ///< the tree's bytes, from a position on
    kPicture,  ///< the screen, drawn when it is due: too slow, too small, or just come
    kAway,     ///< nothing: suspended or paused
    kLeft,     ///< nothing any more: it has been told to go
  };
  /// Why it is to be shown nothing more.
  enum class Leaving { kNo, kSuspend, kPause, kDetach, kEnd };

  ViewerState(ViewerId id, const ViewerOptions& options, const TreeOutput& output);

  // --- what it is shown
  /// What to write next; empty when there is nothing. Skips what it is not to see.
  [[nodiscard]] std::string_view next_bytes(const TreeOutput& output);
  /// The first `n` of next_bytes() are written.
  void took(std::size_t n);
  /// A line of our own behind all that has arrived. Inside a sequence only where the output stands
  /// still: it is cancelled, and begun again behind the line.
  void show_line(const std::string& line, const TreeOutput& output);
  /// Gives its position up: what was begun is ended, the modes are undone, a picture is due.
  void cut(const TreeOutput& output);
  [[nodiscard]] bool wants_picture() const;
  /// Draws the picture. `fits`: the window is large enough for raw bytes to follow.
  void draw(TreeOutput& output, bool fits);
  /// It has been shown all that it can be shown now.
  [[nodiscard]] bool is_up_to_date(const TreeOutput& output) const;
  /// Before output up to `before`, which it has been shown, is forgotten.
  void remember_modes(const TreeOutput& output, std::uint64_t before);

  // --- leaving and coming back
  /// It is shown all that has arrived and nothing more (suspend, end), or nothing more at all.
  void leave(Leaving why, const TreeOutput& output);
  /// Goes on leaving. True: everything is undone, or its terminal took nothing for too long.
  [[nodiscard]] bool has_finished(const TreeOutput& output);
  /// From now on nothing is written.
  void stand_aside(Showing showing, const TreeOutput& output);
  /// The terminal is ours again; a shell may have used it.
  void come_back(const TreeOutput& output, bool fits);
  /// What must still be written for a terminal as a shell expects it.
  [[nodiscard]] std::string farewell(const TreeOutput& output) const;

  [[nodiscard]] bool is_here() const { return showing != Showing::kAway && !has_left(); }
  [[nodiscard]] bool has_left() const { return showing == Showing::kLeft; }
  [[nodiscard]] bool is_leaving() const { return is_here() && leaving != Leaving::kNo; }
  /// Shown the tree, and not about to go.
  [[nodiscard]] bool stays() const { return is_here() && leaving == Leaving::kNo; }
  [[nodiscard]] bool is_raw() const { return showing == Showing::kRaw; }
  /// Output from `position` on is not to be forgotten.
  [[nodiscard]] bool holds_output() const { return showing == Showing::kRaw && !undone_; }
  /// It has not been sent away.
  [[nodiscard]] bool may_stay() const {
    return !has_left() && leaving != Leaving::kDetach && leaving != Leaving::kEnd;
  }

  /// What it takes is counted anew.
  void count_anew() {
    slow_rounds = 0;
    taken_then = taken;
  }

  // Free bytes of `input` that what DetachKey holds back may need.
  static constexpr std::size_t kInputBound = std::size_t{64} * 1024;
  [[nodiscard]] std::size_t input_room() const;

  ViewerId id;
  WindowSize size;
  bool read_only;
  DetachKey detach_key;
  std::string typed_behind;  ///< behind the key that detached it: not for the tree
  ByteRing input{kInputBound};
  bool writable = true;

  Showing showing = Showing::kPicture;
  Leaving leaving = Leaving::kNo;
  DetachReason reason = DetachReason::kKey;
  std::uint64_t position = 0;  ///< while raw: how far it has been shown the output
  bool waited_for = true;      ///< the tree is made to wait for it, within bounds
  bool picture_due = true;
  std::uint64_t drawn_at = 0;  ///< what the picture shows

  std::uint64_t taken = 0;       ///< bytes, ever
  std::uint64_t taken_then = 0;  ///< when counting began
  int slow_rounds = 0;           ///< in a row
  bool given_up = false;

 private:
  /// Bytes of our own at a place of the tree's output.
  struct Insert {
    std::uint64_t at = 0;
    std::string bytes;
    std::size_t taken = 0;
  };
  static constexpr std::size_t kMaxLines = 4096;  // bytes of lines for who does not look

  [[nodiscard]] std::uint64_t raw_end(const TreeOutput& output) const;
  [[nodiscard]] ScreenTracker modes_now(const TreeOutput& output) const;
  void skip(const TreeOutput::Query& query, const TreeOutput& output);
  [[nodiscard]] bool owes_insert() const;
  void append_own(std::string_view bytes);
  void keep_for_later(std::string_view line);

  std::string own_;  // bytes of ours that come before anything else
  std::size_t own_taken_ = 0;
  std::deque<Insert> inserts_;
  std::string later_;    // lines for when it is up to date again
  bool scroll_ = true;   // the picture is to scroll away what the terminal shows
  bool undone_ = false;  // what own_ ends with leaves the terminal without any mode of ours
  std::optional<std::uint64_t> left_at_;  // shown all up to there when it stood aside
  std::uint64_t last_ = 0;  // while leaving: the position that it is shown the output up to
  // The modes of its terminal when own_ is taken: as of modes_at_, for what is raw.
  ScreenTracker modes_;
  std::uint64_t modes_at_ = 0;
};

}  // namespace grab::relay
