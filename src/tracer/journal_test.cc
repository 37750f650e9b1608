// SPDX-License-Identifier: MIT
// What tracers have reported is read by who comes after them, whenever they were killed.
#include "tracer/journal.h"

#include <sys/wait.h>
#include <unistd.h>

#include <gtest/gtest.h>

#include "tracer/tracer.h"

namespace grab::tracer {
namespace {

const Held kHeld{{{1, 2}, {3, 4}}, {{5, 6}}, 7};

Committing committing(const std::string& name) {
  Committing report;
  report.moved.root_name = name;
  return report;
}

TEST(Journal, TellsOfNothingBeforeAnythingIsReported) {
  const Told told = read_journal("");
  EXPECT_TRUE(told.held.processes.empty());
  EXPECT_FALSE(told.committing || told.moved || told.error);
}

TEST(Journal, TellsWhoWasHeldAndWithThemWhatWasCommitted) {
  const Told told = read_journal(to_line(kHeld) + to_line(committing("make")));
  ASSERT_TRUE(told.committing);
  EXPECT_EQ(told.committing->root_name, "make");
  ASSERT_EQ(told.committing->processes.size(), 3U) << "those that were stopped, too";
  EXPECT_EQ(told.committing->processes[2].pid, 5);
  EXPECT_EQ(told.held.front, 7);
}

TEST(Journal, TakesNoServerThatWasHeldForOneOfTheTree) {
  const Held held{{{1, 2}, {3, 4}}, {{5, 6}, {7, 8}}, 0, {{3, 4}, {7, 8}}};
  const Told told = read_journal(to_line(held) + to_line(committing("make")));
  ASSERT_TRUE(told.committing);
  ASSERT_EQ(told.committing->processes.size(), 2U);
  EXPECT_EQ(told.committing->processes[0].pid, 1);
  EXPECT_EQ(told.committing->processes[1].pid, 5);
  EXPECT_EQ(told.held.processes.size(), 2U) << "it is continued all the same";
  EXPECT_EQ(told.held.stopped.size(), 2U);
}

TEST(Journal, KeepsWhatWasCommittedWhenTheNextTracerIsKilledEarlier) {
  const Told told =
      read_journal(to_line(kHeld) + to_line(committing("make")) + to_line(Held{{{8, 9}}, {}, 0}));
  ASSERT_TRUE(told.committing);
  EXPECT_EQ(told.committing->processes.size(), 3U);
  ASSERT_EQ(told.held.processes.size(), 1U) << "who may stand still is whom the last one held";
  EXPECT_EQ(told.held.processes[0].pid, 8);
}

TEST(Journal, IsReadWhenItsWritersHaveEndedEachBehindTheLast) {
  const Result<Journal> journal = Journal::open();
  ASSERT_TRUE(journal);
  for (const std::string& line : {to_line(kHeld), to_line(committing("make"))}) {
    const pid_t writer = ::fork();
    if (writer == 0)
      ::_exit(journal->append(line) ? 0 : 1);
    ASSERT_EQ(::waitpid(writer, nullptr, 0), writer);
  }
  const Told told = journal->read();
  EXPECT_EQ(told.held.processes.size(), 2U);
  ASSERT_TRUE(told.committing);
  EXPECT_EQ(told.committing->root_name, "make");
}

TEST(Journal, SaysWhenItHasNoRoomAndKeepsWhatItHas) {
  const Result<Journal> journal = Journal::open();
  ASSERT_TRUE(journal);
  ASSERT_TRUE(journal->append(to_line(committing("make"))));
  const std::string long_line(std::size_t{1} << 20, 'x');
  int lines = 0;
  while (journal->append(long_line) && lines < 100)
    lines++;
  EXPECT_EQ(lines, 15);
  EXPECT_TRUE(journal->read().committing);
}

TEST(ResumeMove, GivesTheErrorOfATracerThatHasUndoneAllBeforeItsStarterWasFoundDead) {
  const Result<Journal> journal = Journal::open();
  ASSERT_TRUE(journal);
  ASSERT_TRUE(journal->append(to_line(kHeld)));
  ASSERT_TRUE(journal->append(to_line(Error{ErrorKind::kRefused, 0, "this is why", "do that"})));
  MoveFor whom;
  whom.journal = &*journal;
  const Result<MoveResult> moved = resume_move(1, {}, whom);
  ASSERT_FALSE(moved);
  EXPECT_EQ(moved.error().what, "this is why");
  EXPECT_EQ(moved.error().hint, "do that");
}

}  // namespace
}  // namespace grab::tracer
