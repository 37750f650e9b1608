// SPDX-License-Identifier: MIT
// Runs a fuzz target on every file of the folders and files that are named, without libFuzzer: how
// every build, by any compiler, goes through the corpus. Fails where there is none.
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

int main(int argc, char** argv) {
  namespace fs = std::filesystem;
  std::vector<fs::path> files;
  for (const std::string& argument : std::vector<std::string>(argv + 1, argv + argc)) {
    if (fs::is_directory(argument)) {
      for (const auto& entry : fs::directory_iterator(argument))
        files.push_back(entry.path());
    } else {
      files.emplace_back(argument);
    }
  }
  for (const fs::path& path : files) {
    std::ifstream file(path, std::ios::binary);
    const std::string bytes{std::istreambuf_iterator<char>(file), {}};
    (void)std::fprintf(stderr, "%s: %zu bytes\n", path.c_str(), bytes.size());
    if (!file || LLVMFuzzerTestOneInput(reinterpret_cast<const std::uint8_t*>(bytes.data()),
                                        bytes.size()) != 0)
      return 1;
  }
  return files.empty() ? 1 : 0;
}
