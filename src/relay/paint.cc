// SPDX-License-Identifier: MIT
#include "relay/paint.h"

#include <algorithm>
#include <iterator>
#include <string_view>
#include <utility>
#include <vector>

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

// Draws cells, on an empty screen with the cursor in its home position.
class CellPainter {
 public:
  CellPainter(std::string& out, WindowSize viewer) : out_(out), viewer_(viewer) {}

  /// The pen is the default one before and afterwards.
  void draw(const Grid& grid) {
    at_ = {};
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

std::vector<int> usual_tab_stops(int columns) {
  std::vector<int> stops;
  for (int column = 8; column < columns - 1; column += 8)
    stops.push_back(column);
  return stops;
}

// One paint. The order is that in which nothing undoes what was set before.
class Painter {
 public:
  Painter(Emulator& emulator, const ScreenTracker& modes, WindowSize viewer)
      : emulator_(emulator),
        hidden_(emulator.hidden_state()),
        modes_(modes),
        viewer_(viewer),
        cells_(out_, viewer) {}

  std::string paint(Before before) {
    if (before == Before::kScrolledAway) {
      out_ += move_to({viewer_.rows - 1, 0});
      out_.append(viewer_.rows, '\n');
    }
    out_ += kClear;
    cells_.draw(emulator_.main());
    save_cursor();
    if (const Grid* alternate = emulator_.alternate(); alternate != nullptr) {
      out_ += modes_.redo_alternate_screen();
      cells_.select({});
      out_ += kClear;
      cells_.draw(*alternate);
    }
    cells_.select({});
    set_tab_stops();
    out_ += modes_.redo_geometry();
    set_margins();
    place_cursor();
    out_ += modes_.redo_text_modes();
    cells_.select(hidden_.pen);
    set_title();
    out_ += modes_.redo_other_modes();
    return std::move(out_);
  }

 private:
  static constexpr std::string_view kClear = "\x1b[H\x1b[J";

  [[nodiscard]] Position inside(Position at) const {
    return {std::min(at.row, viewer_.rows - 1), std::min(at.column, viewer_.columns - 1)};
  }

  // Leaving the alternate screen by mode 1049 goes back to it too.
  void save_cursor() {
    out_ += move_to(inside(hidden_.saved_cursor));
    cells_.select(hidden_.saved_pen);
    out_ +=
        "\x1b"
        "7";
  }

  void set_tab_stops() {
    if (hidden_.tab_stops == usual_tab_stops(emulator_.columns()))
      return;
    out_ += "\x1b[3g";
    for (const int column : hidden_.tab_stops) {
      if (column < viewer_.columns)
        out_ += move_to({0, column}) + "\x1bH";
    }
  }

  void set_margins() {
    const Rect& margins = hidden_.margins;
    if (margins.top != 0 || margins.bottom != emulator_.rows()) {
      out_ +=
          "\x1b[" + std::to_string(margins.top + 1) + ';' + std::to_string(margins.bottom) + 'r';
    }
    if (margins.left != 0 || margins.right != emulator_.columns()) {
      out_ +=
          "\x1b[" + std::to_string(margins.left + 1) + ';' + std::to_string(margins.right) + 's';
    }
  }

  void place_cursor() {
    const Position at = inside(hidden_.cursor);
    const bool relative = modes_.origin_mode();
    out_ += move_to({at.row - (relative ? hidden_.margins.top : 0),
                     at.column - (relative ? hidden_.margins.left : 0)});
    // A terminal waits with the wrap when the last column has just been written.
    if (hidden_.pending_wrap && at == hidden_.cursor)
      cells_.draw_cell(emulator_.active(), emulator_.active().cell(at.row, at.column));
  }

  void set_title() {
    if (modes_.title().empty())
      return;
    out_ += "\x1b]2;";
    std::copy_if(modes_.title().begin(), modes_.title().end(), std::back_inserter(out_),
                 [](char byte) { return static_cast<unsigned char>(byte) >= 0x20; });
    out_ += '\x07';
  }

  Emulator& emulator_;
  HiddenState hidden_;
  const ScreenTracker& modes_;
  WindowSize viewer_;
  std::string out_;
  CellPainter cells_;
};

}  // namespace

std::string paint_screen(Emulator& emulator, const ScreenTracker& modes, WindowSize viewer,
                         Before before) {
  if (viewer.rows == 0 || viewer.columns == 0) {
    viewer.rows = static_cast<unsigned short>(emulator.rows());
    viewer.columns = static_cast<unsigned short>(emulator.columns());
  }
  return Painter(emulator, modes, viewer).paint(before);
}

}  // namespace grab::relay
