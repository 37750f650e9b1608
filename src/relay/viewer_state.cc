// SPDX-License-Identifier: MIT
#include "relay/viewer_state.h"

#include <algorithm>
#include <cassert>
#include <utility>

namespace grab::relay {
namespace {

constexpr std::string_view kCancelString = "\x18", kEndOfString = "\x1b\\";
constexpr std::string_view kStringBegins = "]PX^_";  // behind ESC

bool is_continuation(char byte) {
  return (static_cast<unsigned char>(byte) & 0xc0) == 0x80;
}

}  // namespace

ViewerState::ViewerState(ViewerId viewer, const ViewerOptions& options, const TreeOutput& output)
    : id(viewer),
      size(options.size),
      read_only(options.read_only),
      detach_key(options.detach_key),
      position(output.end()),
      modes_at_(output.end()) {
  if (!options.up_to_date)
    return;
  showing = Showing::kRaw;
  picture_due = false;
  modes_ = output.modes();
}

// ---------------------------------------------------------------- what it is shown

// How far it is shown raw bytes for now.
std::uint64_t ViewerState::raw_end(const TreeOutput& output) const {
  if (leaving != Leaving::kNo)
    return last_;
  return output.asked() == id ? output.end() : output.sequence_begin();
}

std::string_view ViewerState::next_bytes(const TreeOutput& output) {
  if (!is_here())
    return {};
  if (!own_.empty())
    return std::string_view(own_).substr(own_taken_);
  if (!holds_output())
    return {};
  for (;;) {
    std::uint64_t stop = raw_end(output);
    if (!inserts_.empty()) {
      const Insert& insert = inserts_.front();
      if (insert.at <= position)
        return std::string_view(insert.bytes).substr(insert.taken);
      stop = std::min(stop, insert.at);
    }
    if (position >= stop)
      return {};
    const TreeOutput::Query* query = output.foreign_query(position, id);
    if (query == nullptr || query->begin < position)
      return output.view(position, stop);
    if (query->begin > position)
      return output.view(position, std::min(stop, query->begin));
    skip(*query, output);
  }
}

// A query may begin by ending a sequence that was unfinished: then that has to be ended all the
// same.
void ViewerState::skip(const TreeOutput::Query& query, const TreeOutput& output) {
  remember_modes(output, position);
  if (!modes_.between_sequences())
    inserts_.push_front({position, std::string(kCancelString), 0});
  position = query.end;
}

void ViewerState::took(std::size_t n) {
  taken += n;
  if (!own_.empty()) {
    own_taken_ += n;
    if (own_taken_ == own_.size()) {
      own_.clear();
      own_taken_ = 0;
    }
    return;
  }
  if (!inserts_.empty() && inserts_.front().at <= position) {
    Insert& insert = inserts_.front();
    insert.taken += n;
    if (insert.taken == insert.bytes.size())
      inserts_.pop_front();
    return;
  }
  position += n;
}

void ViewerState::append_own(std::string_view bytes) {
  own_ += bytes;
}

void ViewerState::keep_for_later(std::string_view line) {
  if (later_.size() + line.size() <= kMaxLines)
    later_ += line;
}

void ViewerState::show_line(const std::string& line, const TreeOutput& output) {
  if (!holds_output()) {
    keep_for_later(line);
    return;
  }
  std::size_t waiting = line.size();
  for (const Insert& insert : inserts_)
    waiting += insert.bytes.size();
  if (waiting > kMaxLines)
    return;
  const std::uint64_t at = raw_end(output);
  const bool at_end = at == output.end();
  // What may become a query and is kept back begins with an ESC, which may break off a sequence:
  // the terminal is within that until then, and would take the line for the rest of it.
  std::string bytes = line;
  ScreenTracker there = at_end ? output.modes() : modes_;
  if (!at_end)
    output.follow(there, modes_at_, at);
  if (!there.between_sequences() && (at_end || modes_at_ < at)) {
    const std::string begun(there.unfinished());
    const bool string = begun.size() > 1 && kStringBegins.find(begun[1]) != kStringBegins.npos;
    bytes.insert(0, string ? kEndOfString : kCancelString);
    if (at_end)
      bytes += begun;
  }
  inserts_.push_back({at, std::move(bytes), 0});
}

ScreenTracker ViewerState::modes_now(const TreeOutput& output) const {
  if (!is_raw())
    return modes_;
  if (position == output.end())
    return output.modes();
  ScreenTracker modes = modes_;
  output.follow(modes, modes_at_, position);
  return modes;
}

void ViewerState::remember_modes(const TreeOutput& output, std::uint64_t before) {
  if (!holds_output() || modes_at_ >= before)
    return;
  if (position == output.end()) {
    modes_ = output.modes();
    modes_at_ = position;
    return;
  }
  output.follow(modes_, modes_at_, before);
  modes_at_ = before;
}

// It has begun, or ends what has begun: a sequence before a query that was left out.
bool ViewerState::owes_insert() const {
  if (inserts_.empty())
    return false;
  const Insert& next = inserts_.front();
  return next.taken > 0 || (next.at <= position && next.bytes == kCancelString);
}

std::string ViewerState::farewell(const TreeOutput& output) const {
  std::string rest(std::string_view(own_).substr(own_taken_));
  if (undone_)
    return rest;
  const ScreenTracker modes = modes_now(output);
  if (is_raw() && own_.empty()) {
    if (owes_insert())
      rest += std::string_view(inserts_.front().bytes).substr(inserts_.front().taken);
    // A character is completed: nothing cancels it.
    if (modes.between_sequences() && !modes.unfinished().empty()) {
      for (std::uint64_t at = position; at < output.end(); ++at) {
        const char byte = output.view(at, at + 1).front();
        if (!is_continuation(byte))
          break;
        rest += byte;
      }
    }
  }
  return rest + modes.undo();
}

void ViewerState::cut(const TreeOutput& output) {
  assert(holds_output());
  own_ = farewell(output);
  own_taken_ = 0;
  if (owes_insert())
    inserts_.pop_front();
  for (const Insert& insert : std::exchange(inserts_, {}))
    keep_for_later(insert.bytes);
  showing = Showing::kPicture;
  modes_ = {};
  waited_for = false;
  picture_due = leaving == Leaving::kNo;
  undone_ = !picture_due;
}

bool ViewerState::wants_picture() const {
  return showing == Showing::kPicture && picture_due && own_.empty() && !undone_ && writable &&
         !given_up;
}

void ViewerState::draw(TreeOutput& output, bool fits) {
  own_ = modes_.undo();
  own_ += output.picture(size, std::exchange(scroll_, false));
  own_taken_ = 0;
  picture_due = false;
  modes_ = output.modes();
  modes_at_ = drawn_at = output.end();
  position = fits ? raw_end(output) : output.end();
  if (leaving != Leaving::kNo)
    position = output.end();
  if (fits && position == output.end())
    own_ += modes_.unfinished();
  else if (!modes_.between_sequences())
    modes_.follow(kCancelString);  // it is not shown what has begun
  modes_at_ = position;
  if (fits)
    showing = Showing::kRaw;
  if (later_.empty())
    return;
  if (fits)
    inserts_.push_back({position, std::exchange(later_, {}), 0});
  else
    own_ += std::exchange(later_, {});
}

bool ViewerState::is_up_to_date(const TreeOutput& output) const {
  return is_raw() && own_.empty() && inserts_.empty() && position >= raw_end(output);
}

std::size_t ViewerState::input_room() const {
  const std::size_t room = kInputBound - input.size();
  return room - std::min(room, DetachKey::kMaxHeld);
}

// ---------------------------------------------------------------- leaving and coming back

void ViewerState::leave(Leaving why, const TreeOutput& output) {
  assert(is_here());
  leaving = why;
  last_ = output.end();
  count_anew();
  if (undone_)
    return;
  if (why == Leaving::kSuspend || why == Leaving::kEnd) {
    picture_due = !is_raw();
  } else if (is_raw()) {
    cut(output);
  } else {
    append_own(modes_.undo());
    modes_ = {};
    undone_ = true;
  }
}

bool ViewerState::has_finished(const TreeOutput& output) {
  if (given_up)
    return true;
  if (!undone_) {
    if (is_raw() ? !next_bytes(output).empty() : picture_due || !own_.empty())
      return false;
    append_own(modes_now(output).undo());
    undone_ = true;
  }
  return own_.empty();
}

void ViewerState::stand_aside(Showing where, const TreeOutput& output) {
  count_anew();
  left_at_.reset();
  if (is_raw() && own_.empty())
    left_at_ = position;
  if (!own_.empty() || !undone_) {
    own_ = farewell(output);
    own_taken_ = 0;
    undone_ = true;
  }
  showing = where;
  if (where == Showing::kAway)
    leaving = Leaving::kNo;
}

void ViewerState::come_back(const TreeOutput& output, bool fits) {
  if (holds_output())
    cut(output);
  else if (!undone_)
    append_own(modes_.undo());
  const bool missed = showing != Showing::kAway || left_at_ != output.end();
  leaving = Leaving::kNo;
  undone_ = given_up = false;
  waited_for = scroll_ = true;
  modes_ = {};
  showing = Showing::kPicture;
  picture_due = true;
  if (missed || !fits || output.modes().alternate_screen())
    return;
  showing = Showing::kRaw;
  picture_due = false;
  position = modes_at_ = output.end();
  modes_ = output.modes();
  own_ += modes_.redo();
  own_ += modes_.unfinished();
  if (!later_.empty())
    inserts_.push_back({position, std::exchange(later_, {}), 0});
}

}  // namespace grab::relay
