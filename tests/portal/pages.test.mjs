// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import { join } from "node:path";
import { readFileSync } from "node:fs";
import { gzipSync } from "node:zlib";
import { after, before, test } from "node:test";
import { axe_findings, launch, pictures, portal } from "./browser.mjs";
import { start, world } from "./fake_api.mjs";

const TENANT_PAGES = [
  "",
  "rules",
  "objects",
  "nat",
  "bindings",
  "explain",
  "gateways",
  "users",
  "reach",
  "trial",
  "devices",
  "sessions",
  "logs",
  "exports",
  "audit",
  "revisions",
  "notices",
  "accounts",
  "consents",
  "erasures",
  "keys",
  "notifications",
  "approvals",
  "draft",
  "mine",
];
const PROVIDER_PAGES = ["platform", "unit-settings", "staff", "platform-notices", "platform-erasures", "platform-audit", "platform-keys", "platform-approvals"];
const LOOKS = [
  { language: "ja", theme: "light", width: 1360 },
  { language: "en", theme: "dark", width: 390 },
];
let browser;
before(async () => {
  browser = await launch();
});
/** A browser that does not end what it was told to close keeps nobody waiting: it goes with this process. */
const close = (one) => Promise.race([one.close(), new Promise((done) => setTimeout(done, 20_000).unref())]);
after(async () => {
  await close(browser);
  setTimeout(() => process.exit(), 20_000).unref();
});

/** A page of a browser of its own, signed in unless `out`; what went wrong on it collects in `wrong`. */
async function visit(t, { role = "owner", out = false, language = "en", theme = "light", width = 1360, state = world() } = {}) {
  Object.assign(state, { role, in: !out });
  const server = await start(portal, state);
  t.after(() => server.close());
  const context = await browser.newContext({ viewport: { width, height: 860 }, acceptDownloads: true });
  await context.addInitScript(
    (kept) => {
      for (const [key, value] of Object.entries(kept)) localStorage.setItem(key, value);
    },
    { language, theme },
  );
  t.after(() => close(context));
  const page = await context.newPage();
  page.setDefaultTimeout(15_000);
  const wrong = [];
  page.on("console", (message) => {
    if (message.type() === "error" && !/ 401 /.test(message.text())) wrong.push(message.text());
  });
  page.on("pageerror", (error) => wrong.push(error.message));
  page.on("requestfailed", (request) => lost.set(page, [...(lost.get(page) ?? []), `${request.url()}: ${request.failure()?.errorText}`]));
  page.on("request", (request) => {
    if (!request.url().startsWith(server.url) && !/^(blob|data):/.test(request.url())) wrong.push(`asked ${request.url()}`);
  });
  return { page, wrong, state, url: server.url };
}
/** Requests of a page that found nobody. */
const lost = new WeakMap();
const settled = async (page) => {
  await page.waitForLoadState("load");
  try {
    await page.waitForFunction(() => document.querySelector("h1") && ![...document.querySelectorAll("[role=status].empty")].length);
  } catch (error) {
    throw new Error(`${error.message}\nlost: ${lost.get(page)}\n${(await page.content()).slice(0, 3000)}`);
  }
};

for (const look of LOOKS) {
  for (const [role, pages] of [
    ["owner", TENANT_PAGES],
    ["p-ops", PROVIDER_PAGES],
    ["self", ["own", "mine"]],
  ]) {
    test(`axe finds nothing on any page: ${role}, ${Object.values(look).join(", ")}`, async (t) => {
      const { page, wrong, url } = await visit(t, { role, ...look });
      for (const name of pages) {
        await page.goto(`${url}/#/${name}`);
        await settled(page);
        assert.deepEqual(await axe_findings(page), [], name);
        assert.ok(
          await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth + 1),
          `${name || "home"} is wider than the window`,
        );
        await page.screenshot({
          path: join(pictures, `${name || "home"}-${look.language}-${look.theme}-${look.width}.png`),
          fullPage: true,
        });
      }
      assert.deepEqual(wrong, []);
    });
  }
}

