// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/proto/model.pb.h"
#include "control/config/finding.h"

namespace sekisho::control {

/// A document as read: the model, where each value stood, and what was wrong with it. With errors the model is partial
/// and of no use but for further findings: a refused value is absent or, in a list, an empty element, so that indices
/// in the model and in the document agree.
struct Decoded {
  model::Configuration model;
  Positions positions;
  Refusals refused;
  std::vector<Finding> findings;
  /// False when reading ended early (no YAML, out of bounds, more than kFindingsMax findings): what is missing from the
  /// model may only not have been read.
  bool whole = false;
};

/// Reads a YAML (or JSON: a subset) document into the model, driven by the model's own descriptors: unknown and repeated
/// fields, wrong types, missing fields, anchors, aliases, tags, a second document and anything past
/// limits::kDocumentBytesMax, kDocumentDepthMax or kDocumentNodesMax are findings. A value that cannot be placed is
/// refused alone and reading goes on; findings beyond kFindingsMax are only counted.
/// Errors: never throws; foreign exceptions end here.
Decoded decode_document(std::string_view text);

/// The model as canonical YAML: fields in schema order, defaults left out. decode_document() gives the same model back.
std::string encode_document(const model::Configuration& model);

/// One message on one line, "{ mac: ..., prefix: ... }", its secrets masked: how a difference shows an object.
std::string encode_line(const google::protobuf::Message& message);

/// Scalars of one document, maps and lists included; 200,000 rules need about 4 million.
inline constexpr std::size_t kDocumentNodesMax = 16'000'000;

/// How the document writes an enumerator.
std::string enum_text(const google::protobuf::EnumValueDescriptor& value);

/// True when the field is absent or says what its absence says.
bool is_default(const google::protobuf::Message& message, const google::protobuf::FieldDescriptor& field);

/// What stands for a secret wherever it is shown.
inline constexpr std::string_view kMasked = "(set)";
/// scalar_text(), a secret field's masked.
std::string shown_text(const google::protobuf::Message& message, const google::protobuf::FieldDescriptor& field, int index);
/// Puts kMasked in the place of each secret of a message and of all in it. True when there was one.
bool mask_secrets(google::protobuf::Message& message);

/// The scalar field's value as the document writes it; `index` < 0 for a field that is no list.
std::string scalar_text(const google::protobuf::Message& message, const google::protobuf::FieldDescriptor& field, int index);

}  // namespace sekisho::control
