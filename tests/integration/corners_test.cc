// SPDX-License-Identifier: MIT
// Programs that stand where little is possible: the batch needs no stack, leaves a restartable
// sequence as the kernel would, and is not run where a handler would get its calls.
#include <string>

#include <gmock/gmock.h>

#include "support/grab_test.h"

namespace grab::test {
namespace {

using testing::HasSubstr;

class Corners : public GrabTest {};

TEST_F(Corners, AProgramWithAGuardPageRightBelowItsStackPointerIsMoved) {
  Shell first("bash");
  SecondTerminal second;
  const pid_t pid = first.start("tracee_zoo without-stack");
  ASSERT_TRUE(grabs_tree(second, first, pid));
  EXPECT_TRUE(second.echoes("hello"));
}

TEST_F(Corners, NotAByteOfAStackThatIsNearlyFullIsWritten) {
  Shell first("bash");
  SecondTerminal second;
  const pid_t pid = first.start("tracee_zoo small-stack");
  ASSERT_TRUE(grabs_tree(second, first, pid));
  ASSERT_TRUE(second.echoes("hello"));
  second.type("stack\r");
  EXPECT_TRUE(second.expect("changed: 0 bytes"));
}

TEST_F(Corners, AHandlerOnASignalStackGoesOnThereAndComesBackFromIt) {
  Shell first("bash");
  SecondTerminal second;
  const pid_t pid = first.start("tracee_zoo signal-stack");
  ASSERT_TRUE(grabs_tree(second, first, pid));
  ASSERT_TRUE(second.echoes("hello"));
  second.type("where\r");
  EXPECT_TRUE(second.expect("on the signal stack"));
  second.type("leave\r");
  ASSERT_TRUE(second.expect("left the handler"));
  second.type("where\r");
  EXPECT_TRUE(second.expect("off the signal stack"));
  EXPECT_TRUE(second.echoes("goes on"));
}

TEST_F(Corners, ARestartableSequenceGoesOnAtItsAbortAddress) {
  Shell first("bash");
  SecondTerminal second;
  const pid_t pid = first.start("tracee_zoo restartable");
  first.type("sequence\r");
  ASSERT_TRUE(first.expect(", broken 0"));
  ASSERT_TRUE(grabs_tree(second, first, pid));
  second.type("sequence\r");
  ASSERT_TRUE(second.expect("aborted "));
  EXPECT_TRUE(second.expect(", broken 0"));
}

}  // namespace
}  // namespace grab::test