test("axe finds nothing on dialogs", async (t) => {
  const { page, wrong, url } = await visit(t, { language: "ja" });
  const dialogs = [
    ["rules", "公開Web許可 を編集"],
    ["rules", "ポリシーを追加"],
    ["objects", "公開Web を編集"],
    ["objects", "公開Web を削除"],
    ["logs", "ログのダウンロード"],
    ["accounts", "アカウントを追加"],
    ["exports", "siem を編集"],
    ["gateways", "接続プロファイル"],
    ["gateways", "東京GW を編集"],
    ["gateways", "ゲートウェイを追加"],
    ["revisions", "変更点 42"],
    ["sessions", "切断 t.suzuki"],
  ];
  for (const [name, button] of dialogs) {
    await page.goto(`${url}/#/${name}`);
    await settled(page);
    await page.getByRole("button", { name: button }).first().click();
    await page.getByRole("dialog").waitFor();
    assert.deepEqual(await axe_findings(page), [], button);
    await page.screenshot({ path: join(pictures, `dialog-${name}-${dialogs.findIndex((one) => one[1] === button)}.png`) });
    await page.keyboard.press("Escape");
    await page.getByRole("dialog").waitFor({ state: "detached" });
  }
  assert.deepEqual(wrong, []);
});

test("the first page is under 300 kB compressed, and comes in three files", () => {
  const sizes = ["index.html", "app.js", "app.css"].map((name) => gzipSync(readFileSync(join(portal, name))).length);
  assert.ok(sizes.reduce((a, b) => a + b) < 300_000, String(sizes));
});

test("signing in: the password, then the code; a wrong password says nothing of the account", async (t) => {
  const { page, wrong, url } = await visit(t, { out: true });
  await page.goto(url);
  await page.getByLabel("Account").fill("yamada@mfw00001234");
  await page.getByLabel("Password").fill("wrong");
  await page.keyboard.press("Enter");
  await page.getByText("Account, password or code is wrong.").waitFor();
  await page.getByLabel("Password").fill("correct horse battery");
  await page.keyboard.press("Enter");
  await page.getByLabel("Six-digit code").fill("123456");
  assert.deepEqual(await axe_findings(page), []);
  await page.screenshot({ path: join(pictures, "sign-in-code.png") });
  await page.keyboard.press("Enter");
  await page.getByRole("heading", { name: "株式会社サンプル商事" }).waitFor();
  assert.deepEqual(wrong, []);
});

test("a first-login link leads to a password, a second factor, and in", async (t) => {
  const { page, url } = await visit(t, { out: true });
  await page.goto(`${url}/#/welcome/c4Hq1x7Zb2`);
  await page.getByRole("button", { name: "Begin" }).click();
  await page.getByLabel("New password").fill("correct horse battery");
  await page.getByLabel("The same again").fill("correct horse batterx");
  assert.ok(await page.getByRole("button", { name: "Continue" }).isDisabled());
  await page.getByLabel("The same again").fill("correct horse battery");
  await page.getByRole("button", { name: "Continue" }).click();
  await page.getByText("JBSW Y3DP").waitFor();
  assert.deepEqual(await axe_findings(page), []);
  await page.getByLabel("Six-digit code").fill("123456");
  await page.getByRole("button", { name: "Confirm" }).click();
  await page.getByRole("heading", { name: "株式会社サンプル商事" }).waitFor();
  await page.goBack(); // the link is not among the pages one comes back to
  assert.ok(!page.url().includes("welcome"));
});

const order = (page) =>
  page
    .locator("table")
    .first()
    .locator("tbody th")
    .evaluateAll((cells) => cells.map((cell) => cell.firstChild.textContent));

const focused = (page) => page.evaluate(() => document.activeElement.getAttribute("aria-label"));

test("keys move a rule, the focus goes with it, and a screen reader is told", async (t) => {
  const { page, url } = await visit(t);
  await page.goto(`${url}/#/rules`);
  await settled(page);
  await page.getByRole("button", { name: "Move SSH は拒否する", exact: true }).focus();
  await page.keyboard.press("ArrowUp");
  assert.deepEqual(await order(page), ["公開Web許可", "SSH は拒否する", "既知の攻撃元", "既定拒否 (default deny)"]);
  await page.keyboard.press("Home");
  assert.deepEqual(await order(page), ["SSH は拒否する", "公開Web許可", "既知の攻撃元", "既定拒否 (default deny)"]);
  for (const key of ["ArrowDown", "End", "Home"]) {
    await page.keyboard.press(key);
    assert.equal(await focused(page), "Move SSH は拒否する", key);
  }
  await page.keyboard.press("ArrowUp"); // the first stays the first
  assert.equal(await page.evaluate(() => document.activeElement.getAttribute("aria-label")), "Move SSH は拒否する");
  assert.equal(await page.getByText("SSH は拒否する is now number 1 of 3.").count(), 1);
});

