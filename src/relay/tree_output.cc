// SPDX-License-Identifier: MIT
#include "relay/tree_output.h"

#include <algorithm>

namespace grab::relay {

void TreeOutput::arrived(std::size_t n) {
  const std::uint64_t from = end();
  ring_.commit(n);
  modes_.follow(ring_.view(from, end()));  // one piece: space() was
  for (const ScreenTracker::Span& query : modes_.queries())
    queries_.push_back({query.begin, query.end, asked_});
}

void TreeOutput::release(std::uint64_t before) {
  before = std::min(before, sequence_begin());
  if (before <= begin())
    return;
  parse(before);
  ring_.release(before);
  while (!queries_.empty() && queries_.front().end <= before)
    queries_.pop_front();
}

void TreeOutput::follow(ScreenTracker& modes, std::uint64_t from, std::uint64_t to) const {
  while (from < to) {
    const std::string_view piece = view(from, to);
    modes.follow(piece);
    from += piece.size();
  }
}

// ---------------------------------------------------------------- queries

std::uint64_t TreeOutput::sequence_begin() const {
  if (modes_.between_sequences())
    return end();
  const std::uint64_t begin = modes_.unfinished_begin();
  return end() - begin <= kMaxQuery ? begin : end();
}

// The first query that ends behind `position`.
TreeOutput::Queries::const_iterator TreeOutput::query_behind(std::uint64_t position) const {
  return std::upper_bound(
      queries_.begin(), queries_.end(), position,
      [](std::uint64_t at, const Query& candidate) { return at < candidate.end; });
}

const TreeOutput::Query* TreeOutput::foreign_query(std::uint64_t position, ViewerId viewer) const {
  if (queries_.empty())
    return nullptr;
  auto query = query_behind(position);
  while (query != queries_.end() && query->asked == viewer)
    ++query;
  return query == queries_.end() ? nullptr : &*query;
}

void TreeOutput::ask_instead(ViewerId viewer, std::uint64_t position, ViewerId other) {
  if (asked_ == viewer)
    asked_ = other;
  for (Query& query : queries_) {
    if (query.asked == viewer && query.begin >= position)
      query.asked = query.begin >= parsed_ ? kNobody : other;
  }
}

bool TreeOutput::has_unanswered() const {
  return std::any_of(query_behind(parsed_), queries_.end(),
                     [](const Query& query) { return query.asked == kNobody; });
}

// ---------------------------------------------------------------- the picture

void TreeOutput::feed(std::string_view bytes, bool answer) {
  screen_.feed(bytes);
  const std::string answers = screen_.take_answers();
  if (answer && answers_.size() + answers.size() <= kMaxAnswers)
    answers_ += answers;
}

void TreeOutput::parse(std::uint64_t upto) {
  auto query = query_behind(parsed_);
  while (parsed_ < upto) {
    std::uint64_t stop = upto;
    bool answer = false;
    if (query != queries_.end() && query->begin <= parsed_) {
      stop = std::min(upto, query->end);
      answer = query->asked == kNobody;
      if (stop == query->end)
        ++query;
    } else if (query != queries_.end()) {
      stop = std::min(upto, query->begin);
    }
    while (parsed_ < stop) {
      const std::string_view piece = view(parsed_, stop);
      feed(piece, answer);
      parsed_ += piece.size();
    }
  }
}

void TreeOutput::resize(WindowSize size) {
  parse(end());
  screen_.resize(size);
}

std::string TreeOutput::picture(WindowSize viewer, bool scroll) {
  parse(end());
  return scroll ? screen_.paint(modes_, viewer) : screen_.repaint(modes_, viewer);
}

std::string TreeOutput::text() {
  parse(end());
  return screen_.text();
}

}  // namespace grab::relay
