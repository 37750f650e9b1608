// SPDX-License-Identifier: MIT
// What is said of libvterm here was seen with 0.1.4.
#include "relay/emulator.h"

#include <algorithm>
#include <array>
#include <cstring>

namespace grab::relay {
namespace {

Rect rect_of(const VTermRect& rect) {
  return {rect.start_row, rect.end_row, rect.start_col, rect.end_col};
}

Colour colour_of(const VTermColor& colour) {
  if (VTERM_COLOR_IS_DEFAULT_FG(&colour) || VTERM_COLOR_IS_DEFAULT_BG(&colour))
    return 0;
  if (VTERM_COLOR_IS_INDEXED(&colour))
    return kIndexedColour | colour.indexed.idx;
  return kRgbColour | static_cast<Colour>(colour.rgb.red) << 16 |
         static_cast<Colour>(colour.rgb.green) << 8 | colour.rgb.blue;
}

// A flag for each attribute that is on or off.
std::uint16_t flag_of(VTermAttr attribute) {
  switch (attribute) {
    case VTERM_ATTR_BOLD:
      return kBold;
    case VTERM_ATTR_ITALIC:
      return kItalic;
    case VTERM_ATTR_BLINK:
      return kBlink;
    case VTERM_ATTR_REVERSE:
      return kReverse;
    case VTERM_ATTR_STRIKE:
      return kStrike;
    default:
      return 0;
  }
}

void change_pen(Style& pen, VTermAttr attribute, const VTermValue& value) {
  const auto set = [&pen](unsigned mask, unsigned bits) {
    pen.flags = static_cast<std::uint16_t>((pen.flags & ~mask) | bits);
  };
  switch (attribute) {
    case VTERM_ATTR_UNDERLINE:
      set(kUnderlineMask, static_cast<unsigned>(value.number & 3) << kUnderlineShift);
      break;
    case VTERM_ATTR_FONT:
      set(kFaint, (value.number & kFaintFont) != 0 ? unsigned{kFaint} : 0);
      set(kConceal, (value.number & kConcealFont) != 0 ? unsigned{kConceal} : 0);
      break;
    case VTERM_ATTR_FOREGROUND:
      pen.foreground = colour_of(value.color);
      break;
    case VTERM_ATTR_BACKGROUND:
      pen.background = colour_of(value.color);
      break;
    default: {
      const unsigned flag = flag_of(attribute);
      set(flag, value.boolean != 0 ? flag : 0U);
    }
  }
}

// What sets libvterm's pen, where faint and concealed text are fonts.
std::string libvterm_pen(Style pen) {
  const int font = ((pen.flags & kFaint) != 0 ? kFaintFont : 0) |
                   ((pen.flags & kConceal) != 0 ? kConcealFont : 0);
  pen.flags = static_cast<std::uint16_t>(pen.flags & ~(kFaint | kConceal));
  return "\x1b[0;" + std::to_string(10 + font) + 'm' + change_style({}, pen);
}

std::string move_by(int count, char forward, char backward) {
  if (count == 0)
    return {};
  return "\x1b[" + std::to_string(std::abs(count)) + (count > 0 ? forward : backward);
}

}  // namespace

void* Emulator::allocate(std::size_t size, void* user) {
  auto& blocks = self(user).blocks_;
  blocks.push_back({std::make_unique<char[]>(size), size});
  return blocks.back().memory.get();
}

void Emulator::release(void* memory, void* user) {
  Emulator& emulator = self(user);
  if (emulator.keeps_memory_)
    return;
  std::erase_if(emulator.blocks_,
                [memory](const Block& block) { return block.memory.get() == memory; });
}

const VTermStateCallbacks& Emulator::callbacks() {
  static constexpr VTermStateCallbacks kCallbacks = {
      .putglyph =
          [](VTermGlyphInfo* info, VTermPos at, void* user) {
            self(user).put(*info, at);
            return 1;
          },
      .movecursor = nullptr,
      .scrollrect =
          [](VTermRect rect, int downward, int rightward, void* user) {
            self(user).scroll(rect, downward, rightward);
            return 1;
          },
      .moverect = nullptr,
      .erase =
          [](VTermRect rect, int selective, void* user) {
            self(user).erase(rect, selective != 0);
            return 1;
          },
      .initpen = nullptr,
      .setpenattr =
          [](VTermAttr attribute, VTermValue* value, void* user) {
            self(user).set_pen(attribute, *value);
            return 1;
          },
      .settermprop =
          [](VTermProp property, VTermValue* value, void* user) {
            self(user).set_property(property, *value);
            return 1;
          },
      .bell = nullptr,
      .resize =
          [](int rows, int columns, VTermPos* delta, void* user) {
            delta->row = -self(user).resize_grids(rows, columns);
            return 1;
          },
      .setlineinfo = [](int, const VTermLineInfo*, const VTermLineInfo*, void*) { return 1; },
  };
  return kCallbacks;
}

Emulator::Emulator(int rows, int columns) : main_(rows, columns) {
  // libvterm keeps the pointer.
  static VTermAllocatorFunctions functions = {&Emulator::allocate, &Emulator::release};
  vterm_ = vterm_new_with_allocator(rows, columns, &functions, this);
  vterm_set_utf8(vterm_, 1);
  vterm_output_set_callback(
      vterm_,
      [](const char* bytes, std::size_t size, void* user) {
        self(user).answer({bytes, size});
      },
      this);
  state_ = vterm_obtain_state(vterm_);
  vterm_state_set_callbacks(state_, &callbacks(), this);
  vterm_state_reset(state_, 1);
  write(
      "\x1b"
      "7");  // libvterm: the pen that DECRC restores is black on black at first
}

Emulator::~Emulator() {
  vterm_free(vterm_);
}

void Emulator::write(std::string_view bytes) {
  vterm_input_write(vterm_, bytes.data(), bytes.size());
}

Position Emulator::cursor() const {
  VTermPos at;
  vterm_state_get_cursorpos(state_, &at);
  return {at.row, at.col};
}

void Emulator::put(const VTermGlyphInfo& info, VTermPos at) {
  if (trial_ != nullptr) {
    trial_->glyphs.push_back({at.row, at.col});
    return;
  }
  // libvterm: a combining character without anything to join is drawn in no columns.
  if (info.width < 1)
    return;
  std::array<char32_t, VTERM_MAX_CHARS_PER_CELL> glyph;
  std::size_t size = 0;
  while (size < glyph.size() && info.chars[size] != 0) {
    glyph[size] = info.chars[size];
    ++size;
  }
  last_glyph_.assign(glyph.data(), size);
  shown().put(at.row, at.col, {glyph.data(), size}, info.width, pen_, info.protected_cell != 0);
}

void Emulator::erase(VTermRect rect, bool selective) {
  if (trial_ == nullptr)
    shown().erase(rect_of(rect), pen_.background, selective);
}

void Emulator::scroll(VTermRect rect, int up, int leftward) {
  if (trial_ != nullptr)
    trial_->scrolls.push_back({rect_of(rect), up, leftward});
  else
    shown().scroll(rect_of(rect), up, leftward, pen_.background);
}

void Emulator::set_pen(VTermAttr attribute, const VTermValue& value) {
  change_pen(trial_ != nullptr ? trial_->pen : pen_, attribute, value);
}

void Emulator::set_property(VTermProp property, const VTermValue& value) {
  if (trial_ != nullptr || property != VTERM_PROP_ALTSCREEN)
    return;
  if (value.boolean == 0)
    alternate_.reset();
  else if (!alternate_)
    alternate_.emplace(main_.rows(), main_.columns());
}

void Emulator::answer(std::string_view bytes) {
  if (trial_ == nullptr && answers_.size() + bytes.size() <= kMaxAnswers)
    answers_ += bytes;
}

Emulator::Trial Emulator::attempt(const std::function<void()>& action) {
  std::vector<std::string> before;
  for (const Block& block : blocks_)
    before.emplace_back(block.memory.get(), block.size);
  Trial trial;
  trial.pen = pen_;
  trial_ = &trial;
  keeps_memory_ = true;
  action();
  keeps_memory_ = false;
  trial_ = nullptr;
  blocks_.resize(before.size());
  for (std::size_t i = 0; i < before.size(); ++i)
    std::memcpy(blocks_[i].memory.get(), before[i].data(), before[i].size());
  return trial;
}

HiddenState Emulator::hidden_state() {
  HiddenState hidden;
  hidden.cursor = cursor();
  hidden.pen = pen_;
  const Trial next = attempt([&] { write("x"); });
  hidden.pending_wrap =
      !next.glyphs.empty() && (next.glyphs.front() != hidden.cursor ||
                               std::any_of(next.scrolls.begin(), next.scrolls.end(),
                                           [](const Trial::Scroll& scroll) { return scroll.up; }));
  const Trial saved = attempt([&] {
    write(
        "\x1b"
        "8");
    hidden.saved_cursor = cursor();
  });
  hidden.saved_pen = saved.pen;
  (void)attempt([&] {
    write("\x1b[?6h");
    hidden.margins.top = cursor().row;
    hidden.margins.left = cursor().column;
    write("\x1b[9999;9999H");
    hidden.margins.bottom = cursor().row + 1;
    hidden.margins.right = cursor().column + 1;
  });
  (void)attempt([&] {
    write("\x1b#5\r\t");
    for (int column = cursor().column; column < columns() - 1; column = cursor().column) {
      hidden.tab_stops.push_back(column);
      write("\t");
    }
  });
  return hidden;
}

bool Emulator::newline_scrolls() {
  if (columns() < kMinColumnsToCut)
    return false;
  const int row = cursor().row;
  bool stays = false;
  const Trial trial = attempt([&] {
    write("\r\n");
    stays = cursor() == Position{row, 0};
    write("x");
  });
  return stays && trial.scrolls.size() == 1 && trial.scrolls[0].up == 1 &&
         trial.scrolls[0].leftward == 0 && trial.scrolls[0].rect.left == 0 &&
         trial.scrolls[0].rect.right == columns() && trial.glyphs == std::vector{Position{row, 0}};
}

void Emulator::resize(int rows, int columns) {
  if (rows == this->rows() && columns == this->columns())
    return;
  prepare_resize(rows, columns);
  vterm_set_size(vterm_, rows, columns);
}

// What is below the cursor goes first, then what is at the top: as terminals do. Returns how many
// rows the shown screen loses at the top.
int Emulator::resize_grids(int rows, int columns) {
  const int drop = std::max(0, cursor().row - (rows - 1));
  if (alternate_) {
    main_.resize(rows, columns, drop_of_main_);
    alternate_->resize(rows, columns, drop);
  } else {
    main_.resize(rows, columns, drop);
  }
  return drop;
}

// libvterm: margins and the saved cursor do not follow a resize. With margins outside of the screen
// it moves memory that it does not have; DECRC leaves the screen. So margins are taken away, as
// terminals do, and the saved cursor is pulled in. Nothing of this is drawn.
void Emulator::prepare_resize(int rows, int columns) {
  const HiddenState before = hidden_state();
  drop_of_main_ = std::max(0, before.saved_cursor.row - (rows - 1));
  Trial ignored;
  trial_ = &ignored;
  write(
      "\x1b[r\x1b[s\x1b"
      "8");
  const Position saved = cursor();
  write(move_by(std::min(saved.row, rows - 1) - saved.row, 'B', 'A') +
        move_by(std::min(saved.column, columns - 1) - saved.column, 'C', 'D') +
        "\x1b"
        "7");
  const Position at = cursor();
  write(libvterm_pen(before.pen) + move_by(before.cursor.row - at.row, 'B', 'A') +
        move_by(before.cursor.column - at.column, 'C', 'D'));
  if (before.pending_wrap)
    write("x");
  trial_ = nullptr;
}

}  // namespace grab::relay