test("dragging moves a rule; the default deny cannot be moved", async (t) => {
  const { page, url } = await visit(t);
  await page.goto(`${url}/#/rules`);
  await settled(page);
  await page
    .getByRole("button", { name: "Move 公開Web許可", exact: true })
    .dragTo(page.locator("table").first().locator("tbody tr").nth(2));
  assert.deepEqual(await order(page), ["既知の攻撃元", "SSH は拒否する", "公開Web許可", "既定拒否 (default deny)"]);
  assert.equal(await page.getByRole("button", { name: /Move 既定拒否/ }).count(), 0);
});

test("a draft is committed with the revision it was made from, waits, and is confirmed", async (t) => {
  const { page, wrong, state, url } = await visit(t);
  await page.goto(`${url}/#/rules`);
  await settled(page);
  await page.getByRole("button", { name: "New rule" }).first().click();
  await page.getByLabel("Name", { exact: true }).fill("監視");
  await page.getByLabel("Source", { exact: true }).fill("社内網");
  await page.keyboard.press("Enter");
  await page.getByRole("button", { name: "Put into the draft" }).click();
  assert.equal(state.sent.filter((one) => one.path.endsWith("commit")).length, 0);
  await page.reload(); // a reload loses nothing
  await page.getByRole("link", { name: "Review and commit" }).click();
  await page.getByText("Changes (4)").waitFor();
  assert.deepEqual(await axe_findings(page), []);
  await page.screenshot({ path: join(pictures, "draft-with-changes.png"), fullPage: true });
  await page.getByLabel("Comment").fill("watch");
  await page.getByRole("button", { name: "Commit" }).click();
  await page.getByRole("region", { name: "Waiting for your confirmation" }).waitFor();
  assert.deepEqual(await axe_findings(page), []);
  await page.screenshot({ path: join(pictures, "waiting.png") });
  const commit = state.sent.find((one) => one.path.endsWith("commit"));
  assert.equal(commit.headers["if-match"], '"42"');
  assert.match(commit.headers["idempotency-key"], /^[0-9a-f-]{36}$/);
  assert.equal(commit.body.confirm_seconds, 120);
  assert.deepEqual(commit.body.document.policies[0].rules.at(-1), { name: "監視", action: "allow", source: ["社内網"] });
  await page.getByRole("button", { name: "Keep it" }).click();
  await page.getByRole("region", { name: "Waiting for your confirmation" }).waitFor({ state: "detached" });
  assert.deepEqual(wrong, []);
});

test("a collector's authorities are texts one below the other, and stay a list", async (t) => {
  const { page, wrong, state, url } = await visit(t);
  await page.goto(`${url}/#/exports`);
  await settled(page);
  await page.getByRole("button", { name: "Edit siem" }).click();
  const field = page.getByLabel("Authorities that vouch for it (PEM)");
  const [first] = state.document.log_exports[0].cas;
  await field.fill(`${first}\n${first.replace("AA==", "BB==")}`);
  await page.getByRole("button", { name: "Put into the draft" }).click();
  await page.getByRole("link", { name: "Review and commit" }).click();
  await page.getByRole("button", { name: "Commit" }).click();
  await page.getByRole("region", { name: "Waiting for your confirmation" }).waitFor();
  const { document } = state.sent.find((one) => one.path.endsWith("commit")).body;
  assert.deepEqual(document.log_exports[0].cas, [first, first.replace("AA==", "BB==")]);
  assert.deepEqual(wrong, []);
});

