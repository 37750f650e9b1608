// SPDX-License-Identifier: MIT
// The screen that is kept for viewers who come later: however the stream is cut, whatever is left
// out of it because it will have scrolled away, and after it has been painted on another terminal,
// it is the same screen, and goes on being the same whatever is written next.
#include <rapidcheck.h>

#include <algorithm>
#include <string>
#include <string_view>
#include <vector>

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include "relay/emulator.h"
#include "relay/input_filter.h"
#include "relay/paint.h"
#include "relay/plain_text.h"
#include "relay/screen.h"
#include "relay/tracker.h"

namespace grab::relay {
namespace {

constexpr WindowSize kScreenSize = {7, 24, 0, 0};

/// Everything that can be told of a screen. Glyphs are spelled out, blank cells at the end of rows
/// left out.
struct Picture {
  std::vector<std::string> main, alternate;
  HiddenState hidden;
  friend bool operator==(const Picture&, const Picture&) = default;
};

void showValue(const Picture& picture, std::ostream& out) {
  for (const auto* rows : {&picture.main, &picture.alternate}) {
    for (const std::string& row : *rows)
      out << '|' << row << "|\n";
    out << "--\n";
  }
  const HiddenState& h = picture.hidden;
  out << "cursor " << h.cursor.row << ',' << h.cursor.column << (h.pending_wrap ? " wraps" : "")
      << " saved " << h.saved_cursor.row << ',' << h.saved_cursor.column << " pen " << h.pen.flags
      << '/' << h.pen.foreground << '/' << h.pen.background << " saved pen " << h.saved_pen.flags
      << '/' << h.saved_pen.foreground << '/' << h.saved_pen.background << " margins "
      << h.margins.top << '-' << h.margins.bottom << ' ' << h.margins.left << '-' << h.margins.right
      << " tabs";
  for (const int stop : h.tab_stops)
    out << ' ' << stop;
}

std::vector<std::string> rows_of(const Grid& grid) {
  std::vector<std::string> rows;
  for (int row = 0; row < grid.rows(); ++row) {
    std::string text, kept;
    for (const Cell& cell : grid.row(row)) {
      for (const char32_t code : grid.glyph(cell))
        text += code < 0x7f ? std::string(1, static_cast<char>(code))
                            : "<" + std::to_string(static_cast<unsigned>(code)) + ">";
      if (cell.style() != Style{})
        text += "{" + std::to_string(cell.flags) + "," + std::to_string(cell.foreground) + "," +
                std::to_string(cell.background) + "}";
      if (cell.width == 0)
        text += '_';
      if (cell != Cell{})
        kept = text;
    }
    rows.push_back(kept);
  }
  return rows;
}

/// The screen's parts, driven here without Screen, so that nothing is left out.
struct ShownTerminal {
  Emulator emulator{kScreenSize.rows, kScreenSize.columns};
  InputFilter filter;
  ScreenTracker modes;

