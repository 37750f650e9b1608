// SPDX-License-Identifier: MIT
#include "relay/paint.h"

#include <algorithm>

#include "relay/utf8.h"

namespace grab::relay {
namespace {

std::string move_to(Position to) {
  if (to == Position{})
    return "\x1b[H";
  std::string out = "\x1b[" + std::to_string(to.row + 1);
  if (to.column != 0)
    out += ';' + std::to_string(to.column + 1);
  return out + 'H';
}

// Draws cells from the home position on, on an empty screen.
class CellPainter {
 public:
  CellPainter(std::string& out, WindowSize viewer) : out_(out), viewer_(viewer) {}

  /// The pen is the default one before and afterwards.
  void draw(const Grid& grid) {
    const int rows = std::min<int>(grid.rows(), viewer_.rows);
    for (int row = 0; row < rows; ++row)
      draw_row(grid, row);
    select({});
  }
  void select(const Style& style) {
    out_ += change_style(pen_, style);
    pen_ = style;
  }
  void draw_cell(const Grid& grid, const Cell& cell) {
    select(cell.style());
    for (const char32_t code : grid.glyph(cell))
      append_utf8(out_, code);
  }

 private:
  void draw_row(const Grid& grid, int row) {
    const auto cells = grid.row(row);
    const int columns = std::min<int>(static_cast<int>(cells.size()), viewer_.columns);
    int blanks = 0;
    for (int column = 0; column < columns; ++column) {
      const Cell& cell = cells[static_cast<std::size_t>(column)];
      if (cell.width == 0)
        continue;
      if (cell == Cell{}) {
        ++blanks;
        continue;
      }
      reach(row, column, blanks);
      blanks = 0;
      if (column + cell.width > viewer_.columns) {
        Cell half = cell;
        half.glyph = U' ';
        half.width = 1;
        draw_cell(grid, half);
      } else {
        draw_cell(grid, cell);
      }
      at_ = {row, column + cell.width};
    }
  }

  // Goes to the place; `blanks` cells before it are empty.
  void reach(int row, int column, int blanks) {
    constexpr int kShorterAsSpaces = 4;
    if (at_.row + 1 == row && column == blanks) {
      out_ += "\r\n";
      at_ = {row, 0};
    }
    if (at_.row != row) {
      out_ += move_to({row, column});
    } else if (at_.column != column) {
      if (blanks <= kShorterAsSpaces && pen_ == Style{})
        out_.append(static_cast<std::size_t>(blanks), ' ');
      else
        out_ += "\x1b[" + std::to_string(blanks) + 'C';
    }
  }

  std::string& out_;
  WindowSize viewer_;
  Position at_;
  Style pen_;
};

}  // namespace

std::string paint_screen(Emulator& emulator, const ScreenTracker& modes, WindowSize viewer,
                         Before before) {
  if (viewer.rows == 0 || viewer.columns == 0) {
    viewer.rows = static_cast<unsigned short>(emulator.rows());
    viewer.columns = static_cast<unsigned short>(emulator.columns());
  }
  const HiddenState hidden = emulator.hidden_state();
  std::string out;
  if (before == Before::kScrolledAway) {
    out += move_to({viewer.rows - 1, 0});
    out.append(viewer.rows, '\n');
  }
  out += "\x1b[H\x1b[J";
  CellPainter painter(out, viewer);
  painter.draw(emulator.active());
  out += move_to(hidden.cursor);
  out += modes.redo();
  return out;
}

}  // namespace grab::relay