test("an account that waits for a second person says so, and its link is shown to who asked; the rule is part of the draft", async (t) => {
  const state = Object.assign(world(), { two: true });
  const { page, wrong, url } = await visit(t, { state });
  await page.goto(`${url}/#/accounts`);
  await settled(page);
  await page.getByRole("button", { name: "New account" }).click();
  await page.getByRole("dialog").getByLabel("Account", { exact: true }).fill("sato");
  await page.getByRole("dialog").getByRole("button", { name: "Create and show the link" }).click();
  await page.getByText("A second person has to approve this change.").waitFor();
  await page.getByRole("dialog").waitFor({ state: "detached" });
  await page.getByLabel("Accounts, keys and ends of contracts wait for a second person").check();
  await page.getByRole("link", { name: "Review and commit" }).click();
  await page.getByRole("button", { name: "Commit" }).click();
  await page.getByRole("region", { name: "Waiting for your confirmation" }).waitFor();
  assert.equal(state.sent.find((one) => one.path.endsWith("commit")).body.document.sign_in.four_eyes_accounts, true);
  await page.goto(`${url}/#/approvals`);
  await settled(page);
  await page.getByRole("button", { name: "Show what was made (once)" }).click();
  await page.getByRole("dialog").getByText("/#/welcome/a-link").waitFor();
  assert.deepEqual(await axe_findings(page), []);
  assert.deepEqual(wrong, []);
});

test("a commit made from an older revision is refused, and the draft stays", async (t) => {
  const { page, state, url } = await visit(t);
  await page.goto(`${url}/#/rules`);
  await settled(page);
  await page.getByRole("button", { name: "Move SSH は拒否する", exact: true }).press("ArrowUp");
  state.revision += 1;
  await page.getByRole("link", { name: "Review and commit" }).click();
  await page.getByRole("button", { name: "Commit" }).click();
  await page.getByText("Somebody else committed meanwhile.").waitFor();
  assert.ok(await page.getByRole("link", { name: "Review and commit" }).isVisible());
});

test("a user's password leaves the page as its NT hash; untouched, as it came", async (t) => {
  const { page, state, url } = await visit(t);
  await page.goto(`${url}/#/users`);
  await settled(page);
  await page.getByRole("button", { name: "Edit t.suzuki" }).click();
  await page.getByLabel("Password").fill("clientPass");
  await page.getByRole("button", { name: "Put into the draft" }).click();
  await page.getByRole("button", { name: "Edit k.sato" }).click();
  await page.getByLabel("Memo").fill("back");
  await page.getByRole("button", { name: "Put into the draft" }).click();
  await page.getByRole("link", { name: "Review and commit" }).click();
  await page.getByRole("button", { name: "Commit" }).click();
  await page.getByRole("region", { name: "Waiting for your confirmation" }).waitFor();
  const { users } = state.sent.find((one) => one.path.endsWith("commit")).body.document;
  assert.deepEqual(
    users.slice(0, 2).map((user) => user.nt_hash),
    ["44ebba8d5312b8d611474411f56989ae", "(set)"],
  );
  assert.ok(!JSON.stringify(state.sent).includes("clientPass"));
});

test("a gateway's doors, accept methods and name servers go into the draft; what was not touched stays as it came", async (t) => {
  const { page, wrong, state, url } = await visit(t);
  const before = structuredClone(state.document.gateways[0]);
  await page.goto(`${url}/#/gateways`);
  await settled(page);
  await page.getByRole("button", { name: "Edit 東京GW" }).click();
  const form = page.getByRole("dialog");
  assert.equal(await form.getByLabel("SSTP accepts, first asked first").count(), 0, "no SSTP yet");
  await form.getByLabel("SSTP (TCP 443)").check();
  await form.getByLabel("SSTP accepts, first asked first").fill("eap-mschapv2, pap, telepathy");
  await page.keyboard.press("Enter");
  await form.getByLabel("PPTP (weak)").check();
  await form.getByLabel("PPTP (weak)").uncheck();
  await form.getByLabel("L2TP over IPsec (IKEv1)").check();
  await form.getByLabel("Pre-shared key").fill("not a short key at all");
  await form.getByRole("button", { name: "Remove eap-tls", exact: true }).click();
  await form.getByLabel("Name servers").fill("10.20.0.54");
  await page.keyboard.press("Enter");
  await form.getByLabel("Cipher profile").selectOption("modern");
  assert.deepEqual(await axe_findings(page), []);
  await page.screenshot({ path: join(pictures, "gateway-form.png") });
  await form.getByRole("button", { name: "Put into the draft" }).click();
  await page.getByText("SSTP", { exact: true }).waitFor();
  await page.getByRole("link", { name: "Review and commit" }).click();
  await page.getByRole("button", { name: "Commit" }).click();
  await page.getByRole("region", { name: "Waiting for your confirmation" }).waitFor();
  const [gateway] = state.sent.find((one) => one.path.endsWith("commit")).body.document.gateways;
  delete before.crls; // an empty list is none
  assert.deepEqual(gateway, {
    ...before,
    profile: "modern",
    accept: ["eap-mschapv2"],
    dns: ["10.20.0.53", "10.20.0.54"],
    sstp: { accept: ["eap-mschapv2", "pap"] },
    l2tp: { keys: [{ name: "psk", psk: "not a short key at all" }] },
  });
  assert.deepEqual(wrong, []);
});

