// SPDX-License-Identifier: Apache-2.0
// The portal asks what base/proto/api.proto offers, by its names; the API in memory offers no more.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { tree } from "./browser.mjs";

const read = (path) => readFileSync(join(tree, path), "utf8");
const proto = read("base/proto/api.proto").replace(/\/\/.*$/gm, "");
const messages = new Map(
  [...proto.matchAll(/^message (\w+) \{([^}]*)\}/gm)].map(([, name, body]) => [
    name,
    [...body.matchAll(/(\w+) = \d+/g)].map((field) => field[1]),
  ]),
);
const offered = new Set(
  [...proto.matchAll(/http: "(\w+) \/api\/v1\/([^"]+)"/g)].map(([, verb, path]) => `${verb} ${path.replace(/\{\w+\}/g, "*")}`),
);
// Bodies of what is no message of the API: the document is checked by controld.
const DOCUMENT = new Set(["Rule", "Policy", "NamedItem", "Document", "ApiFailure"]);

test("every field of a body stands in the API's schema", () => {
  const interfaces = [...read("mgmt/portal/src/api/types.ts").matchAll(/export interface (\w+) \{([^}]*)\}/g)];
  assert.ok(interfaces.length > 25);
  for (const [, name, body] of interfaces) {
    if (DOCUMENT.has(name)) continue;
    const message = messages.get(name) ?? messages.get(`${name}Request`);
    assert.ok(message, `no message ${name}`);
    const fields = [...body.matchAll(/^ +(\w+)\??:/gm)].map((field) => field[1]);
    const inline = fields.length ? fields : [...body.matchAll(/(\w+)\??:/g)].map((field) => field[1]);
    for (const field of inline) assert.ok(message.includes(field), `${name}.${field}`);
  }
});

test("every path the portal asks is a method, with its verb", () => {
  const text = read("mgmt/portal/src/api/methods.ts").replace(/\s+/g, " ");
  const star = (path) => path.replace(/\$\{[^}]*\}/g, "*");
  const asked = new Set([
    ...[...text.matchAll(/"(GET|POST|PUT|DELETE)", ?of\( ?tenant, ?["`]([^"`]+)["`]/g)].map(
      ([, verb, path]) => `${verb} tenants/*/${star(path)}`,
    ),
    ...[...text.matchAll(/"(GET|POST|PUT|DELETE)", ?["`]([^"`]+)["`]/g)].map(([, verb, path]) => `${verb} ${star(path)}`),
    ...[...text.matchAll(/rows\("([^"]+)"/g)].map(([, path]) => `GET ${path}`),
    ...["rules", "nat", "drops", "ports", "bindings", "sessions", "vpn/users", "vpn/sessions", "logs/download"].map(
      (name) => `GET tenants/*/${name}`,
    ),
  ]);
  assert.ok(asked.size > 55, String(asked.size));
  assert.deepEqual(
    [...asked].filter((one) => !offered.has(one)),
    [],
  );
});

test("the API in memory has no method that the schema does not have", () => {
  const there = [...read("tests/portal/fake_api.mjs").matchAll(/"(GET|POST|PUT|DELETE) ([\w/.-]+)"/g)].map(
    ([, verb, path]) => `${verb} ${path.replace(/^T\//, "tenants/*/").replace(/web01-eth0|tk$|a3(?=\/)/, "*")}`,
  );
  assert.ok(there.length > 35);
  assert.deepEqual(
    there.filter((one) => !offered.has(one)),
    [],
  );
});
