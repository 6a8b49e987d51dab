// SPDX-License-Identifier: Apache-2.0
// Any bytes as a configuration document: decoded, validated and, when found right, compiled, written out, read back and
// compared. A document without errors must compile, and mean the same when written out.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/assert.h"
#include "control/compile/compiler.h"
#include "control/config/codec.h"
#include "control/config/diff.h"
#include "control/config/validate.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace sekisho::control;
  const Decoded decoded = decode_document({reinterpret_cast<const char*>(data), size});
  SEKISHO_ASSERT(decoded.findings.size() <= kFindingsMax + 1);
  const std::vector<Finding> findings = validate(decoded);
  SEKISHO_ASSERT(has_errors(findings) || !has_errors(decoded.findings));
  if (has_errors(findings)) return 0;
  const Decoded again = decode_document(encode_document(decoded.model));
  SEKISHO_ASSERT(again.findings.empty());
  SEKISHO_ASSERT(diff_models(decoded.model, again.model).empty());
  Ids ids;
  const Compiled compiled = compile(decoded.model, decoded.positions, ids, 1);
  for (const Finding& finding : compiled.findings) {
    SEKISHO_ASSERT(finding.sentence.find("not sound") == std::string::npos);
  }
  return 0;
}