test("the legacy profile goes into the draft with who answers for it and its last day, and the page says both", async (t) => {
  const { page, wrong, state, url } = await visit(t);
  await page.goto(`${url}/#/gateways`);
  await settled(page);
  await page.getByRole("button", { name: "Edit 東京GW" }).click();
  const form = page.getByRole("dialog");
  await form.getByLabel("Cipher profile").selectOption("legacy");
  assert.equal(await form.getByLabel("Last day").count(), 0, "no exception yet");
  await form.getByLabel("The legacy profile, as an exception").check();
  await form.getByLabel("Who answers for it").fill("情シス 佐藤");
  await form.getByLabel("Last day").fill("2027-03-31");
  assert.deepEqual(await axe_findings(page), []);
  await form.getByRole("button", { name: "Put into the draft" }).click();
  await page.getByText("情シス 佐藤 answers for it until 2027-03-31").waitFor();
  await page.screenshot({ path: join(pictures, "gateway-legacy.png") });
  await page.getByRole("link", { name: "Review and commit" }).click();
  await page.getByRole("button", { name: "Commit" }).click();
  await page.getByRole("region", { name: "Waiting for your confirmation" }).waitFor();
  const [gateway] = state.sent.find((one) => one.path.endsWith("commit")).body.document.gateways;
  assert.equal(gateway.profile, "legacy");
  assert.deepEqual(gateway.legacy, { owner: "情シス 佐藤", valid_until: "2027-03-31" });
  assert.deepEqual(wrong, []);
});

test("keys of a gateway that were set stay when another is added, and its pre-shared keys keep their names", async (t) => {
  const state = world();
  const pem = "-----BEGIN PRIVATE KEY-----\nAA==\n-----END PRIVATE KEY-----\n";
  Object.assign(state.document.gateways[0], {
    keys: ["(set)"],
    l2tp: { keys: [{ name: "office", psk: "(set)", from: ["192.0.2.0/24"] }, { name: "other", psk: "(set)" }] },
  });
  const { page, url } = await visit(t, { state });
  await page.goto(`${url}/#/gateways`);
  await settled(page);
  await page.getByRole("button", { name: "Edit 東京GW" }).click();
  await page.getByLabel("Their keys (PEM)").fill(`(set)\n${pem}`);
  await page.getByLabel("Pre-shared key").fill("another key");
  await page.getByRole("button", { name: "Put into the draft" }).click();
  await page.getByRole("link", { name: "Review and commit" }).click();
  await page.getByRole("button", { name: "Commit" }).click();
  await page.getByRole("region", { name: "Waiting for your confirmation" }).waitFor();
  const [gateway] = state.sent.find((one) => one.path.endsWith("commit")).body.document.gateways;
  assert.deepEqual(gateway.keys, ["(set)", pem]);
  assert.deepEqual(gateway.l2tp.keys, [
    { name: "office", psk: "another key", from: ["192.0.2.0/24"] },
    { name: "other", psk: "(set)" },
  ]);
});

test("who may not change gateways sees them and no way to", async (t) => {
  const { page, url } = await visit(t, { role: "read" });
  await page.goto(`${url}/#/gateways`);
  await page.getByRole("heading", { name: "東京GW" }).waitFor();
  assert.equal(await page.getByRole("button", { name: /^(Edit|Remove) 東京GW|New gateway/ }).count(), 0);
});

