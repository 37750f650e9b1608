// SPDX-License-Identifier: MIT
#include "relay/recorder.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <sstream>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

namespace grab::relay {
namespace {

using nlohmann::json;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr std::uint64_t kStart = 5'000'000'000;  // not 0: the clock runs since the system started

std::string read_file(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

// The lines of a recording, each of which has to be JSON by itself.
std::vector<json> lines_of(const std::string& path) {
  std::istringstream text(read_file(path));
  std::vector<json> lines;
  for (std::string line; std::getline(text, line);)
    lines.push_back(json::parse(line));
  return lines;
}

// What a recording shows when it is played.
std::string shown(const std::string& path) {
  std::string text;
  for (const json& line : lines_of(path)) {
    if (line.is_array() && line.at(1) == "o")
      text += line.at(2).get<std::string>();
  }
  return text;
}

class RecorderTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string name = (std::filesystem::temp_directory_path() / "recorder_test.XXXXXX").string();
    ASSERT_NE(::mkdtemp(name.data()), nullptr);
    folder_ = name;
    log_ = folder_ + "/log";
    record_ = folder_ + "/rec.cast";
    (void)::signal(SIGPIPE, SIG_IGN);  // what the class asks of its process
    (void)::signal(SIGXFSZ, SIG_IGN);
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  static RecordHeader header() {
    return {{24, 80, 0, 0}, 1'700'000'000, "make -j4", "xterm", "/bin/sh"};
  }

  Recorder start(bool with_log = true, bool with_record = true) {
    Recorder::Files files;
    files.log_path = log_;
    files.record_path = record_;
    files.started_us = kStart;
    if (with_log)
      files.log = open_log(log_).value();
    if (with_record)
      files.record = open_record(record_, header()).value();
    return Recorder(std::move(files));
  }

  // Another relay that goes on with a recording that is there.
  Recorder go_on() {
    Recorder::Files files;
    files.record = UniqueFd(::open(record_.c_str(), O_RDWR | O_APPEND | O_CLOEXEC));
    files.started_us = kStart;
    return Recorder(std::move(files));
  }

  std::string folder_, log_, record_;
};

TEST_F(RecorderTest, LogHasTheBytesAsTheyAre) {
  const std::string bytes("a\x1b[31m\r\n\xff\xe2\x82\0z", 13);
  {
    Recorder recorder = start(true, false);
    recorder.output(bytes.substr(0, 9), kStart);
    recorder.output(bytes.substr(9), kStart + 1);
  }
  EXPECT_EQ(read_file(log_), bytes);
}

TEST_F(RecorderTest, LogGoesOnBehindWhatIsThere) {
  std::ofstream(log_) << "before ";
  start(true, false).output("after", kStart);
  EXPECT_EQ(read_file(log_), "before after");
}

TEST_F(RecorderTest, HeaderSaysWhatAsciinemaWantsToKnow) {
  (void)start();
  const std::vector<json> lines = lines_of(record_);
  ASSERT_EQ(lines.size(), 1U);
  EXPECT_EQ(lines[0], json::parse(R"({"version": 2, "width": 80, "height": 24,
      "timestamp": 1700000000, "command": "make -j4", "env": {"TERM": "xterm", "SHELL": "/bin/sh"}})"));
}

TEST_F(RecorderTest, HeaderOfATerminalWithoutASizeHasTheUsualOne) {
  ASSERT_TRUE(open_record(record_, {}));
  EXPECT_EQ(lines_of(record_)[0]["width"], 80);
  EXPECT_EQ(lines_of(record_)[0]["height"], 24);
  EXPECT_FALSE(lines_of(record_)[0].contains("env"));
}

TEST_F(RecorderTest, EventsHaveTheTimeSinceTheBeginning) {
  {
    Recorder recorder = start();
    recorder.output("one", kStart + 250'000);
    recorder.resized({30, 100, 0, 0}, kStart + 1'000'001);
    recorder.resized({30, 100, 8, 16}, kStart + 1'000'002);  // the same, for a recording
    recorder.output("two", kStart + 61'000'000);
  }
  const std::vector<json> lines = lines_of(record_);
  ASSERT_EQ(lines.size(), 4U);
  EXPECT_EQ(lines[1], json::parse(R"([0.25, "o", "one"])"));
  EXPECT_EQ(lines[2], json::parse(R"([1.000001, "r", "100x30"])"));
  EXPECT_EQ(lines[3], json::parse(R"([61.0, "o", "two"])"));
}

TEST_F(RecorderTest, TimeNeverGoesBackwards) {
  {
    Recorder recorder = start();
    recorder.output("a", kStart + 2'000'000);
    recorder.output("b", kStart + 1'000'000);
    recorder.output("c", 0);
  }
  for (std::size_t i = 1; i < 4; ++i)
    EXPECT_EQ(lines_of(record_).at(i)[0], 2.0) << i;
}

TEST_F(RecorderTest, CharactersAreWholeWhereverTheOutputIsCut) {
  const std::string text = "Zürich \u20ac \U0001F600 z";
  for (std::size_t first = 0; first <= text.size(); ++first) {
    for (std::size_t second = first; second <= text.size(); ++second) {
      std::filesystem::remove(record_);
      {
        Recorder recorder = start(false);
        recorder.output(text.substr(0, first), kStart);
        recorder.output(text.substr(first, second - first), kStart);
        recorder.output(text.substr(second), kStart);
      }
      ASSERT_EQ(shown(record_), text) << first << " " << second;
    }
  }
}

TEST_F(RecorderTest, WhatIsNotUtf8IsReplaced) {
  {
    Recorder recorder = start(false);
    recorder.output(
        "a\xff"
        "b\xc3"
        "c\xe2\x82",
        kStart);
    recorder.output(
        "d\x80\xed\xa0\x80"
        "e\xf0\x9f",
        kStart);  // ends in the midst of a character
  }
  const std::string text = shown(record_);
  EXPECT_THAT(text, ::testing::StartsWith("a\ufffdb\ufffdc\ufffd"));
  EXPECT_THAT(text, HasSubstr("d\ufffd"));
  EXPECT_THAT(text, ::testing::EndsWith("e\ufffd"));
}

TEST_F(RecorderTest, EachEventIsOneLineOfAscii) {
  const std::string text = "\x1b[1m\"\\\r\n\t\x7f\u0085\u2028\u2029\u00e9" + std::string(1, '\0');
  start(false).output(text, kStart);
  EXPECT_EQ(shown(record_), text);
  std::size_t newlines = 0;
  for (const char c : read_file(record_)) {
    newlines += c == '\n' ? 1 : 0;
    EXPECT_TRUE(c == '\n' || (c >= 0x20 && c < 0x7F)) << static_cast<int>(c);
  }
  EXPECT_EQ(newlines, 2U);
}

TEST_F(RecorderTest, NothingIsLostThatWasWrittenBeforeACrash) {
  Recorder recorder = start();
  recorder.output("seen", kStart);
  EXPECT_EQ(read_file(log_), "seen");  // with the recorder still at work: nothing waits in it
  EXPECT_EQ(shown(record_), "seen");
}

TEST_F(RecorderTest, AnotherOneGoesOnAfterACrashThatToreALine) {
  start(false).output(std::string(10'000, 'x'), kStart);
  std::filesystem::resize_file(record_, std::filesystem::file_size(record_) - 2'500);
  go_on().output("after", kStart + 1);
  const std::vector<json> lines = lines_of(record_);
  ASSERT_EQ(lines.size(), 2U);
  EXPECT_EQ(lines[1][2], "after");
}

TEST_F(RecorderTest, RecordingOverAFileThatIsThereIsRefused) {
  std::ofstream(record_) << "precious\n";
  const auto fd = open_record(record_, header());
  ASSERT_FALSE(fd);
  EXPECT_EQ(fd.error().kind, ErrorKind::kRefused);
  EXPECT_THAT(fd.error().message(), HasSubstr(record_));
  EXPECT_FALSE(fd.error().hint.empty());
  EXPECT_EQ(read_file(record_), "precious\n");
}

TEST_F(RecorderTest, RecordingIntoAnEmptyFileIsDone) {
  std::ofstream(record_).close();  // as mktemp(1) makes it
  EXPECT_TRUE(open_record(record_, header()));
}

TEST_F(RecorderTest, RecordingAgainAfterAMoveThatWasRefusedIsDone) {
  ASSERT_TRUE(open_record(record_, header()));
  start(false).output("second try", kStart);
  EXPECT_EQ(lines_of(record_).size(), 2U);
  EXPECT_EQ(shown(record_), "second try");
  EXPECT_FALSE(open_record(record_, header()));  // now there is something to lose
}

TEST_F(RecorderTest, FilesThatCannotBeOpenedAreNamed) {
  for (const std::string& path : {folder_, folder_ + "/absent/file"}) {
    const auto log = open_log(path);
    ASSERT_FALSE(log);
    EXPECT_THAT(log.error().message(), HasSubstr(path));
    const auto record = open_record(path, header());
    ASSERT_FALSE(record);
    EXPECT_THAT(record.error().message(), HasSubstr(path));
  }
}

TEST_F(RecorderTest, DescriptorsAreNotPassedOnToPrograms) {
  for (const UniqueFd& fd : {open_log(log_).value(), open_record(record_, header()).value()})
    EXPECT_EQ(::fcntl(fd.get(), F_GETFD), FD_CLOEXEC);
}

TEST_F(RecorderTest, AFullDiskEndsTheLogWithOneComplaintAndNotTheRecording) {
  log_ = "/dev/full";
  Recorder recorder = start();
  recorder.output("one", kStart);
  EXPECT_EQ(recorder.take_complaint(), "the log /dev/full ends here: No space left on device");
  recorder.output("two", kStart);
  EXPECT_EQ(recorder.take_complaint(), std::nullopt);
  EXPECT_TRUE(recorder.active());
  EXPECT_EQ(shown(record_), "onetwo");
}

TEST_F(RecorderTest, ARecordingOnAFullDiskIsRefusedBeforeTheMove) {
  const auto fd = open_record("/dev/full", header());
  ASSERT_FALSE(fd);
  EXPECT_THAT(fd.error().message(), HasSubstr("No space left"));
}

TEST_F(RecorderTest, AFullDiskLeavesARecordingThatPlays) {
  Recorder recorder = start(false);
  recorder.output("before", kStart);
  rlimit before{};
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &before), 0);
  rlimit small = before;
  small.rlim_cur = std::filesystem::file_size(record_) + 100;
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &small), 0);
  recorder.output(std::string(1'000, 'x'), kStart);
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &before), 0);
  EXPECT_THAT(recorder.take_complaint().value_or(""), HasSubstr("the recording " + record_));
  EXPECT_FALSE(recorder.active());
  EXPECT_EQ(shown(record_), "before");
}

class FifoTest : public RecorderTest {
 protected:
  void SetUp() override {
    RecorderTest::SetUp();
    ASSERT_EQ(::mkfifo(log_.c_str(), 0600), 0);
  }
  UniqueFd reader() const {
    return UniqueFd(::open(log_.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC));
  }
};

TEST_F(FifoTest, ThatNobodyReadsIsRefusedBeforeTheMove) {
  for (const auto& fd : {open_log(log_), open_record(log_, header())}) {
    ASSERT_FALSE(fd);
    EXPECT_EQ(fd.error().kind, ErrorKind::kRefused);
    EXPECT_THAT(fd.error().message(), HasSubstr("nobody reads"));
  }
}

TEST_F(FifoTest, GetsTheOutput) {
  const UniqueFd end = reader();
  Recorder recorder = start();
  recorder.output("hello", kStart);
  std::string got(16, '\0');
  got.resize(static_cast<std::size_t>(std::max<ssize_t>(0, ::read(end.get(), got.data(), 16))));
  EXPECT_EQ(got, "hello");
}

TEST_F(FifoTest, WhoseReaderHasGoneEndsTheLogOnly) {
  UniqueFd end = reader();
  Recorder recorder = start();
  end.reset();
  recorder.output("one", kStart);
  EXPECT_EQ(recorder.take_complaint(), "the log " + log_ + " ends here: nobody reads it any more");
  recorder.output("two", kStart);
  EXPECT_EQ(recorder.take_complaint(), std::nullopt);
  EXPECT_EQ(shown(record_), "onetwo");
}

TEST_F(FifoTest, WhoseReaderDoesNotReadIsNotWaitedFor) {
  const UniqueFd end = reader();
  Recorder recorder = start(true, false);
  std::optional<std::string> complaint;
  for (int i = 0; i < 1'000 && !complaint; ++i) {  // 4 MiB; a pipe holds 1
    recorder.output(std::string(4'096, 'x'), kStart);
    complaint = recorder.take_complaint();
  }
  EXPECT_EQ(complaint, "the log " + log_ + " ends here: what reads it is too slow");
  EXPECT_FALSE(recorder.active());
}

// script(1) gives it the terminal that it asks for; what it prints has gone through that.
TEST_F(RecorderTest, AsciinemaPlaysIt) {
  {
    Recorder recorder = start(false);
    recorder.resized({30, 100, 0, 0}, kStart);
    recorder.output("\x1b[1mz\xc3", kStart + 1'000);
    recorder.output("\xbcrich\xff\u2028\x1b[0m\r\n", kStart + 1'100'000);
    recorder.output("over\r\n", kStart + 2'000'000);
  }
  for (const std::string how : {"asciinema cat ", "asciinema play -s 100 "}) {
    const std::string command = "ASCIINEMA_CONFIG_HOME=" + folder_ +
                                " LC_ALL=C.UTF-8 script -qec '" + how + record_ +
                                "' /dev/null 2>&1";
    FILE* pipe = ::popen(command.c_str(), "r");  // NOLINT(cert-env33-c)
    ASSERT_NE(pipe, nullptr);
    std::string out;
    for (int c = std::fgetc(pipe); c != EOF; c = std::fgetc(pipe))
      out += static_cast<char>(c);
    EXPECT_EQ(::pclose(pipe), 0) << how << out;
    EXPECT_THAT(out, HasSubstr("zürich\ufffd")) << how;
    EXPECT_THAT(out, HasSubstr("over\r\n")) << how;
  }
}

}  // namespace
}  // namespace grab::relay
