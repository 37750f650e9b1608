// SPDX-License-Identifier: MIT
#include "cli/list.h"

#include <sys/ioctl.h>
#include <sys/wait.h>

#include <algorithm>
#include <ctime>
#include <optional>
#include <tuple>

#include <nlohmann/json.hpp>

#include "base/text.h"
#include "cli/layout.h"
#include "cli/outcome.h"

namespace grab::cli {
namespace {

using Json = nlohmann::ordered_json;
using TreeStatus = relay::message::Status;

/// What the command should have at least, before other columns are left out for it.
constexpr std::size_t kLeastCommand = 12;
constexpr std::size_t kGap = 2;

struct Column {
  std::string heading;
  std::vector<std::string> cells;
  bool right = false;  ///< numbers
  int importance = 0;  ///< the least important one is left out first; those of 0 never are

  [[nodiscard]] std::size_t width() const {
    std::size_t width = display_width(heading);
    for (const std::string& cell : cells)
      width = std::max(width, display_width(cell));
    return width;
  }
};

const char* state_name(TreeStatus::State state) {
  switch (state) {
    case TreeStatus::State::kRunning:
      return "running";
    case TreeStatus::State::kStopped:
      return "stopped";
    case TreeStatus::State::kEnded:
      return "ended";
  }
  return "";
}

// "ended (2)", "ended (SIGTERM)": the status where it is known.
std::string state_text(const TreeStatus& tree) {
  std::string text = state_name(tree.state);
  if (tree.state != TreeStatus::State::kEnded || !tree.wait_status)
    return text;
  const int status = *tree.wait_status;
  return text + " (" +
         (WIFSIGNALED(status) ? signal_name(WTERMSIG(status))
                              : std::to_string(WEXITSTATUS(status))) +
         ")";
}

void sort_by_age(std::vector<TreeStatus>& trees) {
  std::sort(trees.begin(), trees.end(), [](const TreeStatus& a, const TreeStatus& b) {
    return std::tie(a.since, a.name, a.pid) < std::tie(b.since, b.name, b.pid);
  });
}

std::vector<Column> columns_of(const std::vector<TreeStatus>& trees, std::int64_t now) {
  Column name{"NAME", {}}, pid{"PID", {}, true}, state{"STATE", {}}, since{"SINCE", {}, true, 3},
      viewers{"VIEWERS", {}, true, 2}, size{"SIZE", {}, true, 1}, command{"COMMAND", {}};
  for (const TreeStatus& tree : trees) {
    name.cells.push_back(printable(tree.name));
    pid.cells.push_back(std::to_string(tree.pid));
    state.cells.push_back(state_text(tree));
    since.cells.push_back(duration_text(now - tree.since) + " ago");
    viewers.cells.push_back(std::to_string(tree.viewers.size()));
    size.cells.push_back(std::to_string(tree.size.columns) + "x" + std::to_string(tree.size.rows));
    command.cells.push_back(printable(tree.command));
  }
  return {name, pid, state, since, viewers, size, command};
}

// Takes the least important columns away until the last one has room.
void leave_out(std::vector<Column>& columns, std::size_t page_width) {
  for (int least = 1; least <= 3; ++least) {
    std::size_t used = kLeastCommand;
    for (std::size_t i = 0; i + 1 < columns.size(); ++i)
      used += columns[i].width() + kGap;
    if (used <= page_width)
      return;
    std::erase_if(columns, [&](const Column& column) { return column.importance == least; });
  }
}

std::string line_of(const std::vector<Column>& columns, std::optional<std::size_t> row,
                    std::size_t page_width) {
  std::string line;
  for (const Column& column : columns) {
    const std::string& cell = row ? column.cells[*row] : column.heading;
    const bool last = &column == &columns.back();
    line += last ? cell : pad(cell, column.width(), column.right) + std::string(kGap, ' ');
  }
  line.erase(line.find_last_not_of(' ') + 1);
  return (page_width == 0 ? line : fit(line, std::max<std::size_t>(page_width, 3))) + "\n";
}

Json size_json(relay::WindowSize size) {
  return {{"rows", size.rows}, {"columns", size.columns}};
}

Json tree_json(const TreeStatus& tree) {
  Json viewers = Json::array();
  for (const TreeStatus::ViewerInfo& viewer : tree.viewers) {
    viewers.push_back({{"pid", viewer.pid},
                       {"terminal", printable(viewer.terminal)},
                       {"read_only", viewer.read_only},
                       {"size", size_json(viewer.size)}});
  }
  Json wait_status, status;  // null
  if (tree.wait_status) {
    wait_status = *tree.wait_status;
    status = exit_status(relay::TreeEnd{*tree.wait_status});
  }
  return {{"name", printable(tree.name)},
          {"pid", tree.pid},
          {"command", printable(tree.command)},
          {"state", state_name(tree.state)},
          {"since", tree.since},
          {"size", size_json(tree.size)},
          {"viewers", viewers},
          {"wait_status", wait_status},
          {"exit_status", status}};
}

}  // namespace

Page page_of(int fd) {
  winsize size{};
  const bool terminal = ::ioctl(fd, TIOCGWINSZ, &size) == 0;
  return {terminal ? size.ws_col : std::size_t{0}, std::int64_t{std::time(nullptr)}};
}

std::string duration_text(std::int64_t seconds) {
  constexpr std::int64_t kMinute = 60, kHour = 60 * kMinute, kDay = 24 * kHour;
  seconds = std::max<std::int64_t>(0, seconds);  // the clock may have been set back
  if (seconds < kMinute)
    return std::to_string(seconds) + " s";
  if (seconds < kHour)
    return std::to_string(seconds / kMinute) + " min";
  if (seconds < 2 * kDay)
    return std::to_string(seconds / kHour) + " h";
  return std::to_string(seconds / kDay) + " days";
}

std::string list_table(std::vector<TreeStatus> trees, const Page& page) {
  if (trees.empty())
    return "no tree is grabbed; grab --tree PID moves one here\n";
  sort_by_age(trees);
  std::vector<Column> columns = columns_of(trees, page.now);
  if (page.columns > 0)
    leave_out(columns, page.columns);
  std::string table = line_of(columns, std::nullopt, page.columns);
  for (std::size_t row = 0; row < trees.size(); ++row)
    table += line_of(columns, row, page.columns);
  return table;
}

std::string list_json(std::vector<TreeStatus> trees) {
  sort_by_age(trees);
  Json document = {{"format", 1}, {"trees", Json::array()}};
  for (const TreeStatus& tree : trees)
    document["trees"].push_back(tree_json(tree));
  return document.dump(2) + "\n";
}

}  // namespace grab::cli
