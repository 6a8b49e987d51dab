// SPDX-License-Identifier: Apache-2.0
#include "mgmt/cli/control_client.h"

#include "base/describe.h"
#include "base/ipc/sealed_blob.h"
#include "base/ipc/seqpacket.h"
#include "base/limits.h"

namespace sekisho::mgmt {
namespace {

constexpr std::chrono::seconds kPatience{120};
constexpr std::size_t kAnswerBytesMax = std::size_t{256} << 20;

ByteSpan bytes_of(const std::string& text) {
  return {reinterpret_cast<const std::uint8_t*>(text.data()), text.size()};
}

ControlError unreachable(const std::string& path, Error error) {
  return {true, "controld does not answer on " + path + ": " + describe(error)};
}

}  // namespace

std::variant<ControlAnswer, ControlError> ask_control(const std::string& run_dir, ipc::ToControl question,
                                                      std::span<const std::string* const> documents) {
  const std::string path = run_dir + "/control.sock";
  auto connection = IpcConnection::connect(path);
  if (!connection) return unreachable(path, connection.error());
  constexpr std::uint64_t kCorrelation = 1;  // one question a connection
  question.set_correlation(kCorrelation);
  std::vector<Fd> blobs;
  std::vector<int> fds;
  for (const std::string* document : documents) {
    if (document->size() > limits::kDocumentBytesMax) return ControlError{false, "the document is larger than 64 MiB"};
    auto made = make_sealed_blob("sekisho-document", bytes_of(*document));
    if (!made) return ControlError{false, "cannot prepare the document: " + describe(made.error())};
    fds.push_back(made->get());
    blobs.push_back(std::move(*made));
  }
  if (const auto sent = connection->send(bytes_of(question.SerializeAsString()), fds); !sent) {
    return unreachable(path, sent.error());
  }
  auto message = connection->receive(kPatience);
  if (!message) return unreachable(path, message.error());
  ControlAnswer answer;
  const bool sane = answer.message.ParseFromArray(message->bytes.data(), static_cast<int>(message->bytes.size())) &&
                    answer.message.correlation() == kCorrelation;
  if (!sane) return ControlError{true, "controld on " + path + " speaks another version"};
  if (answer.message.has_failure()) return ControlError{false, answer.message.failure().reason()};
  answer.fds = std::move(message->fds);
  return answer;
}

std::variant<std::string, ControlError> take_blob(ControlAnswer& answer) {
  if (answer.fds.size() != 1) return ControlError{true, "controld announced a document and sent none"};
  auto blob = SealedBlob::open(std::move(answer.fds[0]), kAnswerBytesMax);
  answer.fds.clear();
  if (!blob) return ControlError{true, "controld sent an unusable document: " + describe(blob.error())};
  const ByteSpan bytes = blob->bytes();
  return std::string(bytes.begin(), bytes.end());
}

}  // namespace sekisho::mgmt
