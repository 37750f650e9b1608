// SPDX-License-Identifier: MIT
#include "relay/detach_key.h"

#include <gtest/gtest.h>

namespace grab::relay {
namespace {

constexpr unsigned char kKey = 0x1c;

/// What came through; "<once>" where the key was pressed once, "<detach>" where it detached.
std::string typed(DetachKey& key, std::string_view bytes) {
  const DetachKey::Verdict verdict = key.typed(bytes);
  return verdict.passed + (verdict.began ? "<once>" : "") + (verdict.detaches ? "<detach>" : "") +
         verdict.behind;
}

std::string typed_anew(std::string_view bytes, std::optional<unsigned char> key = kKey) {
  DetachKey detach_key(key);
  return typed(detach_key, bytes);
}

TEST(DetachKey, OnceDetachesAfterTheDeadline) {
  DetachKey key(kKey);
  EXPECT_FALSE(key.deadline().detaches);
  EXPECT_EQ(typed(key, "ab\x1c"), "ab<once>");
  EXPECT_TRUE(key.deadline().detaches);
  EXPECT_FALSE(key.deadline().detaches);
}

TEST(DetachKey, OnceAndAnotherKeyDetachAtOnce) {
  EXPECT_EQ(typed_anew("ab\x1c"
                       "cd"),
            "ab<once><detach>cd");
  EXPECT_EQ(typed_anew("\x1c\x1b[A"), "<once><detach>\x1b[A");
  EXPECT_EQ(typed_anew("\x1c\x1b[92;6ux"), "<once><detach>\x1b[92;6ux");
}

TEST(DetachKey, WhatWasBegunWhenItDetachesIsNotLost) {
  DetachKey key(kKey);
  EXPECT_EQ(typed(key, "\x1c\x1b[9"), "<once>");
  const DetachKey::Verdict verdict = key.deadline();
  EXPECT_TRUE(verdict.detaches);
  EXPECT_EQ(verdict.behind, "\x1b[9");
}

TEST(DetachKey, TellsTheOneByteThatASecondPressWouldBe) {
  DetachKey key(kKey);
  EXPECT_EQ(key.awaited_byte(), std::nullopt);
  (void)key.typed("\x1c");
  EXPECT_EQ(key.awaited_byte(), '\x1c');
  (void)key.typed("\x1c");
  EXPECT_EQ(key.awaited_byte(), std::nullopt);
  (void)key.typed("\x1b[92;5u");
  EXPECT_EQ(key.awaited_byte(), std::nullopt) << "it would be a sequence again";
}

TEST(DetachKey, TwiceSendsOneThrough) {
  EXPECT_EQ(typed_anew("a\x1c\x1c"
                       "b"),
            "a\x1c"
            "b");
  EXPECT_EQ(typed_anew("\x1c\x1c\x1c"), "\x1c<once>");
  EXPECT_EQ(typed_anew("\x1b[92;5u\x1b[92;5u"), "\x1b[92;5u") << "as the bytes that were typed";
}

TEST(DetachKey, IsKnownInItsKittyForms) {
  for (const char* form : {"\x1b[92;5u", "\x1b[92;5:1u", "\x1b[92:124;5u", "\x1b[92::92;5u",
                           "\x1b[92;69u", "\x1b[92;133:1u", "\x1b[92;5;28u"})
    EXPECT_EQ(typed_anew(form), "<once>") << form + 1;
  EXPECT_EQ(typed_anew("\x1b[97;5u", 0x01), "<once>") << "^a is the letter's lower case";
}

TEST(DetachKey, ItsRepeatAndReleaseAreNoOtherKey) {
  DetachKey key(kKey);
  EXPECT_EQ(typed(key, "\x1b[92;5:1u\x1b[92;5:2u\x1b[92;5:3u"), "<once>");
  EXPECT_TRUE(key.deadline().detaches);
  EXPECT_EQ(typed_anew("\x1b[92;5:3u"), "\x1b[92;5:3u");
}

TEST(DetachKey, OtherKeysPass) {
  for (const char* form : {"\x1b[92u", "\x1b[92;3u", "\x1b[92;6u", "\x1b[920;5u", "\x1b[9;5u",
                           "\x1b[92;5~", "\x1b[92A", "\x1b[A", "\x1bOP", "\x1b\x1b", "\x1b[92;5xu",
                           "\x1b[93;5u", "\x1b[92;u", "\x1b[;5u"})
    EXPECT_EQ(typed_anew(form), form) << form + 1;
  const std::string endless = "\x1b[92;5" + std::string(100, '5');
  EXPECT_EQ(typed_anew(endless), endless);
}

TEST(DetachKey, IsKnownHoweverItIsCut) {
  const std::string form = "\x1b[92;5:1u";
  for (std::size_t cut = 3; cut < form.size(); ++cut) {
    DetachKey key(kKey);
    EXPECT_EQ(typed(key, form.substr(0, cut)), "");
    EXPECT_FALSE(key.leaves_alone("u"));
    EXPECT_EQ(typed(key, form.substr(cut)), "<once>");
  }
  DetachKey key(kKey);
  EXPECT_EQ(typed(key, "\x1b[92"), "");
  EXPECT_EQ(typed(key, ";7u"), "\x1b[92;7u") << "what was held back comes when it was none";
}

TEST(DetachKey, NobodyWaitsForTheEscapeKey) {
  DetachKey key(kKey);
  EXPECT_EQ(typed(key, "\x1b"), "\x1b");
  EXPECT_EQ(typed(key, "x"), "x");
  EXPECT_EQ(typed(key, "\x1b["), "\x1b[");
  EXPECT_EQ(typed(key, "92;5u"), "<once>");
  EXPECT_EQ(typed(key, "\x1b"), "") << "the other half of a second one";
  EXPECT_EQ(typed(key, "[92;5u"), "\x1b[92;5u");
}

TEST(DetachKey, WithoutAKeyNothingDetaches) {
  EXPECT_EQ(typed_anew("\x1c\x1c\x1b[92;5u", std::nullopt), "\x1c\x1c\x1b[92;5u");
  EXPECT_TRUE(DetachKey(std::nullopt).leaves_alone("\x1c\x1b"));
}

TEST(DetachKey, LeavesOrdinaryTextAlone) {
  EXPECT_TRUE(DetachKey(kKey).leaves_alone("text\r"));
  EXPECT_FALSE(DetachKey(kKey).leaves_alone("te\x1cxt"));
  EXPECT_FALSE(DetachKey(kKey).leaves_alone("\x1b[A"));
}

}  // namespace
}  // namespace grab::relay
