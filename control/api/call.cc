// SPDX-License-Identifier: Apache-2.0
#include "control/api/call.h"

#include <algorithm>

#include "base/ipc/sealed_blob.h"
#include "control/links/answer.h"

namespace sekisho::control {

const model::Tenant* InForce::tenant(const std::string& service_code) const {
  if (model == nullptr) return nullptr;
  const auto at = std::find_if(model->tenants().begin(), model->tenants().end(),
                               [&](const auto& one) { return one.service_code() == service_code; });
  return at == model->tenants().end() ? nullptr : &*at;
}

void Call::reply(const google::protobuf::Message& message, std::uint32_t etag) {
  ControlAnswer out;
  auto& body = *out.message.mutable_api_answer();
  body.set_status(200);
  body.set_etag(etag);
  body.set_reply(message.SerializeAsString());
  send(std::move(out));
}

void Call::refuse(const Refusal& refusal, const api::Error& more) {
  ControlAnswer out;
  auto& body = *out.message.mutable_api_answer();
  api::Error error = more;
  error.set_code(refusal.code);
  error.set_message(refusal.message);
  error.set_path(refusal.path);
  body.set_status(refusal.status);
  body.set_retry_after(refusal.retry_after);
  body.set_reply(error.SerializeAsString());
  send(std::move(out));
}

void Call::send(ControlAnswer answer) {
  auto& body = *answer.message.mutable_api_answer();
  if (body.reply().size() > kListBytesMax && !answer.fd.valid()) {
    auto blob = make_sealed_blob("sekisho-answer", as_bytes(body.reply()));
    body.clear_reply();
    if (blob) {
      body.set_in_fd(true);
      answer.fd = std::move(*blob);
    } else {
      body.set_status(503);
    }
  }
  const auto to = std::exchange(answer_, nullptr);
  if (to) to(std::move(answer));
}

const google::protobuf::ServiceDescriptor& api_service() {
  return *api::Error::descriptor()->file()->FindServiceByName("Api");
}

std::optional<std::string> take_blob(Fd fd) {
  constexpr std::size_t kBlobBytesMax = std::size_t{256} << 20;
  const auto blob = SealedBlob::open(std::move(fd), kBlobBytesMax);
  if (!blob) return std::nullopt;
  return std::string(blob->bytes().begin(), blob->bytes().end());
}

}  // namespace sekisho::control