  void feed(std::string_view bytes) {
    filter.feed(bytes, emulator);
    modes.follow(bytes);
  }
  Picture picture() {
    return {rows_of(emulator.main()),
            emulator.alternate() != nullptr ? rows_of(*emulator.alternate())
                                            : std::vector<std::string>{},
            emulator.hidden_state()};
  }
};

rc::Gen<std::string> number(int largest) {
  return rc::gen::map(rc::gen::inRange(0, largest + 1), [](int n) { return std::to_string(n); });
}

rc::Gen<std::string> control(const std::string& before, const std::string& finals) {
  return rc::gen::apply(
      [before](const std::string& a, const std::string& b, bool both, char final) {
        return "\x1b[" + before + a + (both ? ";" + b : "") + final;
      },
      number(26), number(26), rc::gen::arbitrary<bool>(), rc::gen::elementOf(finals));
}

rc::Gen<std::string> private_modes() {
  return rc::gen::apply(
      [](const std::string& mode, bool on) { return "\x1b[?" + mode + (on ? "h" : "l"); },
      rc::gen::element<std::string>("1", "5", "6", "7", "25", "47", "69", "1000", "1047", "1048",
                                    "1049", "1049", "2004", "1;1049"),
      rc::gen::arbitrary<bool>());
}

rc::Gen<std::string> pens() {
  return rc::gen::map(rc::gen::container<std::vector<std::string>>(rc::gen::element<std::string>(
                          "0", "1", "2", "3", "4", "4:3", "5", "7", "8", "9", "21", "22", "24",
                          "27", "28", "31", "42", "95", "106", "39", "49", "38;5;9", "48;5;200",
                          "38;2;1;2;3", "48:2::4:5:6", "58;5;3", "58:2::1:2:3", "12")),
                      [](const std::vector<std::string>& parts) {
                        std::string out = "\x1b[";
                        for (const std::string& part : parts)
                          out += (out.size() > 2 ? ";" : "") + part;
                        return out + "m";
                      });
}

rc::Gen<std::string> words() {
  return rc::gen::map(
      rc::gen::container<std::vector<std::string>>(
          rc::gen::weightedElement<std::string>({{12, "a"},
                                                 {6, "bcd"},
                                                 {3, " "},
                                                 {2, "\t"},
                                                 {4, "\r\n"},
                                                 {1, "\n"},
                                                 {1, "\r"},
                                                 {1, "\b"},
                                                 {1, "q"},
                                                 {2, "\xe4\xb8\xad"},
                                                 {1, "e\xcc\x81"},
                                                 {1, "\xcc\x82"},
                                                 {1, "\xf0\x9f\x98\x80"},
                                                 {1, "\xe2\x80\x8b"},
                                                 {1, "\xff"},
                                                 {1, "\xe2\x82"},
                                                 {1, "\xc2\x9b"},
                                                 {1, "0123456789012345678901234"}})),
      [](const std::vector<std::string>& parts) {
        std::string out;
        for (const std::string& part : parts)
          out += part;
        return out;
      });
}

/// Any piece of a stream. What libvterm and every terminal disagree about is left out: charsets
/// that DECRC restores, protected cells; and see is_beyond_reach().
rc::Gen<std::string> pieces() {
  return rc::gen::weightedOneOf<std::string>(
      {{10, words()},
       {4, control("", "ABCDEFGHIJKLMPSTXZ@`adefrb")},
       {2, control("", "Hrg")},
       {1, control("?", "JK")},
       {3, private_modes()},
       {3, pens()},
       {2, rc::gen::element<std::string>("\x1b"
                                         "7",
                                         "\x1b"
                                         "8",
                                         "\x1b[s", "\x1b[u", "\x1bM",
                                         "\x1b"
                                         "D",
                                         "\x1b"
                                         "E",
                                         "\x1bH", "\x1b[4h", "\x1b[4l", "\x1b[20h", "\x1b[20l",
                                         "\x1b(0", "\x1b(B", "\x1b)0", "\x0e", "\x0f", "\x1b[!p",
                                         "\x1b"
                                         "c",
                                         "\x1b#8", "\x1b[2J", "\x1b[H", "\x1b[3g", "\x1b[r",
                                         "\x1bN", "\x1bn")},
       {1, rc::gen::element<std::string>("\x1b]0;title\x07", "\x1bP$qm\x1b\\", "\x1b[5 q",
                                         "\x1b[>1u", "\x1b[c", "\x1b[999999999I", "\x1b[3",
                                         "\x1b]2;cut", "\x1bPcut")}});
}

rc::Gen<std::string> streams() {
  return rc::gen::map(rc::gen::container<std::vector<std::string>>(pieces()),
                      [](const std::vector<std::string>& parts) {
                        std::string out;
                        for (const std::string& part : parts)
                          out += part;
                        return out;
                      });
}

/// The cursor is where no terminal has it, but libvterm has: outside of the margins in origin mode,
/// as after DECRC, which gives terminals the origin mode of DECSC; or it waits with the wrap one
/// column before the last, where it has drawn a wide glyph that has been erased since.
bool is_beyond_reach(ShownTerminal& terminal) {
  const HiddenState hidden = terminal.emulator.hidden_state();
  const Position at = hidden.cursor;
  const Rect& margins = hidden.margins;
  const bool outside = at.row < margins.top || at.row >= margins.bottom ||
                       at.column < margins.left || at.column >= margins.right;
  const bool behind_nothing = hidden.pending_wrap && at.column == margins.right - 2 &&
                              terminal.emulator.active().cell(at.row, at.column).width != 2;
  return (terminal.modes.origin_mode() && outside) || behind_nothing;
}

RC_GTEST_PROP(ScreenPaint, ShowsTheSameOnAnotherTerminal, ()) {
  const std::string stream = *streams();
  const std::string before = *streams();
  ShownTerminal kept;
  kept.feed(stream);
  RC_PRE(!is_beyond_reach(kept));
  const Picture picture = kept.picture();
  const std::string paint =
      paint_screen(kept.emulator, kept.modes, kScreenSize, Before::kScrolledAway);
  RC_ASSERT(kept.picture() == picture);

  ShownTerminal viewer;
  viewer.feed(before);
  viewer.feed(viewer.modes.undo());
  viewer.feed(paint);
  RC_LOG() << paint;
  RC_ASSERT(viewer.modes.between_sequences());
  RC_ASSERT(viewer.picture() == picture);
  const std::string then = "x" + *streams();
  const std::string unfinished = kept.modes.unfinished();
  viewer.feed(unfinished);
  kept.feed(then);
  viewer.feed(then);
  RC_ASSERT(viewer.picture() == kept.picture());
}

/// What may be in a line of text: styles, and the rest of it erased.
rc::Gen<std::string> line_sequences() {
  return rc::gen::weightedOneOf<std::string>(
      {{6, rc::gen::just(std::string())},
       {2, pens()},
       {1, rc::gen::element<std::string>("\x1b[K", "\x1b[1K", "\x1b[2K", "\x1b[m",
                                         "\x1b[0;44m\x1b[K", "\x1b[m\x1b[K", "\x1b[48;5;200m")}});
}

/// Text as programs write it in bulk, with now and then what makes a cut unsound.
rc::Gen<std::string> long_texts() {
  const auto line = rc::gen::apply(
      [](const std::string& before, const std::string& text, const std::string& behind,
         const std::string& end) { return before + text + behind + end; },
      line_sequences(), words(), line_sequences(),
      rc::gen::weightedElement<std::string>({{40, "\r\n"},
                                             {2, "\n"},
                                             {1, "\n\r"},
                                             {1, "\x0e\r\n"},
                                             {1, "\x0f"},
                                             {1, "\xe4\xb8"},
                                             {1, "\r\n\xcc\x81"},
                                             {1, "\v\r\n"},
                                             {1, "\x1b[3"},
                                             {1, "\x1b[3\x07m"},
                                             {1, "\x07\x18\r\n"}}));
  return rc::gen::apply(
      [](const std::vector<std::string>& lines, int times) {
        std::string out;
        for (int i = 0; i < times; ++i) {
          for (const std::string& one : lines)
            out += one;
          out += std::to_string(i);
        }
        return out;
      },
      rc::gen::resize(12, rc::gen::container<std::vector<std::string>>(line)),
      rc::gen::inRange(1, 80));
}

/// Feeds it line by line to one that parses everything.
void feed_line_by_line(ShownTerminal& terminal, std::string_view bytes) {
  while (!bytes.empty()) {
    const std::size_t end = std::min(bytes.find('\n'), bytes.size() - 1) + 1;
    terminal.feed(bytes.substr(0, end));
    bytes.remove_prefix(end);
  }
}

/// Feeds it in pieces of whole lines, of about that size.
void feed_in_pieces(Screen& screen, std::string_view bytes, std::size_t size) {
  while (!bytes.empty()) {
    const std::size_t end = std::min(bytes.find('\n', size), bytes.size() - 1) + 1;
    screen.feed(bytes.substr(0, end));
    bytes.remove_prefix(end);
  }
}

RC_GTEST_PROP(ScreenCut, IsNotSeen, ()) {
  Screen cut(kScreenSize);
  ShownTerminal uncut;
  const auto same = [&](WindowSize size) {
    return cut.paint(uncut.modes, size) ==
           paint_screen(uncut.emulator, uncut.modes, size, Before::kScrolledAway);
  };
  const int rounds = *rc::gen::inRange(1, 4);
  for (int round = 0; round < rounds; ++round) {
    const std::string stream = *streams() + *long_texts() + *streams();
    feed_in_pieces(cut, stream, *rc::gen::element<std::size_t>(100, 1100, 5000, 100'000));
    feed_line_by_line(uncut, stream);
    RC_ASSERT(same(kScreenSize));
    const WindowSize size = {*rc::gen::inRange<unsigned short>(1, 12),
                             *rc::gen::inRange<unsigned short>(1, 40), 0, 0};
    cut.resize(size);
    uncut.emulator.resize(size.rows, size.columns);
    RC_ASSERT(same(size));
  }
}

/// It is left out at all: otherwise the property above would say nothing.
TEST(ScreenCut, LeavesOutWhatHasScrolledAway) {
  std::string text;
  for (int i = 0; i < 100; ++i)
    text += "\x1b[3" + std::to_string(i % 8) + "mline " + std::to_string(i) + "\x1b[K\r\n";
  ASSERT_EQ(run_size(text), text.size());
  ASSERT_EQ(run_size(text + "\x1b[2J"), text.size());
  const std::size_t tail = tail_begin(text, kScreenSize.rows);
  EXPECT_EQ(text.substr(tail), text.substr(text.find("\r\n\x1b[36mline 94"))) << text.substr(tail);
  EXPECT_EQ(styles_of(text.substr(0, tail)).substr(0, 10), "\x1b[30m\x1b[31m");
  EXPECT_EQ(styles_of("\x1b[31ma\x1b[Kb\x1b[m\x1b[1mc"), "\x1b[m\x1b[1m");
}

RC_GTEST_PROP(ScreenFeed, MayBeCutAnywhere, ()) {
  const std::string stream = *streams();
  ShownTerminal whole, pieces;
  whole.feed(stream);
  for (const char byte : stream)
    pieces.feed(std::string_view(&byte, 1));
  RC_ASSERT(pieces.modes.undo() == whole.modes.undo());
  RC_ASSERT(pieces.modes.redo() == whole.modes.redo());
  RC_ASSERT(pieces.modes.unfinished() == whole.modes.unfinished());
  RC_ASSERT(pieces.modes.title() == whole.modes.title());
}

RC_GTEST_PROP(ScreenFeed, SurvivesGarbage, (const std::string& garbage)) {
  Screen screen(kScreenSize);
  ScreenTracker modes;
  for (const WindowSize size :
       {WindowSize{1, 1, 0, 0}, {0, 0, 0, 0}, {60, 3, 0, 0}, {2, 90, 0, 0}}) {
    screen.feed(garbage);
    modes.follow(garbage);
    screen.resize(size);
    RC_ASSERT(screen.paint(modes, kScreenSize).size() < 100'000U);
  }
}

}  // namespace
}  // namespace grab::relay
