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
const csv = await part("state/csv.ts");
const kinds = await part("pages/kinds.ts");
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

const USERS = [
  { name: "t.suzuki", groups: ["営業部"], nt_hash: "(set)" },
  { name: "k;s\\ato", groups: ["営業部", "情; シス"], nt_hash: "(set)", memo: 'says "hello",\r\ntwice', suspended: true },
];

test("a list goes into a file and comes back the same; passwords do not go", () => {
  const text = csv.to_csv(kinds.USERS, USERS);
  assert.ok(text.startsWith("\ufeffname,groups,password,static_addresses,suspended,memo\r\n"), text);
  assert.ok(!text.includes("(set)"));
  assert.deepEqual(csv.from_csv(kinds.USERS, text, USERS), { added: [], changed: [], same: 2, wrong: [] });
  const { added } = csv.from_csv(kinds.USERS, text, []);
  assert.deepEqual(
    added,
    USERS.map(({ nt_hash: _, ...rest }) => rest),
  );
  const services = [{ name: "ping", protocol: "icmp", icmp: [{ type: 8, code: 0 }, { type: 3 }] }];
  assert.deepEqual(csv.from_csv(kinds.SERVICES, csv.to_csv(kinds.SERVICES, services), []).added, services);
});

test("rows change what has their name; fields without a column and passwords left empty stay", () => {
  const text = "groups,name,password\n情シス,t.suzuki,\n,k;s\\ato,clientPass\n営業部,neu,clientPass\n";
  const { added, changed, same, wrong } = csv.from_csv(kinds.USERS, text, USERS);
  assert.deepEqual(wrong, []);
  assert.equal(same, 0);
  assert.deepEqual(added, [{ name: "neu", groups: ["営業部"], nt_hash: "44ebba8d5312b8d611474411f56989ae" }]);
  assert.deepEqual(changed, [
    { name: "t.suzuki", groups: ["情シス"], nt_hash: "(set)" },
    { name: "k;s\\ato", nt_hash: "44ebba8d5312b8d611474411f56989ae", memo: USERS[1].memo, suspended: true },
  ]);
});

test("no cell is a formula in a spreadsheet, and it comes back as it was", () => {
  for (const memo of ["=1+1", "+81", "-1", "@x", "'=1", "'quoted'"]) {
    const items = [{ name: "a", memo }];
    const text = csv.to_csv(kinds.USERS, items);
    assert.ok(!/,[=+\-@]/.test(text), text);
    assert.deepEqual(csv.from_csv(kinds.USERS, text, []).added, items);
  }
});

test("what is wrong in a file is said with its line, and nothing of it is taken", () => {
  const wrong = (text, kind = kinds.USERS) => csv.from_csv(kind, text, []).wrong.map((one) => `${one.line} ${one.what} ${one.word}`);
  assert.deepEqual(wrong("name,nt_hash\na,b\n"), ["1 column nt_hash"]);
  assert.deepEqual(wrong("name,memo,name\na,b,c\n"), ["1 twice name"]);
  assert.deepEqual(wrong("memo\nb\n"), ["1 no_name "]);
  assert.deepEqual(wrong(""), ["1 no_name "]);
  assert.deepEqual(wrong('name,memo\na,"x\ny"\n\na,z\n,q\nb,c,d\n'), ["5 twice a", "6 no_name ", "7 cells 3"]);
  assert.deepEqual(wrong('name\n"a\n'), ["0 quote "]);
  assert.deepEqual(wrong('name\n"a"b\n'), ["0 quote "]);
  assert.deepEqual(wrong("name,suspended\na,perhaps\nb,TRUE\n"), ["2 value suspended: perhaps"]);
  assert.deepEqual(wrong("name,priority\na,ten\nb,10\n", kinds.USER_GROUPS), ["2 value priority: ten"]);
  assert.deepEqual(wrong("name,state\na,asked\nb,requested\n", kinds.DEVICES), ["2 value state: asked"]);
  assert.deepEqual(wrong(`name\n${Array.from({ length: 10_001 }, (_, i) => i).join("\n")}\n`), ["0 rows 10000"]);
  assert.deepEqual(wrong(`name\n${Array.from({ length: 10_000 }, (_, i) => i).join("\n")}\n`), []);
});

test("files of Japanese spreadsheets are read, and bytes that are no text are not", () => {
  const shift_jis = Uint8Array.from([0x89, 0x63, 0x8b, 0xc6]).buffer;
  assert.equal(csv.text_of(shift_jis), "営業");
  assert.equal(csv.text_of(new TextEncoder().encode("営業").buffer), "営業");
  assert.equal(csv.text_of(Uint8Array.from([0xff, 0xfe, 0x00]).buffer), null);
});
