// SPDX-License-Identifier: MIT
#include "support/moving.h"

#include <sys/sysmacros.h>

#include <algorithm>

namespace grab::test {
namespace {

std::vector<std::string> command(pid_t pid, const std::vector<std::string>& options) {
  std::vector<std::string> words = {grab_path(), "--tree", std::to_string(pid)};
  words.insert(words.end(), options.begin(), options.end());
  return words;
}

}  // namespace

Moving::Moving(pid_t pid, const std::vector<std::string>& options)
    : TerminalSession("grab of " + std::to_string(pid), command(pid, options)),
      tree_(tree_of(pid)) {}

testing::AssertionResult Moving::is_moved_off(const std::string& terminal) {
  constexpr unsigned kPtsMajor = 136;
  const auto number = static_cast<unsigned>(std::stoul(terminal.substr(terminal.rfind('/') + 1)));
  const dev_t device = makedev(kPtsMajor, number);
  const auto ended = [&] { return !is_alive(pid()); };
  const auto left = [&] {
    return std::all_of(tree_.begin(), tree_.end(), [&](pid_t member) {
      // Asked last whether it is traced: it has other descriptors before it is moved.
      const bool has_none = fds_on(member, terminal).empty();
      const auto stat = read_stat(member);
      return !stat || stat->state == 'Z' || (has_none && stat->tty != device && !is_traced(member));
    });
  };
  (void)wait_until([&] { return ended() || left(); });
  if (!left())
    return testing::AssertionFailure() << "not moved off " << terminal;
  if (!wait_until([&] { return ended() || (modes().c_lflag & ISIG) == 0; }) || ended())
    return testing::AssertionFailure() << "grab does not show the tree";
  if (!wait_until([&] { return !grab_is_busy(); }))
    return testing::AssertionFailure() << "grab goes on tracing";
  return testing::AssertionSuccess();
}

testing::AssertionResult Moving::echoes(const std::string& line) {
  type(line + "\r");
  return expect("got: " + line + "\r\n");
}

}  // namespace grab::test
