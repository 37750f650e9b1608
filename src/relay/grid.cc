// SPDX-License-Identifier: MIT
#include "relay/grid.h"

#include <algorithm>
#include <cstdlib>
#include <utility>

namespace grab::relay {
namespace {

Cell blank(Colour background) {
  Cell cell;
  cell.background = background;
  return cell;
}

// Makes the row end behind `column` at least, so that its cells can be written.
void reach(std::vector<Cell>& row, int columns) {
  if (row.size() < static_cast<std::size_t>(columns))
    row.resize(static_cast<std::size_t>(columns));
}

}  // namespace

Grid::Grid(int rows, int columns) : rows_(static_cast<std::size_t>(rows)), columns_(columns) {}

std::span<const Cell> Grid::row(int row) const {
  return rows_[static_cast<std::size_t>(row)];
}

Cell Grid::cell(int row, int column) const {
  const auto cells = this->row(row);
  const auto index = static_cast<std::size_t>(column);
  return index < cells.size() ? cells[index] : Cell{};
}

std::u32string Grid::glyph(const Cell& cell) const {
  if (cell.width == 0)
    return {};
  if (cell.glyph >= kComposed)
    return composed_[cell.glyph - kComposed];
  return {cell.glyph};
}

Rect Grid::clip(Rect rect) const {
  return {std::max(rect.top, 0), std::min(rect.bottom, rows()), std::max(rect.left, 0),
          std::min(rect.right, columns_)};
}

// Before `column` is written or erased: a wide glyph that has a half there and one beyond is gone.
void Grid::blank_half(Row& row, int column) {
  const auto index = static_cast<std::size_t>(column);
  if (column <= 0 || index >= row.size() || row[index].width != 0)
    return;
  for (Cell* cell : {&row[index - 1], &row[index]}) {
    cell->glyph = U' ';
    cell->width = 1;
  }
}

void Grid::put(int row, int column, std::u32string_view glyph, int width, const Style& style,
               bool guarded) {
  if (row < 0 || row >= rows() || column < 0 || column >= columns_ || glyph.empty())
    return;
  width = std::clamp(width, 1, std::min(2, columns_ - column));
  Row& cells = rows_[static_cast<std::size_t>(row)];
  reach(cells, column + width);
  blank_half(cells, column);
  blank_half(cells, column + width);
  Cell& cell = cells[static_cast<std::size_t>(column)];
  cell = {glyph.size() == 1 ? glyph.front() : compose(glyph),
          style.foreground,
          style.background,
          style.flags,
          static_cast<std::uint8_t>(width),
          guarded};
  if (width == 2) {
    Cell& half = cells[static_cast<std::size_t>(column) + 1];
    half = cell;
    half.glyph = U' ';
    half.width = 0;
  }
}

void Grid::erase(Rect rect, Colour background, bool selective) {
  rect = clip(rect);
  if (rect.left >= rect.right)
    return;
  const auto left = static_cast<std::size_t>(rect.left);
  for (int r = rect.top; r < rect.bottom; ++r) {
    Row& row = rows_[static_cast<std::size_t>(r)];
    blank_half(row, rect.left);
    blank_half(row, rect.right);
    if (background != 0)
      reach(row, rect.right);
    const std::size_t end = std::min(row.size(), static_cast<std::size_t>(rect.right));
    if (background == 0 && !selective && end == row.size() && left < end) {
      row.resize(left);
      continue;
    }
    for (std::size_t c = left; c < end; ++c) {
      if (!selective || !row[c].guarded)
        row[c] = blank(background);
    }
  }
}

void Grid::scroll(Rect rect, int up, int leftward, Colour background) {
  rect = clip(rect);
  if (rect.top >= rect.bottom || rect.left >= rect.right)
    return;
  const int height = rect.bottom - rect.top, width = rect.right - rect.left;
  up = std::clamp(up, -height, height);
  leftward = std::clamp(leftward, -width, width);
  if (leftward == 0 && width == columns_) {
    const auto first = rows_.begin() + rect.top, last = rows_.begin() + rect.bottom;
    std::rotate(first, up >= 0 ? first + up : last + up, last);
  } else {
    move_cells(rect, up, leftward);
  }
  Rect freed = rect;
  if (up > 0)
    freed.top = rect.bottom - up;
  else
    freed.bottom = rect.top - up;
  if (up != 0)
    erase(freed, background, false);
  freed = rect;
  if (leftward > 0)
    freed.left = rect.right - leftward;
  else
    freed.right = rect.left - leftward;
  if (leftward != 0)
    erase(freed, background, false);
}

// The part of scroll() that copies; `rect` lies in the grid and is not empty.
void Grid::move_cells(Rect rect, int up, int leftward) {
  // Wide glyphs do not survive an edge through their middle.
  for (int r = rect.top; r < rect.bottom; ++r) {
    Row& row = rows_[static_cast<std::size_t>(r)];
    for (const int edge : {rect.left, rect.right, rect.left + leftward, rect.right + leftward})
      blank_half(row, edge);
  }
  const int height = rect.bottom - rect.top - std::abs(up);
  const int kept = rect.right - rect.left - std::abs(leftward);
  const int from = rect.left + std::max(leftward, 0), start = rect.left + std::max(-leftward, 0);
  Row moved(static_cast<std::size_t>(kept));
  for (int i = 0; i < height; ++i) {
    const int to = up >= 0 ? rect.top + i : rect.bottom - 1 - i;
    for (int k = 0; k < kept; ++k)
      moved[static_cast<std::size_t>(k)] = cell(to + up, from + k);
    Row& row = rows_[static_cast<std::size_t>(to)];
    reach(row, start + kept);
    std::copy(moved.begin(), moved.end(), row.begin() + start);
  }
}

void Grid::resize(int rows, int columns, int drop) {
  drop = std::clamp(drop, 0, this->rows());
  rows_.erase(rows_.begin(), rows_.begin() + drop);
  rows_.resize(static_cast<std::size_t>(rows));
  for (Row& row : rows_) {
    blank_half(row, columns);
    if (row.size() > static_cast<std::size_t>(columns))
      row.resize(static_cast<std::size_t>(columns));
  }
  columns_ = columns;
}

int Grid::used_rows() const {
  for (int r = rows(); r > 0; --r) {
    const auto cells = row(r - 1);
    if (!std::all_of(cells.begin(), cells.end(), [](const Cell& cell) { return cell == Cell{}; }))
      return r;
  }
  return 0;
}

char32_t Grid::compose(std::u32string_view glyph) {
  if (const auto known = composed_index_.find(glyph); known != composed_index_.end())
    return known->second;
  if (composed_.size() >= composed_bound_)
    forget_unused_glyphs();
  const auto code = static_cast<char32_t>(kComposed + composed_.size());
  composed_.emplace_back(glyph);
  composed_index_.emplace(glyph, code);
  return code;
}

void Grid::forget_unused_glyphs() {
  std::vector<std::u32string> kept;
  std::map<std::u32string, char32_t, std::less<>> index;
  for (Row& row : rows_) {
    for (Cell& cell : row) {
      if (cell.glyph < kComposed)
        continue;
      const std::u32string& glyph = composed_[cell.glyph - kComposed];
      const auto [at, is_new] =
          index.emplace(glyph, static_cast<char32_t>(kComposed + kept.size()));
      if (is_new)
        kept.push_back(glyph);
      cell.glyph = at->second;
    }
  }
  composed_ = std::move(kept);
  composed_index_ = std::move(index);
  composed_bound_ = std::max<std::size_t>(1024, 2 * composed_.size());
}

}  // namespace grab::relay
