// SPDX-License-Identifier: MIT
// The cells of one screen buffer. A row holds no more cells than were written in it: what lies
// behind them is blank in the default colours, so that an empty screen takes no memory.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "relay/style.h"

namespace grab::relay {

struct Cell {
  char32_t glyph = U' ';  ///< Grid::kComposed and above: an index of Grid's composed glyphs
  Colour foreground = 0, background = 0;
  std::uint16_t flags = 0;
  std::uint8_t width = 1;  ///< 0: the right half of the cell before
  bool guarded = false;    ///< DECSCA: selective erasing leaves it alone
  [[nodiscard]] Style style() const { return {foreground, background, flags}; }
  friend bool operator==(const Cell&, const Cell&) = default;
};
static_assert(sizeof(Cell) == 16);

/// End row and end column are exclusive.
struct Rect {
  int top = 0, bottom = 0, left = 0, right = 0;
  friend bool operator==(const Rect&, const Rect&) = default;
};

class Grid {
 public:
  static constexpr char32_t kComposed = 0x110000;  // behind Unicode's last

  Grid(int rows, int columns);
  [[nodiscard]] int rows() const { return static_cast<int>(rows_.size()); }
  [[nodiscard]] int columns() const { return columns_; }

  /// The cells of a row up to the last that was written.
  [[nodiscard]] std::span<const Cell> row(int row) const;
  [[nodiscard]] Cell cell(int row, int column) const;
  /// The code points of a cell; none for the right half of a wide one.
  [[nodiscard]] std::u32string glyph(const Cell& cell) const;

  // What lies outside of the grid is ignored by all of these.
  /// Writes a glyph of one or two columns. The other half of a wide one that it cuts is blanked.
  void put(int row, int column, std::u32string_view glyph, int width, const Style& style,
           bool guarded);
  void erase(Rect rect, Colour background, bool selective);
  /// Moves what is in the rectangle `up` rows up (down if negative) and `leftward` columns to the
  /// left (to the right if negative); what becomes free is erased.
  void scroll(Rect rect, int up, int leftward, Colour background);
  /// Takes `drop` rows away at the top, then adds or takes away rows at the bottom.
  void resize(int rows, int columns, int drop);
  /// How many rows there are up to the last that is not blank.
  [[nodiscard]] int used_rows() const;

 private:
  using Row = std::vector<Cell>;

  [[nodiscard]] Rect clip(Rect rect) const;
  static void blank_half(Row& row, int column);
  void move_cells(Rect rect, int up, int leftward);
  char32_t compose(std::u32string_view glyph);
  void forget_unused_glyphs();

  std::vector<Row> rows_;
  int columns_;
  std::vector<std::u32string> composed_;
  std::map<std::u32string, char32_t, std::less<>> composed_index_;
  std::size_t composed_bound_ = 1024;
};

}  // namespace grab::relay
