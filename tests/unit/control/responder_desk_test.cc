// SPDX-License-Identifier: Apache-2.0
#include "control/links/responder_desk.h"

#include <gtest/gtest.h>

namespace sekisho::control {
namespace {

class ResponderDeskTest : public testing::Test {
 protected:
  void SetUp() override {
    for (const char* code : {"acm00000001", "glx00000001"}) {
      auto& tenant = *model_.add_tenants();
      tenant.set_service_code(code);
      auto& gateway = *tenant.add_gateways();
      gateway.set_name("vpn");
      numbers_.push_back(ids_.number(IdKind::kTenant, tenant_key(code)));
    }
    model_.mutable_tenants(0)->mutable_gateways(0)->mutable_ocsp()->set_url("http://192.0.2.7/ocsp");
    model_.mutable_responders()->add_networks("192.0.2.0/24");
  }
  ipc::RespondersSaid ask(std::uint64_t number, std::size_t tenant = 0, const std::string& gateway = "vpn", const std::string& question = "question") {
    ipc::AskResponders asked;
    auto& one = *asked.add_questions();
    one.set_number(number);
    one.set_tenant(numbers_.at(tenant));
    one.set_gateway(gateway);
    one.set_question(question);
    asked.add_waiting(number);
    return desk_.ask(asked);
  }
  ipc::RespondersSaid wait(std::uint64_t number) {
    ipc::AskResponders asked;
    asked.add_waiting(number);
    return desk_.ask(asked);
  }
  ipc::Deliveries exchange(std::uint32_t room, std::uint64_t number = 0, const std::string& body = {}) {
    ipc::DeliveryWork work;
    work.set_fetch_room(room);
    if (number != 0) {
      auto& one = *work.add_fetched();
      one.set_number(number);
      one.set_body(body);
    }
    ipc::Deliveries out;
    desk_.exchange(work, out);
    return out;
  }

  model::Configuration model_;
  Ids ids_;
  std::vector<std::uint32_t> numbers_;
  std::int64_t now_ = 1000;
  ResponderDesk desk_{{.now = [this] { return now_; }, .model = [this] { return &model_; }, .ids = &ids_}};
};

TEST_F(ResponderDeskTest, AQuestionGoesToTheResponderOfTheConfigurationAndItsAnswerBack) {
  EXPECT_EQ(ask(5).answers_size(), 0);
  const auto work = exchange(8);
  ASSERT_EQ(work.fetches_size(), 1);
  EXPECT_EQ(work.fetches(0).url(), "http://192.0.2.7/ocsp");
  EXPECT_EQ(work.fetches(0).networks(0), "192.0.2.0/24");
  EXPECT_EQ(work.fetches(0).body(), "question");
  EXPECT_EQ(exchange(8).fetches_size(), 0) << "once";
  EXPECT_EQ(wait(5).answers_size(), 0);
  (void)exchange(8, 5, "answer");
  const auto said = wait(5);
  ASSERT_EQ(said.answers_size(), 1);
  EXPECT_EQ(said.answers(0).answer(), "answer");
  EXPECT_EQ(wait(5).answers(0).answer(), "") << "told once";
}

TEST_F(ResponderDeskTest, WhoeverHasNoResponderIsToldAtOnceAndNothingIsFetched) {
  EXPECT_EQ(ask(1, 1).answers_size(), 1) << "another tenant's gateway of the same name";
  EXPECT_EQ(ask(2, 0, "other").answers_size(), 1);
  model_.mutable_responders()->clear_networks();
  EXPECT_NE(ask(3).answers(0).why().find("provider"), std::string::npos);
  EXPECT_EQ(ask(4, 0, "vpn", std::string(ResponderDesk::kQuestionBytesMax + 1, 'x')).answers_size(), 1);
  EXPECT_EQ(exchange(8).fetches_size(), 0);
}

TEST_F(ResponderDeskTest, OneTenantTakesNoMoreThanItsShareAndNothingIsKeptForLong) {
  for (std::uint64_t i = 1; i <= ResponderDesk::kOpenOfTenantMax; ++i) EXPECT_EQ(ask(i).answers_size(), 0) << i;
  EXPECT_EQ(ask(1000).answers_size(), 1);
  model_.mutable_tenants(1)->mutable_gateways(0)->mutable_ocsp()->set_url("http://192.0.2.8/");
  EXPECT_EQ(ask(1001, 1).answers_size(), 0);
  now_ += ResponderDesk::kLifeSeconds;
  EXPECT_EQ(ask(1002).answers_size(), 0);
}

TEST_F(ResponderDeskTest, WhatWasNotAskedForOrIsTooLongIsNoAnswer) {
  (void)exchange(8, 7, "answer");
  EXPECT_EQ(ask(7).answers_size(), 0);
  (void)exchange(0, 7, "too early: nobody was sent");
  EXPECT_EQ(wait(7).answers_size(), 0);
  EXPECT_EQ(exchange(1).fetches_size(), 1);
  (void)exchange(0, 7, std::string(ResponderDesk::kAnswerBytesMax + 1, 'x'));
  EXPECT_EQ(wait(7).answers(0).answer(), "");
}

}  // namespace
}  // namespace sekisho::control
