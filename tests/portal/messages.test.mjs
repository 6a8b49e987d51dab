// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import { readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { tree } from "./browser.mjs";

const source = join(tree, "mgmt/portal/src");
const messages = (language) => JSON.parse(readFileSync(join(source, `text/${language}.json`), "utf8"));
const en = messages("en"),
  ja = messages("ja");
const files = readdirSync(source, { recursive: true })
  .filter((name) => /\.tsx?$/.test(name))
  .map((name) => [name, readFileSync(join(source, name), "utf8")]);
const places = (text) => (text.match(/\{\w+\}/g) ?? []).sort();

test("both languages have every key, in the same order", () => assert.deepEqual(Object.keys(ja), Object.keys(en)));

test("a message has the same places for values in both languages", () => {
  for (const key of Object.keys(en)) assert.deepEqual(places(ja[key]), places(en[key]), key);
});

test("no message is empty, and Japanese is Japanese", () => {
  // Names, examples and units that are the same in every language.
  const same =
    /^(nav\.tagline|sign_in\.account_example|object\.protocol_hint|logs\.example|page\.nat|stage\.nat|remote\.os|rules\.default|client\..*|act.*|nat\.kind\.napt)$/;
  for (const [key, text] of Object.entries({ ...en, ...ja })) assert.ok(text.trim(), key);
  for (const [key, text] of Object.entries(ja))
    if (!same.test(key)) assert.match(text, /[\u3001-\u30ff\u4e00-\u9fff]/, `${key}: ${text}`);
});

test("the words of the specification are used for the logs", () => {
  const words = {
    comm: "通信ログ",
    sec: "セキュリティイベントログ",
    vpn: "VPN接続ログ",
    acl: "アクセス制御ログ",
    devauth: "端末認証ログ",
    audit: "操作ログ",
  };
  for (const [stream, word] of Object.entries(words)) assert.equal(ja[`stream.${stream}`], word);
  assert.equal(ja["page.bindings"], "アドレス強制");
  assert.equal(ja["rules.default"], "既定拒否");
});

test("every key a page names is a message, and every message is named by something", () => {
  const named = new Set(
    files.flatMap(([, text]) => [...text.matchAll(/["`]([a-z_]+\.[A-Za-z0-9_. ():-]+)["`]/g)].map((match) => match[1])),
  );
  const prefixes = files.flatMap(([, text]) =>
    [...text.matchAll(/[`"]([a-z_]+\.(?:[a-z_]+\.)?)(?:\$\{|")/g)].map((match) => match[1]),
  );
  for (const match of files.flatMap(([, text]) => [...text.matchAll(/\bt\("([^"]+)"/g)])) assert.ok(match[1] in en, match[1]);
  const unnamed = Object.keys(en).filter((key) => !named.has(key) && !prefixes.some((prefix) => key.startsWith(prefix)));
  assert.deepEqual(unnamed, []);
});

test("pages hold no text of their own", () => {
  for (const [name, text] of files) {
    const bare = [...text.matchAll(/>([^<>{}\n]*[A-Za-z\u3040-\u9fff]{3,}[^<>{}\n]*)<\//g)]
      .map((match) => match[1].trim())
      .filter((words) => !/^(English|日本語|Sekisho)$/.test(words) && !/[=;()|&]/.test(words));
    assert.deepEqual(bare, [], name);
  }
});
