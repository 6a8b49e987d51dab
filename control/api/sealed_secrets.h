// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <google/protobuf/message.h>

#include <string>
#include <string_view>

/// Secrets of a document that leaves the unit: sealed to a passphrase, so that it may be kept anywhere. The same
/// document and passphrase give the same bytes: who compares two exports sees what changed. Any thread.
namespace sekisho::control {

/// Puts "sealed:..." in the place of each secret (AES-256-GCM under a key by scrypt; the nonce is made from key and
/// secret). `whose` makes the key another one for each tenant. False when the machine has not the memory.
bool seal_secrets(google::protobuf::Message& message, std::string_view passphrase, std::string_view whose);
/// The other way round. False: one cannot be opened, the passphrase or the document is not the right one; `message` is
/// of no use then.
bool unseal_secrets(google::protobuf::Message& message, std::string_view passphrase, std::string_view whose);

}  // namespace sekisho::control
