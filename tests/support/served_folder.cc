// SPDX-License-Identifier: MIT
#include "support/served_folder.h"

#include <stdlib.h>

#include <filesystem>

#include "support/grab_test.h"

namespace grab::test {
namespace {

bool succeeds(const std::string& command) {
  return ::system(("{ " + command + "; } >/dev/null 2>&1").c_str()) == 0;
}

}  // namespace

bool ServedFolder::can_be() {
  if (!installed("bindfs") || !installed("fusermount3"))
    return false;
  const ServedFolder folder;
  return succeeds("timeout 10 bindfs --no-allow-other " + folder.source_ + " " + folder.path_ +
                  " && cat " + folder.path_ + "/file && fusermount3 -u " + folder.path_);
}

ServedFolder::ServedFolder() : source_(scratch("source")), path_(scratch("served")) {
  std::filesystem::create_directories(source_);
  std::filesystem::create_directories(path_);
  std::filesystem::copy_file(program_folder() + "/tracee_zoo", source_ + "/tracee_zoo",
                             std::filesystem::copy_options::overwrite_existing);
  write_file(source_ + "/file", "served\n");
}

ServedFolder::~ServedFolder() {
  (void)succeeds("fusermount3 -uz " + path_);
}

std::string ServedFolder::begin() const {
  return "bindfs -f --no-allow-other -o attr_timeout=0,entry_timeout=0 " + source_ + " " + path_ +
         " & until [ -e " + path_ + "/file ]; do sleep 0.01; done; ";
}

}  // namespace grab::test