test("what a user reaches: rules in order, what they hang on, and nobody of that name", async (t) => {
  const { page, wrong, url } = await visit(t);
  await page.goto(`${url}/#/reach`);
  await settled(page);
  await page.getByLabel("User", { exact: true }).fill("t.suzuki");
  await page.getByRole("button", { name: "Show" }).click();
  await page.getByRole("heading", { name: "Where t.suzuki comes in" }).waitFor();
  const rows = await page.locator("tbody tr").evaluateAll((all) => all.map((row) => row.innerText.replace(/\s+/g, " ").trim()));
  assert.deepEqual(rows, [
    "1 営業サーバ RA allow 公開Web HTTPS with a proven device 平日",
    "4 保守を除く RA reject not 社内網 any for some of the addresses",
    "– 既定拒否 (default deny) RA drop any lan any –",
  ]);
  assert.deepEqual(await axe_findings(page), []);
  await page.screenshot({ path: join(pictures, "reach-found.png"), fullPage: true });
  assert.deepEqual(wrong, []);
  await page.getByLabel("User", { exact: true }).fill("nobody");
  await page.getByRole("button", { name: "Show" }).click();
  await page.getByRole("alert").waitFor();
  assert.equal(await page.locator("tbody tr").count(), 0);
});

test("a login is tried: step by step, and the password does not stay on the page", async (t) => {
  const { page, wrong, url } = await visit(t);
  await page.goto(`${url}/#/trial`);
  await settled(page);
  const ask = async (password) => {
    await page.getByLabel("User", { exact: true }).fill("t.suzuki");
    await page.getByLabel("Password", { exact: true }).fill(password);
    await page.getByRole("button", { name: "Try", exact: true }).click();
    await page.getByRole("heading", { name: "What came of it" }).waitFor();
    assert.equal(await page.getByLabel("Password", { exact: true }).inputValue(), "");
    return page.locator(".steps li").evaluateAll((all) => all.map((one) => one.innerText.replace(/\s+/g, " ").trim()));
  };
  assert.deepEqual(await ask("right-password"), [
    "Gateway in order 東京GW",
    "Judged by the directory here",
    "Password right",
    "Groups in order 営業部",
    "Addresses in order sales-pool (営業部)",
    "Admission in order 営業部",
    "Rules some rule lets the user reach something",
  ]);
  await page.getByText("would come in", { exact: true }).waitFor();
  assert.deepEqual(await axe_findings(page), []);
  await page.screenshot({ path: join(pictures, "trial-tried.png"), fullPage: true });
  assert.deepEqual((await ask("guess")).at(-1), "Password wrong t.suzuki");
  await page.getByText("would not come in", { exact: true }).waitFor();
  assert.deepEqual(wrong, []);
});

test("a remote user helps himself: password, device, profile, session, and no other page", async (t) => {
  const { page, wrong, state, url } = await visit(t, { role: "self" });
  await page.goto(`${url}/#/`);
  await page.getByRole("heading", { name: "My remote access", level: 1 }).waitFor();
  assert.deepEqual(await page.locator("#pages li").allInnerTexts(), ["My remote access"]);
  await page.getByText("login failed").waitFor();
  await page.getByText("authentication: wrong password").waitFor();
  await page.getByLabel("New password").fill("a password of mine");
  const save = page.getByRole("button", { name: "Save", exact: true });
  assert.ok(await save.isDisabled(), "once is not enough");
  await page.getByLabel("The same again").fill("a password of mine");
  await save.click();
  await page.getByText("The password is changed.").waitFor();
  const sent = state.sent.find((one) => one.path === "T/self/password");
  assert.match(sent.body.nt_hash, /^[0-9a-f]{32}$/i);
  assert.ok(!JSON.stringify(state.sent).includes("a password of mine"));
  await page.getByRole("button", { name: "Register a device" }).click();
  await page.getByLabel("Name", { exact: true }).fill("phone");
  const ask = page.getByRole("button", { name: "Ask for approval" });
  assert.ok(await ask.isDisabled(), "by what would it be known?");
  await page.getByLabel("Alternative name").fill("phone.suzuki.example");
  await ask.click();
  await page.getByText("waits for approval").waitFor();
  await page.screenshot({ path: join(pictures, "own-access.png"), fullPage: true });
  const [file] = await Promise.all([page.waitForEvent("download"), page.getByRole("button", { name: "Download" }).click()]);
  assert.equal(file.suggestedFilename(), "t.suzuki.ps1");
  await page.getByRole("button", { name: /^Disconnect/ }).click();
  await page.getByText("Nobody is connected.").waitFor();
  assert.deepEqual(state.sent.find((one) => one.path === "T/self/disconnect").body, { vpn_sid: "0000000000abc005" });
  assert.deepEqual(wrong, []);
});

