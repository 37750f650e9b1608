// SPDX-License-Identifier: MIT
// What the tree writes: the last of it in a bounded ring, the modes that it has set, and the
// picture of it, which is kept only as far as somebody needs it. Bytes are named by their position
// in the whole stream.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <span>
#include <string>
#include <string_view>

#include "relay/byte_ring.h"
#include "relay/screen.h"
#include "relay/tracker.h"
#include "relay/window_size.h"

namespace grab::relay {

using ViewerId = int;
inline constexpr ViewerId kNobody = 0;

class TreeOutput {
 public:
  /// A question of the tree to its terminal.
  struct Query {
    std::uint64_t begin = 0, end = 0;
    ViewerId asked = kNobody;  ///< whose terminal answers; kNobody: the screen does
  };

  TreeOutput(std::size_t capacity, WindowSize size) : ring_(capacity), screen_(size) {}

  [[nodiscard]] std::uint64_t begin() const { return ring_.begin(); }
  [[nodiscard]] std::uint64_t end() const { return ring_.end(); }
  [[nodiscard]] std::size_t size() const { return ring_.size(); }
  [[nodiscard]] bool full() const { return ring_.full(); }
  [[nodiscard]] std::string_view view(std::uint64_t from, std::uint64_t to) const {
    return ring_.view(from, to);
  }
  [[nodiscard]] std::span<char> space() { return ring_.space(); }
  /// The first `n` bytes of space() have been filled.
  void arrived(std::size_t n);
  /// Forgets what comes before `before`, once it is in the picture.
  void release(std::uint64_t before);

  /// As of end().
  [[nodiscard]] const ScreenTracker& modes() const { return modes_; }
  /// `modes`, of position `from`, as of `to`.
  void follow(ScreenTracker& modes, std::uint64_t from, std::uint64_t to) const;

  // --- queries
  /// Whose terminal is asked what comes from now on. Not changed inside a sequence.
  void ask(ViewerId viewer) { asked_ = viewer; }
  [[nodiscard]] ViewerId asked() const { return asked_; }
  [[nodiscard]] bool inside_sequence() const { return sequence_begin() != end(); }
  /// Where the unfinished sequence begins that may become a query: who is not asked is not shown
  /// more yet. Otherwise end().
  [[nodiscard]] std::uint64_t sequence_begin() const;
  /// The first query behind `position` that `viewer` is not asked; nullptr if there is none.
  [[nodiscard]] const Query* foreign_query(std::uint64_t position, ViewerId viewer) const;
  /// `viewer` will see nothing from `position` on: another is asked, or the screen answers.
  void ask_instead(ViewerId viewer, std::uint64_t position, ViewerId other);
  /// The screen is to answer, and has not.
  [[nodiscard]] bool has_unanswered() const;

  // --- the picture
  /// Brings the picture up to `upto`.
  void parse(std::uint64_t upto);
  /// What the screen answered to the queries that nobody else was asked.
  [[nodiscard]] std::string& answers() { return answers_; }
  void resize(WindowSize size);
  /// The picture as of end(), for a terminal without any mode of ours; `scroll` what it shows away.
  [[nodiscard]] std::string picture(WindowSize viewer, bool scroll);
  [[nodiscard]] std::string text();

 private:
  static constexpr std::size_t kMaxQuery = 256;          // longer than any query in use
  static constexpr std::size_t kMaxAnswers = 16 * 1024;  // of a program that does not read them

  using Queries = std::deque<Query>;
  [[nodiscard]] Queries::const_iterator query_behind(std::uint64_t position) const;
  void feed(std::string_view bytes, bool answer);

  ByteRing ring_;
  ScreenTracker modes_;
  Queries queries_;  // in the ring, in order
  ViewerId asked_ = kNobody;
  Screen screen_;
  std::uint64_t parsed_ = 0;  // how far screen_ has been fed
  std::string answers_;
};

}  // namespace grab::relay
