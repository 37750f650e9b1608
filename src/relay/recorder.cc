// SPDX-License-Identifier: MIT
#include "relay/recorder.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <exception>
#include <utility>

#include <nlohmann/json.hpp>

#include "base/text.h"

namespace grab::relay {
namespace {

using Json = nlohmann::ordered_json;

constexpr int kOpenFlags = O_NOCTTY | O_CLOEXEC | O_NONBLOCK | O_APPEND;
/// What the reader of a FIFO may fall behind by, where the system allows so much.
/// Source: fcntl(2) F_SETPIPE_SZ, pipe(7) /proc/sys/fs/pipe-max-size.
constexpr int kPipeSize = 1 << 20;

// ASCII only: readers that split at U+0085 or U+2028 find whole lines all the same, and the format
// wants what is not printable to be escaped. Source: asciicast v2, "o" events.
std::string to_json(const Json& value) {
  return value.dump(-1, ' ', true, Json::error_handler_t::replace);
}

constexpr std::array<bool, 256> kPlain = [] {
  std::array<bool, 256> plain{};
  for (std::size_t c = 0x20; c < 0x7F; ++c)
    plain.at(c) = c != '"' && c != '\\';
  return plain;
}();

bool is_plain(char c) {
  return kPlain[static_cast<unsigned char>(c)];
}

void append_escape(std::string& line, char c) {
  constexpr std::string_view kControls = "\b\t\n\f\r\"\\";
  constexpr std::string_view kLetters = "btnfr\"\\";
  constexpr std::string_view kDigits = "0123456789abcdef";
  const auto byte = static_cast<unsigned char>(c);
  line += '\\';
  if (const std::size_t at = kControls.find(c); at != std::string_view::npos)
    line += kLetters[at];
  else
    line.append("u00").append({kDigits[byte >> 4U], kDigits[byte & 0xFU]});
}

// The inside of a JSON string, as to_json() makes it. Most of the output is ASCII and is done here,
// at an eighth of the cost (text: 0.3 instead of 2.3 CPU seconds a GiB, colours: 1.3 instead of 8).
void append_json_text(std::string& line, std::string_view text) {
  const auto* next = text.begin();
  while (next != text.end()) {
    const auto* const plain_end = std::find_if_not(next, text.end(), is_plain);
    line.append(next, plain_end);
    next = plain_end;
    for (; next != text.end() && !is_plain(*next) && *next >= 0; ++next)
      append_escape(line, *next);
    const auto* const wide_end = std::find_if(next, text.end(), [](char c) { return c >= 0; });
    if (wide_end != next) {
      const std::string quoted = to_json(Json(std::string(next, wide_end)));
      line.append(quoted, 1, quoted.size() - 2);
    }
    next = wide_end;
  }
}

// Kernel: opening a FIFO for writing only, O_NONBLOCK, fails with ENXIO while nobody reads it; a
// write to one that is full fails with EAGAIN. Source: fifo(7), pipe(7).
Result<UniqueFd> open_file(const std::string& path, int flags) {
  constexpr mode_t kMode = 0666;  // umask(2) takes away what the user does not want
  UniqueFd fd(::open(path.c_str(), flags | kOpenFlags, kMode));
  if (!fd.valid() && errno == ENXIO) {
    return fail(ErrorKind::kRefused, "nobody reads the FIFO " + path,
                "start what is to read it first");
  }
  if (!fd.valid())
    return fail_errno(errno, "opening " + path);
  (void)::fcntl(fd.get(), F_SETPIPE_SZ, kPipeSize);  // of a pipe; it works with a smaller one too
  return fd;
}

// 0, or the errno with which it ended; `done` counts the bytes that were taken.
int write_all(int fd, std::string_view bytes, std::size_t& done) {
  for (done = 0; done < bytes.size();) {
    const ssize_t n = ::write(fd, bytes.data() + done, bytes.size() - done);
    if (n > 0)
      done += static_cast<std::size_t>(n);
    else if (n == 0 || errno != EINTR)
      return n == 0 ? EIO : errno;
  }
  return 0;
}

// An empty file, or the header that a move has left that was refused in the end: the user will try
// again, and nothing is lost.
bool is_without_events(int fd) {
  std::array<char, 8192> begin{};
  const ssize_t n = ::pread(fd, begin.data(), begin.size(), 0);
  const std::string_view text(begin.data(), static_cast<std::size_t>(std::max<ssize_t>(0, n)));
  return n == 0 || (text.size() < begin.size() && text.starts_with("{\"version\":2,") &&
                    text.find('\n') == text.size() - 1);
}

// A recording whose last line is torn does not play: the line is taken back, where that can be.
void take_back(int fd, std::size_t bytes) {
  const off_t end = ::lseek(fd, 0, SEEK_CUR);
  if (bytes > 0 && end >= static_cast<off_t>(bytes))
    (void)::ftruncate(fd, end - static_cast<off_t>(bytes));
}

// The same for one whose writer was killed in the midst of a write(2).
// Kernel: SIGKILL can end a write to a file between two pages, so a part of a line is there.
// Source: mm/filemap.c generic_perform_write(), fatal_signal_pending().
void repair(int fd) {
  std::array<char, 4096> tail{};
  struct stat status {};
  if (::fstat(fd, &status) != 0 || !S_ISREG(status.st_mode))
    return;
  off_t end = status.st_size;
  while (end > 0) {
    const off_t begin = std::max<off_t>(0, end - static_cast<off_t>(tail.size()));
    const ssize_t n = ::pread(fd, tail.data(), static_cast<std::size_t>(end - begin), begin);
    if (n != end - begin)
      return;
    const std::size_t newline =
        std::string_view(tail.data(), static_cast<std::size_t>(n)).rfind('\n');
    if (newline != std::string_view::npos) {
      end = begin + static_cast<off_t>(newline) + 1;
      break;
    }
    end = begin;
  }
  if (end > 0 && end < status.st_size)
    (void)::ftruncate(fd, end);
}

// How many bytes at the end of `text` may be the beginning of a character.
std::size_t cut_off(std::string_view text) {
  for (std::size_t n = 1; n <= std::min<std::size_t>(3, text.size()); ++n) {
    const auto byte = static_cast<unsigned char>(text[text.size() - n]);
    if ((byte & 0xC0U) == 0x80U)
      continue;
    const std::size_t length = byte >= 0xF0 ? 4 : byte >= 0xE0 ? 3 : byte >= 0xC2 ? 2 : 1;
    return byte <= 0xF4 && length > n ? n : 0;
  }
  return 0;
}

std::string size_text(WindowSize size) {
  return std::to_string(size.columns) + "x" + std::to_string(size.rows);
}

}  // namespace

Result<UniqueFd> open_log(const std::string& path) {
  return open_file(path, O_WRONLY | O_CREAT);
}

Result<UniqueFd> open_record(const std::string& path, const RecordHeader& header) {
  Json line = {{"version", 2},
               {"width", header.size.columns == 0 ? 80 : header.size.columns},
               {"height", header.size.rows == 0 ? 24 : header.size.rows},
               {"timestamp", header.realtime},
               {"command", printable(header.command)}};
  if (!header.term.empty())
    line["env"]["TERM"] = printable(header.term);
  if (!header.shell.empty())
    line["env"]["SHELL"] = printable(header.shell);
  struct stat status {};
  const bool file = ::stat(path.c_str(), &status) != 0 || S_ISREG(status.st_mode);
  // Of what is no file, nothing can be read back.
  GRAB_TRY(UniqueFd fd, open_file(path, file ? O_RDWR | O_CREAT : O_WRONLY));
  if (file && !is_without_events(fd.get())) {
    return fail(ErrorKind::kRefused, "there is a file " + path + " already",
                "name another one for the recording, or remove it first");
  }
  if (file && ::ftruncate(fd.get(), 0) != 0)
    return fail_errno(errno, "emptying " + path);
  std::size_t done = 0;
  const int err = write_all(fd.get(), to_json(line) + "\n", done);
  if (err != 0)
    return fail_errno(err, "writing " + path);
  return fd;
}

Recorder::Recorder(Files files) : files_(std::move(files)), last_us_(files_.started_us) {
  if (files_.record.valid())
    repair(files_.record.get());
}

Recorder::~Recorder() {
  try {
    if (!cut_.empty())
      write_event('o', cut_, last_us_);
  } catch (const std::exception&) {  // no memory: what was cut off is lost, as by a crash
  }
}

void Recorder::output(std::string_view bytes, std::uint64_t now_us) {
  if (bytes.empty())
    return;
  if (files_.log.valid())
    write_log(bytes);
  if (!files_.record.valid())
    return;
  std::string joined;
  if (!cut_.empty()) {
    joined = std::exchange(cut_, {}).append(bytes);
    bytes = joined;
  }
  const std::size_t kept = cut_off(bytes);
  cut_ = bytes.substr(bytes.size() - kept);
  bytes.remove_suffix(kept);
  if (!bytes.empty())
    write_event('o', bytes, now_us);
}

void Recorder::resized(WindowSize size, std::uint64_t now_us) {
  if (!files_.record.valid() || size_text(size) == size_text(size_))
    return;
  size_ = size;
  write_event('r', size_text(size), now_us);
}

std::optional<std::string> Recorder::take_complaint() {
  if (complaint_.empty())
    return std::nullopt;
  return std::exchange(complaint_, {});
}

void Recorder::write_log(std::string_view bytes) {
  std::size_t done = 0;
  if (const int err = write_all(files_.log.get(), bytes, done); err != 0)
    give_up(files_.log, "the log ", files_.log_path, err);
}

// Time never goes backwards in a recording: players would wait, or fail.
void Recorder::write_event(char type, std::string_view text, std::uint64_t now_us) {
  last_us_ = std::max(last_us_, now_us);
  const std::uint64_t since_us = last_us_ - files_.started_us;
  std::array<char, 48> head{};
  (void)std::snprintf(head.data(), head.size(), "[%llu.%06llu, \"%c\", \"",
                      static_cast<unsigned long long>(since_us / 1000000),
                      static_cast<unsigned long long>(since_us % 1000000), type);
  std::string line = head.data();
  line.reserve(text.size() + text.size() / 4 + head.size());
  append_json_text(line, text);
  line += "\"]\n";
  std::size_t done = 0;
  const int err = write_all(files_.record.get(), line, done);
  if (err == 0)
    return;
  take_back(files_.record.get(), done);
  give_up(files_.record, "the recording ", files_.record_path, err);
}

void Recorder::give_up(UniqueFd& fd, const std::string& what, const std::string& path, int err) {
  std::string why = std::strerror(err);
  if (err == EAGAIN)
    why = "what reads it is too slow";
  if (err == EPIPE)
    why = "nobody reads it any more";
  complaint_ += (complaint_.empty() ? "" : "; ") + what + printable(path) + " ends here: " + why;
  fd.reset();
  if (!files_.record.valid())
    cut_.clear();
}

}  // namespace grab::relay