test("a file of users is looked at first, then goes into the draft", async (t) => {
  const { page, wrong, state, url } = await visit(t);
  const choose = (text) =>
    page.getByLabel("File (UTF-8 or Shift_JIS)").setInputFiles({ name: "users.csv", mimeType: "text/csv", buffer: Buffer.from(text) });
  await page.goto(`${url}/#/users`);
  await settled(page);
  const [file] = await Promise.all([page.waitForEvent("download"), page.getByRole("button", { name: "CSV export" }).click()]);
  assert.match(readFileSync(await file.path(), "utf8"), /^\ufeffname,groups,password,[^]*\r\nt\.suzuki,営業部,,/);
  await page.getByRole("button", { name: "CSV import" }).click();
  await choose("name,team\na,b\n");
  await page.getByText("There is no column “team” here.").waitFor();
  const put = page.getByRole("button", { name: "Put into the draft" });
  assert.ok(await put.isDisabled());
  assert.equal(state.sent.filter((one) => one.path.endsWith("check")).length, 0);
  await choose("name,groups,password\nm.ito,営業部; 情シス,clientPass\nt.suzuki,情シス,\n");
  await page.getByText("New: 1, changed: 1, as before: 0").waitFor();
  await page.getByText("Findings: 1").waitFor();
  assert.deepEqual(await axe_findings(page), []);
  await page.screenshot({ path: join(pictures, "csv-import.png") });
  assert.equal(state.sent.find((one) => one.path.endsWith("check")).body.document.users.length, 4);
  assert.equal(await page.getByRole("link", { name: "Review and commit" }).count(), 0, "not in the draft yet");
  await put.click();
  await page.getByRole("link", { name: "Review and commit" }).click();
  await page.getByRole("button", { name: "Commit" }).click();
  await page.getByRole("region", { name: "Waiting for your confirmation" }).waitFor();
  const { users } = state.sent.find((one) => one.path.endsWith("commit")).body.document;
  assert.deepEqual(users[0], { name: "t.suzuki", groups: ["情シス"], nt_hash: "(set)" });
  assert.deepEqual(users[3], { name: "m.ito", groups: ["営業部", "情シス"], nt_hash: "44ebba8d5312b8d611474411f56989ae" });
  assert.ok(!JSON.stringify(state.sent).includes("clientPass"));
  assert.deepEqual(wrong, []);
});

test("a file whose rows the gateway would refuse does not go into the draft", async (t) => {
  const state = Object.assign(world(), { refuse_check: true });
  const { page, url } = await visit(t, { state });
  await page.goto(`${url}/#/objects`);
  await settled(page);
  await page.getByRole("button", { name: "CSV import" }).click();
  await page.getByLabel("File (UTF-8 or Shift_JIS)").setInputFiles({ name: "a.csv", mimeType: "text/csv", buffer: Buffer.from("name,entries\nx,10.0.0.1/8\n") });
  await page.getByText("host bits are set").waitFor();
  assert.ok(await page.getByRole("button", { name: "Put into the draft" }).isDisabled());
});

test("log conditions reach the server, older pages follow, and a filter is kept", async (t) => {
  const { page, state, url } = await visit(t);
  await page.goto(`${url}/#/logs`);
  await settled(page);
  await page.getByLabel("Conditions").fill("203.0.113.0/24 action=drop");
  await page.keyboard.press("Enter");
  await page.getByRole("button", { name: "Older records" }).click();
  await page.getByRole("heading", { name: "Records (200)" }).waitFor();
  const asked = state.sent.filter((one) => one.path.endsWith("search"));
  assert.deepEqual(asked.at(-1).body.conditions, [
    { field: "address", test: "within", values: ["203.0.113.0/24"] },
    { field: "action", test: "equal", values: ["drop"] },
  ]);
  assert.equal(asked.at(-1).body.cursor, "100");
  assert.equal(asked.at(-1).body.from, asked.at(-2).body.from); // the same question
  await page.getByLabel("Keep this filter as …").fill("mine");
  await page.getByRole("button", { name: "Keep", exact: true }).click();
  await page.reload();
  await page.getByRole("button", { name: "mine", exact: true }).click();
  assert.equal(await page.getByLabel("Conditions").inputValue(), "203.0.113.0/24 action=drop");
});

