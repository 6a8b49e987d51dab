// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import { mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { esbuild, tree } from "./browser.mjs";

/** A part of the portal as a module: bundled, with as little of a browser as it touches when it is loaded. */
async function part(name) {
  globalThis.localStorage = globalThis.sessionStorage = {
    getItem: () => null,
    setItem: () => undefined,
    removeItem: () => undefined,
  };
  Object.defineProperty(globalThis, "navigator", { value: { language: "en" }, configurable: true });
  globalThis.document = { documentElement: { dataset: {} } };
  globalThis.location = { hash: "" };
  globalThis.addEventListener = () => undefined;
  globalThis.matchMedia = () => ({ matches: false, addEventListener: () => undefined });
  const outfile = join(mkdtempSync(join(tmpdir(), "portal-")), "part.mjs");
  await esbuild.build({
    entryPoints: [join(tree, "mgmt/portal/src", name)],
    bundle: true,
    format: "esm",
    outfile,
    jsx: "automatic",
    jsxImportSource: "preact",
    nodePaths: [join(tree, "build/portal/node_modules")],
    logLevel: "error",
    loader: { ".css": "empty" },
  });
  return import(outfile);
}
const { nt_hash } = await part("api/nt_hash.ts");
const { parse_query } = await part("pages/log_query.ts");
const draft = await part("state/draft.ts");
const { advanced } = await part("state/live.ts");

test("NT hashes are those of RFC 2759 and of others' vectors", () => {
  assert.equal(nt_hash("clientPass"), "44ebba8d5312b8d611474411f56989ae");
  assert.equal(nt_hash(""), "31d6cfe0d16ae931b73c59d7e0c089c0");
  assert.equal(nt_hash("Password"), "a4f49c406510bdcab6824ee7c30fd852");
});

test("an NT hash differs with one letter's case, and long or Japanese passwords have one", () => {
  assert.notEqual(nt_hash("clientpass"), nt_hash("clientPass"));
  for (const length of [27, 28, 31, 32, 59, 60, 64, 200]) assert.match(nt_hash("あ".repeat(length)), /^[0-9a-f]{32}$/);
});

test("conditions are fields with a test, and addresses alone", () => {
  const text =
    '203.0.113.0/24 action=drop,reject dst_port > 1023 count<=5 rule_name~"web = for" src_ip in 10.0.0.0/8 2001:db8::1 user=* phase!=start';
  assert.deepEqual(parse_query(text).conditions, [
    { field: "address", test: "within", values: ["203.0.113.0/24"] },
    { field: "action", test: "equal", values: ["drop", "reject"] },
    { field: "dst_port", test: "range", values: ["1024", ""] },
    { field: "count", test: "range", values: ["", "5"] },
    { field: "rule_name", test: "contains", values: ["web = for"] },
    { field: "src_ip", test: "within", values: ["10.0.0.0/8"] },
    { field: "address", test: "equal", values: ["2001:db8::1"] },
    { field: "user", test: "present", values: [] },
    { field: "phase", test: "equal", values: ["start"], negate: true },
  ]);
  assert.deepEqual(parse_query("  ").conditions, []);
});

test("what is no condition is named, and nothing is asked", () => {
  assert.deepEqual(parse_query("action=drop hello"), { conditions: [], wrong: "hello" });
  assert.equal(parse_query("=x").wrong, "=x");
});

const document = () => ({
  service_code: "mfw00001234",
  name: "n",
  addresses: [{ name: "web" }, { name: "db" }],
  address_groups: [{ name: "all", members: ["web", "db"] }],
  services: [{ name: "web" }],
  policies: [
    {
      name: "p",
      rules: [
        { name: "a", action: "allow", source: ["web"], service: ["web"] },
        { name: "b", action: "drop", destination: ["db"] },
        { name: "c", action: "drop" },
      ],
    },
  ],
});
const begin = () => draft.draft.set({ tenant: "t", base: 1, before: document(), document: document(), editable: null, acts: 0 });
const now = () => draft.draft.get().document;

test("a renamed object keeps its place, and what named it follows; a service of the same name does not", () => {
  begin();
  draft.put_item("addresses", "web", { name: "公開Web" });
  assert.deepEqual(
    now().addresses.map((one) => one.name),
    ["公開Web", "db"],
  );
  assert.deepEqual(now().address_groups[0].members, ["公開Web", "db"]);
  assert.deepEqual(now().policies[0].rules[0].source, ["公開Web"]);
  assert.deepEqual(now().policies[0].rules[0].service, ["web"]);
});

test("an object knows where it is used, an unused one nowhere", () => {
  begin();
  assert.deepEqual(draft.uses_of(now(), "addresses", "db"), ["all", "p / b"]);
  assert.deepEqual(draft.uses_of(now(), "addresses", "nowhere"), []);
});

test("a rule moves to its place, and not beyond the last", () => {
  begin();
  draft.move_rule("p", 2, 0);
  assert.deepEqual(
    now().policies[0].rules.map((rule) => rule.name),
    ["c", "a", "b"],
  );
  draft.move_rule("p", 0, 3);
  assert.deepEqual(
    now().policies[0].rules.map((rule) => rule.name),
    ["c", "a", "b"],
  );
});

test("a draft is changed when its document differs, not when an act was taken back", () => {
  begin();
  assert.equal(draft.changed(draft.draft.get()), false);
  draft.move_rule("p", 0, 1);
  assert.equal(draft.changed(draft.draft.get()), true);
  draft.move_rule("p", 1, 0);
  assert.equal(draft.changed(draft.draft.get()), false);
});

test("live points make each series grow to what is looked at, and then move on", () => {
  const whole = {
    now: "a",
    step_seconds: 5,
    series: [
      { name: "x", values: [1, 2] },
      { name: "y", values: [] },
    ],
  };
  const event = (x, y) => ({
    now: "b",
    step_seconds: 5,
    series: [
      { name: "x", values: x },
      { name: "y", values: y },
    ],
  });
  const once = advanced(whole, event([3], [7]), 15);
  assert.deepEqual(
    once.series.map((one) => one.values),
    [[1, 2, 3], [7]],
  );
  const twice = advanced(once, event([4, 5], [8, 9]), 15);
  assert.deepEqual(
    twice.series.map((one) => one.values),
    [
      [3, 4, 5],
      [7, 8, 9],
    ],
  );
  assert.equal(twice.now, "b");
});
