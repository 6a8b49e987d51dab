// SPDX-License-Identifier: Apache-2.0
// Goal: what Windows, macOS and pppd send when they open PPP lets them in, and a shape that is nearly one of theirs does not.
// Method: client_shapes.table is replayed through a session, frame by frame; whatever the session says stands there, too.
#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <sstream>

#include "tests/support/ppp_peer.h"

namespace sekisho::vpn::ppp {
namespace {

struct Line {
  int number = 0;
  std::string word, rest;
};
struct Shape {
  std::string name;
  std::vector<Line> lines;
};

void PrintTo(const Shape& shape, std::ostream* out) { *out << shape.name; }

std::vector<Shape> shapes() {
  std::ifstream file(SEKISHO_SOURCE_DIR "/tests/unit/ppp/client_shapes.table");
  std::vector<Shape> out;
  std::string text;
  for (int number = 1; std::getline(file, text); ++number) {
    if (text.empty() || text[0] == '#') continue;
    if (text[0] == '[') {
      out.push_back({text.substr(1, text.find(']') - 1), {}});
      continue;
    }
    const std::size_t blank = std::min(text.find(' '), text.size());
    out.back().lines.push_back({number, text.substr(0, blank), text.substr(std::min(blank + 1, text.size()))});
  }
  return out;
}

/// A session at one end, the table's lines at the other.
class Replay {
 public:
  explicit Replay(const Shape& shape) {
    for (const Line& line : shape.lines) {
      if (line.word == "door") prepare(line.rest);
    }
    world_.peer.mute_ncp = true;  // the table speaks for it
    world_.start();
    for (const Line& line : shape.lines) {
      SCOPED_TRACE(shape.name + ", line " + std::to_string(line.number));
      play(line);
      if (testing::Test::HasFailure()) return;
    }
    EXPECT_TRUE(world_.owner.frames.empty()) << shape.name << ": nobody expects " << test::hex(world_.owner.frames.front());
  }
  [[nodiscard]] bool came_in() const { return world_.session->up(Family::kIpv4) || world_.session->up(Family::kIpv6); }
  [[nodiscard]] bool linked() const { return world_.owner.find(Event::Kind::kLinkUp) != nullptr; }

 private:
  void prepare(const std::string& words) {
    std::istringstream in(words);
    for (std::string word; in >> word;) {
      if (word == "mppe") world_.options.mppe = true;
      if (word == "compression") world_.options.header_compression = true;
      if (word == "ipv4") world_.owner.network.ipv6.reset();
    }
  }
  void play(const Line& line) {
    if (line.word == ">") {
      ASSERT_TRUE(world_.owner.frames.empty()) << "nobody expects " << test::hex(world_.owner.frames.front());
      world_.session->receive(test::unhex(line.rest), world_.now);
    } else if (line.word == "<") {
      expect(line.rest);
    } else if (line.word == "login") {
      log_in(line.rest);
    } else if (line.word == "=") {
      hold(line.rest);
    } else {
      ASSERT_EQ(line.word, "door") << "a word the table does not have";
    }
  }
  void expect(const std::string& frame) {
    ASSERT_FALSE(world_.owner.frames.empty()) << "the session says nothing";
    last_ = world_.owner.frames.front();
    world_.owner.frames.pop_front();
    const std::string wanted = test::hex(test::unhex(frame)), said = test::hex(last_);
    EXPECT_EQ(frame.ends_with('*') ? said.substr(0, wanted.size()) : said, wanted);
  }
  /// The client's own arithmetic (tests/support), over the challenge that was said last.
  void log_in(const std::string& user) {
    world_.peer.user = user;
    world_.peer.take(last_);
    ASSERT_EQ(world_.peer.sent.size(), 1U) << "that was no challenge";
    world_.session->receive(world_.peer.sent.front(), world_.now);
    world_.peer.sent.clear();
  }
  void hold(const std::string& words) {
    std::istringstream in(words);
    std::string word, value;
    in >> word, std::getline(in >> std::ws, value);
    const auto said = [&value](const Event& event) { return event.kind == Event::Kind::kIdentified && event.text == value; };
    const Event* down = world_.owner.find(Event::Kind::kDown);
    if (word == "up4" || word == "up6") {
      EXPECT_TRUE(world_.session->up(word == "up4" ? Family::kIpv4 : Family::kIpv6));
    } else if (word == "proven") {
      EXPECT_EQ(world_.session->user(), world_.peer.user);
    } else if (word == "mru") {
      EXPECT_EQ(std::to_string(world_.session->agreed().peer_mru), value);
    } else if (word == "client") {
      EXPECT_TRUE(std::ranges::any_of(world_.owner.events, said));
    } else {
      ASSERT_EQ(word, "down") << "a word the table does not have";
      ASSERT_NE(down, nullptr);
      EXPECT_EQ(down->cause, value == "crypto" ? Cause::kCrypto : Cause::kAuth) << value;
    }
  }

  test::PppWorld world_;
  std::vector<std::uint8_t> last_;
};

class PppClientShapes : public testing::TestWithParam<Shape> {};

TEST_P(PppClientShapes, IsAnsweredByteForByteAndALinkIsOpenForTheWholeOnesAlone) {
  const Replay replay(GetParam());
  if (GetParam().name.starts_with("not-")) {
    EXPECT_FALSE(replay.came_in());
  } else {
    EXPECT_TRUE(replay.linked());
  }
}

std::string test_name(const testing::TestParamInfo<Shape>& info) {
  std::string out = info.param.name;
  std::ranges::replace(out, '-', '_');
  return out;
}
INSTANTIATE_TEST_SUITE_P(Table, PppClientShapes, testing::ValuesIn(shapes()), test_name);

TEST(PppClientShapesTable, HasEachFamilyAndNearShapes) {
  const auto all = shapes();
  const auto near = std::ranges::count_if(all, [](const Shape& one) { return one.name.starts_with("not-"); });
  EXPECT_GE(near, 4);
  for (const char* family : {"windows-sstp", "windows-l2tp", "windows-pptp", "windows-multilink", "macos-l2tp", "pppd-l2tp"}) {
    EXPECT_EQ(std::ranges::count(all, std::string(family), &Shape::name), 1) << family;
  }
}

}  // namespace
}  // namespace sekisho::vpn::ppp
