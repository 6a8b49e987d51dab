// SPDX-License-Identifier: Apache-2.0
#include "vpn/interned.h"

#include <gtest/gtest.h>

#include <map>
#include <thread>
#include <vector>

namespace sekisho::vpn {
namespace {

TEST(Interned, IsKeptOnceWhileAnybodyHasIt) {
  const std::size_t before = Interned::kept();
  {
    const Interned taro("taro@acme.test"), again(std::string("taro@acme.test")), other("taro@acme.tesu");
    EXPECT_EQ(taro, again);
    EXPECT_EQ(&taro.text(), &again.text());
    EXPECT_FALSE(taro == other);
    EXPECT_EQ(Interned::kept(), before + 2);
  }
  EXPECT_EQ(Interned::kept(), before);
}

TEST(Interned, TheEmptyTextTakesNoMemory) {
  const std::size_t before = Interned::kept();
  const Interned none, empty("");
  EXPECT_TRUE(none.empty());
  EXPECT_EQ(none, empty);
  EXPECT_EQ(none.text(), "");
  EXPECT_EQ(Interned::kept(), before);
}

TEST(Interned, OutlivesWhoeverHadItFirst) {
  Interned last;
  {
    Interned first("tokyo eap-mschapv2");
    last = first;
    first = "osaka certificate";
    EXPECT_EQ(first, "osaka certificate");
  }
  EXPECT_EQ(last, "tokyo eap-mschapv2");
  const Interned& same = last;
  last = same;  // to itself
  EXPECT_EQ(last, "tokyo eap-mschapv2");
  const Interned moved = std::move(last);
  EXPECT_EQ(moved, "tokyo eap-mschapv2");
  EXPECT_TRUE(last.empty());  // NOLINT(bugprone-use-after-move): says what a move leaves
}

TEST(Interned, IsOrderedAsItsTextIsAndNotByWhereItLies) {
  std::map<std::pair<std::uint32_t, Interned>, int> people;
  for (const char* name : {"jiro", "taro", "hanako", "taro2", "TARO"}) people[{1, name}] = 1;
  std::string order;
  for (const auto& [key, one] : people) order += key.second + " ";
  EXPECT_EQ(order, "TARO hanako jiro taro taro2 ");
  EXPECT_EQ(people.count({2, "taro"}), 0U);
}

/// What many threads get and forget at once is one text each time anybody looks, and none when all are done.
TEST(Interned, ManyThreadsComeAndGo) {
  const std::size_t before = Interned::kept();
  const std::vector<std::string> names{"a", "b", "c"};
  std::vector<std::thread> threads;
  std::vector<std::size_t> wrong(4);
  for (std::size_t number = 0; number < wrong.size(); ++number) {
    threads.emplace_back([&names, &mistakes = wrong[number]] {
      for (std::size_t turn = 0; turn < 20'000; ++turn) {
        const std::string& name = names[turn % names.size()];
        const Interned one(name), copy = one, again(name);
        mistakes += one.text() == name && copy == again && &again.text() == &one.text() ? 0U : 1U;
      }
    });
  }
  for (std::thread& one : threads) one.join();
  for (const std::size_t mistakes : wrong) EXPECT_EQ(mistakes, 0U);
  EXPECT_EQ(Interned::kept(), before);
}

}  // namespace
}  // namespace sekisho::vpn