test("a download that breaks goes on where it was, and its manifest comes with it", async (t) => {
  const { page, state, url } = await visit(t);
  await page.goto(`${url}/#/logs`);
  await settled(page);
  const files = [];
  page.on("download", (file) => files.push(file));
  await page.getByRole("button", { name: "Download logs" }).click();
  await page.getByRole("button", { name: "Download", exact: true }).click();
  await page.getByRole("dialog").waitFor({ state: "detached" });
  await page.getByText("comm-mfw00001234.csv, 12 B").waitFor();
  assert.deepEqual(files.map((file) => file.suggestedFilename()).sort(), [
    "comm-mfw00001234.csv",
    "comm-mfw00001234.csv.manifest.json",
  ]);
  const saved = files.find((file) => file.suggestedFilename().endsWith(".csv"));
  assert.equal(readFileSync(await saved.path(), "utf8"), "v,type\n1,co\n");
  assert.deepEqual(state.downloads, ["?types=comm&window=month&format=csv&gzip=true", "?token=tk&offset=7"]);
});

test("a role sees the pages it has, and a page of another role is none", async (t) => {
  const { page, url } = await visit(t, { role: "p-ops" });
  await page.goto(`${url}/#/rules`);
  await page.getByText("There is no such page, or your role does not have it.").waitFor();
  assert.equal(await page.getByRole("link", { name: "Firewall rules" }).count(), 0);
});

test("how much traffic there is is shown where the provider has switched it on", async (t) => {
  const { page, state, url } = await visit(t);
  const cards = page.locator("main h2");
  const card = (name) => page.getByRole("heading", { name, exact: true, level: 2 }).waitFor();
  await page.goto(`${url}/#/`);
  await card("Traffic");
  state.metrics = false;
  await page.reload();
  await card("Sessions");
  const left = await cards.allTextContents();
  assert.ok(left.includes("Sessions") && !left.includes("Traffic") && !left.includes("Packets"), left.join());
});

/** The session ends at the server; the page finds out. */
async function end_session(page, state) {
  state.in = false;
  const refused = { status: 401, contentType: "application/json", body: '{"code":"unauthenticated","message":"sign in"}' };
  await page.route("**/api/v1/tenants/**", (route) => route.fulfill(refused));
  await page.evaluate(() => {
    location.hash = "#/sessions";
  });
  await page.getByText("Your session has ended. Sign in again.").waitFor();
  await page.unroute("**/api/v1/tenants/**");
}
async function sign_in(page, state) {
  await page.getByLabel("Account").fill("yamada@mfw00001234");
  await page.getByLabel("Password").fill(state.password);
  await page.keyboard.press("Enter");
  await page.getByLabel("Six-digit code").fill(state.code);
  await page.keyboard.press("Enter");
  await page.getByRole("navigation").waitFor();
}

for (const [whose, account, kept] of [
  ["the same account's", "", 1],
  ["nobody else's", "other", 0],
]) {
  test(`a session that has ended leads back to the sign-in; a draft that was left is ${whose}`, async (t) => {
    const { page, state, url } = await visit(t);
    await page.goto(`${url}/#/rules`);
    await settled(page);
    await page.getByRole("button", { name: "Move SSH は拒否する", exact: true }).press("ArrowUp");
    await end_session(page, state);
    state.account = account;
    await sign_in(page, state);
    await page.goto(`${url}/#/rules`);
    await settled(page);
    assert.equal(await page.getByRole("link", { name: "Review and commit" }).count(), kept);
  });
}

test("signing out leaves nothing in the tab", async (t) => {
  const { page, url } = await visit(t);
  await page.goto(`${url}/#/rules`);
  await settled(page);
  await page.getByRole("button", { name: "Move SSH は拒否する", exact: true }).press("ArrowUp");
  await page.getByRole("button", { name: "Sign out" }).click();
  await page.getByText("You have signed out.").waitFor();
  assert.equal(await page.evaluate(() => sessionStorage.length), 0);
});

test("names are text: markup in them does nothing", async (t) => {
  const state = world();
  state.document.policies[0].rules[0].name = "<img src=x onerror=alert(1)>";
  const { page, wrong, url } = await visit(t, { state });
  await page.goto(`${url}/#/rules`);
  await page.getByText("<img src=x onerror=alert(1)>").first().waitFor();
  assert.equal(await page.locator("img").count(), 0);
  assert.deepEqual(wrong, []);
});
