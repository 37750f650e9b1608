// SPDX-License-Identifier: MIT
#include "support/other_user.h"

#include <sys/stat.h>

#include <filesystem>

#include "support/grab_test.h"

namespace grab::test {

std::string as_nobody() {
  return "env -u XDG_RUNTIME_DIR setpriv --reuid=65534 --regid=65534 --clear-groups "
         "--inh-caps=-all ";
}

std::string program_for_all(const std::string& program, bool set_uid) {
  namespace fs = std::filesystem;
  const fs::path source = fs::canonical(
      program.front() == '/' ? fs::path(program) : fs::path(program_folder()) / program);
  const std::string copy = scratch((set_uid ? "root-" : "all-") + source.filename().string());
  fs::copy_file(source, copy, fs::copy_options::overwrite_existing);
  constexpr mode_t kSetUid = 04755;
  constexpr mode_t kOrdinary = 0755;
  (void)::chmod(copy.c_str(), set_uid ? kSetUid : kOrdinary);
  (void)::chmod(scratch_folder().c_str(), kOrdinary);
  return copy;
}

}  // namespace grab::test
