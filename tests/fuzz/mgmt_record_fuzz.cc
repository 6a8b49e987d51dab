// SPDX-License-Identifier: Apache-2.0
// 192 hostile bytes from a ring become nothing, or a line that reads back as the same record.
#include <cstring>
#include <memory>

#include "base/assert.h"
#include "base/proto/control_log.pb.h"
#include "mgmt/log/enrich.h"
#include "mgmt/log/format.h"

namespace {

using namespace sekisho;
using namespace sekisho::mgmt;

NameCache make_cache() {
  ipc::NameTable table;
  table.set_generation(7);
  auto& tenant = *table.add_tenants();
  tenant.set_id(1), tenant.set_service_code("acm00000001");
  auto& port = *table.add_ports();
  port.set_id(11), port.set_tenant(1), port.set_name("web1"), port.set_zone("servers"), port.set_protected_side(true);
  auto& rule = *table.add_rules();
  rule.set_id(5), rule.set_tenant(1), rule.set_uuid(std::string(16, 'u')), rule.set_name("=許可\x1b"),
      rule.set_number(3);
  NameCache cache;
  cache.add(std::make_shared<Names>(table));
  return cache;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const NameCache cache = make_cache();
  LogRecord raw{};
  std::memcpy(raw.bytes.data(), data, std::min(size, raw.bytes.size()));
  const auto record = decode_record(raw);
  if (!record) return 0;
  const auto entry = enrich(*record, cache);
  if (!entry) return 0;
  std::string line;
  append_json(line, *entry, Audience::kProvider);
  const auto back = parse_json(line);
  SEKISHO_ASSERT(back.has_value());
  std::string again;
  append_json(again, *back, Audience::kProvider);
  SEKISHO_ASSERT(line == again);
  std::string csv;
  append_csv(csv, *entry);
  SEKISHO_ASSERT(csv.find('\n') == std::string::npos);
  return 0;
}
