// SPDX-License-Identifier: MIT
// Any output, cut anywhere: the log has its bytes, and the recording shows the same text as if it
// had not been cut.
#include <rapidcheck.h>
#include <stdlib.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <sstream>
#include <string>
#include <vector>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>
#include <rapidcheck/gtest.h>

#include "relay/recorder.h"

namespace grab::relay {
namespace {

class Folder {
 public:
  Folder() {
    path_ = (std::filesystem::temp_directory_path() / "recorder_property.XXXXXX").string();
    RC_ASSERT(::mkdtemp(path_.data()) != nullptr);
  }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;
  ~Folder() { std::filesystem::remove_all(path_); }
  [[nodiscard]] std::string file(const char* name) const { return path_ + "/" + name; }

 private:
  std::string path_;
};

std::string read_file(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

// What is seen when the pieces were recorded; the log has to have them too.
std::string shown(const std::vector<std::string>& pieces) {
  const Folder folder;
  std::string all;
  {
    Recorder::Files files;
    files.log = open_log(folder.file("log")).value();
    files.record = open_record(folder.file("record"), {}).value();
    Recorder recorder(std::move(files));
    for (const std::string& piece : pieces) {
      recorder.output(piece, 1);
      all += piece;
    }
  }
  RC_ASSERT(read_file(folder.file("log")) == all);
  std::istringstream lines(read_file(folder.file("record")));
  std::string text, line;
  std::getline(lines, line);
  while (std::getline(lines, line))
    text += nlohmann::json::parse(line).at(2).get<std::string>();
  return text;
}

// Much that is nearly UTF-8.
rc::Gen<std::string> piece() {
  return rc::gen::map(rc::gen::container<std::vector<std::string>>(rc::gen::element<std::string>(
                          "a", "\n", "\x1b[m", "\"", "\\", "\x7f", "\xc3", "\xbc", "\xe2", "\x82",
                          "\xac", "\xf0", "\x9f", "\x98", "\x80", "\xed", "\xa0", "\xff", "\xc0",
                          "\xf4", "\x90", "\xf5", std::string(1, '\0'))),
                      [](const std::vector<std::string>& parts) {
                        std::string all;
                        for (const std::string& part : parts)
                          all += part;
                        return all;
                      });
}

RC_GTEST_PROP(RecorderProperty, ShowsTheSameWhereverTheOutputIsCut, ()) {
  const auto pieces = *rc::gen::container<std::vector<std::string>>(piece());
  std::string all;
  for (const std::string& part : pieces)
    all += part;
  RC_ASSERT(shown(pieces) == shown({all}));
}

}  // namespace
}  // namespace grab::relay
