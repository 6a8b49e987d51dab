// SPDX-License-Identifier: Apache-2.0
// Two days at the gateway itself: node tests/portal/days.mjs tenant|operator. tests/e2e/portal_test.py starts it in the lab and says by
// SEKISHO_DAY what there is: {"url", "links": {name: link}, "hosts": {name: namespace}}. A line of JSON for each thing that happened.
import { execFileSync } from "node:child_process";
import { createHmac } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { axe_findings, launch, pictures } from "./browser.mjs";

const lab = JSON.parse(process.env.SEKISHO_DAY);
const browser = await launch();
const wrong = [];
const PASSWORD = "correct horse battery 7";

function assert(truth, why) {
  if (!truth) throw new Error(why);
}

let things = 0;
let over = false; // a day that cannot begin is over

/** One thing a person does, and what must be seen then. The day goes on after a failure. */
async function does(what, act) {
  const begin = Date.now();
  things += 1;
  let error = "";
  try {
    if (over) return;
    await act();
  } catch (failure) {
    error = failure.message;
    const pages = browser.contexts().flatMap((context) => context.pages());
    for (const [at, page] of pages.entries()) await page.screenshot({ path: join(pictures, `failed-${things}-${at}.png`) });
  }
  if (error && what.startsWith("a first-login link")) over = true;
  console.log(JSON.stringify({ what, error, milliseconds: Date.now() - begin }));
}

/** RFC 6238, `ahead` steps from now: the gateway takes no code twice, and one step of drift. */
function code(secret, ahead = 0) {
  const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
  const bits = [...secret.replace(/[\s=]/g, "")].map((letter) => alphabet.indexOf(letter).toString(2).padStart(5, "0")).join("");
  const key = Buffer.from(bits.match(/.{8}/g).map((byte) => parseInt(byte, 2)));
  const counter = Buffer.alloc(8);
  counter.writeBigUInt64BE(BigInt(Math.floor(Date.now() / 30_000) + ahead));
  const mac = createHmac("sha1", key).update(counter).digest();
  return String((mac.readUInt32BE(mac[19] & 15) & 0x7fffffff) % 1e6).padStart(6, "0");
}

/** A browser of somebody's own. */
async function person(language = "en") {
  const context = await browser.newContext({
    ignoreHTTPSErrors: true,
    viewport: { width: 1360, height: 900 },
    acceptDownloads: true,
  });
  await context.addInitScript((kept) => localStorage.setItem("language", kept), language);
  const page = await context.newPage();
  page.setDefaultTimeout(15_000);
  page.on("pageerror", (error) => wrong.push(error.message));
  page.on("console", (message) => {
    if (/Content Security Policy/.test(message.text())) wrong.push(message.text());
  });
  page.on("request", (request) => {
    if (!request.url().startsWith(lab.url) && !/^(blob|data):/.test(request.url())) wrong.push(`asked ${request.url()}`);
  });
  return page;
}

/** Uses the one-time link of `name`; gives the secret of the second factor. */
async function welcome(page, link) {
  await page.goto(link);
  await page.getByRole("button", { name: "Begin" }).click();
  await page.getByLabel("New password").fill(PASSWORD);
  await page.getByLabel("The same again").fill(PASSWORD);
  await page.getByRole("button", { name: "Continue" }).click();
  const secret = await page.getByLabel("Key for the authenticator app").textContent();
  await page.getByLabel("Six-digit code").fill(code(secret));
  await page.getByRole("button", { name: "Confirm" }).click();
  await page.getByRole("navigation").waitFor();
  return secret;
}

async function open(page, path, heading) {
  await page.goto(`${lab.url}/#/${path}`);
  await page.getByRole("heading", { level: 1, name: heading }).waitFor();
  await page.waitForFunction(() => !document.querySelector("[role=status].empty"));
}
const picture = (page, name) => page.screenshot({ path: join(pictures, `day-${name}.png`), fullPage: true });
async function usable(page) {
  const findings = await axe_findings(page);
  assert(!findings.length, findings.join("\n"));
}
const inside = (host, ...command) =>
  execFileSync("ip", ["netns", "exec", lab.hosts[host], ...command], { encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] });
/** Whether a host gets the page of an address. */
function fetched(host, url, ...options) {
  try {
    return inside(host, "curl", "-s", "-m", "2", ...options, url).length > 0;
  } catch {
    return false;
  }
}
async function until(event, what, seconds = 15) {
  for (const end = Date.now() + seconds * 1000; Date.now() < end; await new Promise((done) => setTimeout(done, 200))) {
    if (await event()) return;
  }
  throw new Error(`did not happen: ${what}`);
}
const WEB = "http://10.0.0.2/";
const RULE = "昼休みは Web を止める";

async function add_rule(page) {
  await open(page, "rules", "Firewall rules");
  await page.getByRole("button", { name: "New rule" }).first().click();
  await page.getByLabel("Name", { exact: true }).fill(RULE);
  await page.getByLabel("Action", { exact: true }).selectOption("reject");
  await page.getByLabel("Service", { exact: true }).fill("http");
  await page.keyboard.press("Enter");
  await page.getByLabel("Log", { exact: true }).selectOption("each");
  await page.getByRole("button", { name: "Put into the draft" }).click();
  await page.getByRole("button", { name: `Move ${RULE}`, exact: true }).press("Home");
}

async function commit(page, seconds, comment) {
  await page.getByRole("link", { name: "Review and commit" }).click();
  await page.getByRole("heading", { name: /Changes \(\d+\)/ }).waitFor();
  await page.getByLabel("Comment").fill(comment);
  await page.getByLabel("Take it back unless confirmed").selectOption(String(seconds));
  await page.getByRole("button", { name: "Commit" }).click();
}
const waits = (page) => page.getByRole("region", { name: "Waiting for your confirmation" });

async function tenants_day() {
  const page = await person();
  let secret = "";
  await does("a first-login link leads to a password, a second factor and the overview", async () => {
    secret = await welcome(page, lab.links["owner@acm00000001"]);
    await page.getByRole("heading", { level: 1, name: "acme" }).waitFor();
  });
  await does("figures move while hosts talk", async () => {
    const figure = () => page.locator(".figure b").nth(2).textContent();
    await until(async () => parseFloat(await figure()) > 0, "connections a second above zero", 30);
    const before = await page.locator(".figures").textContent();
    await until(async () => (await page.locator(".figures").textContent()) !== before, "a figure that changes", 30);
    await picture(page, "overview");
    await usable(page);
  });
  await does("rules stand in order with their hits, which rise", async () => {
    await open(page, "rules", "Firewall rules");
    const hits = async () =>
      Number(
        (
          await page
            .getByRole("row", { name: /web for the office/ })
            .locator("td.num")
            .last()
            .textContent()
        ).replace(/\D/g, ""),
      );
    await until(async () => (await hits()) > 0, "a hit of the rule that lets the office in");
    await picture(page, "rules");
    await usable(page);
  });
  await does("a renamed object stays in the rules that name it", async () => {
    await open(page, "objects", "Objects");
    await page.getByRole("button", { name: "Edit office-net" }).click();
    await page.getByLabel("Name", { exact: true }).fill("社内網");
    await page.getByRole("button", { name: "Put into the draft" }).click();
    await commit(page, 0, "names people know");
    await page.getByText(/is in force \(/).waitFor();
    await page.getByText("社内網").first().waitFor();
    assert(fetched("acme-pc", WEB), "the page passes as before");
  });
  await does("a new rule is moved to the top by keys, and bites when it is committed", async () => {
    assert(fetched("acme-pc", WEB), "the page should pass before");
    await add_rule(page);
    await commit(page, 30, "変更依頼#204");
    await waits(page).waitFor();
    await picture(page, "waiting");
    await usable(page);
    await until(() => !fetched("acme-pc", WEB), "the page is refused");
    assert(fetched("globex-pc", WEB), "another tenant with the same addresses is untouched");
  });
  await does("unconfirmed, it is taken back by itself", async () => {
    await page.getByText(/was taken back/).waitFor({ timeout: 60_000 });
    await until(() => fetched("acme-pc", WEB), "the page passes again");
    await open(page, "rules", "Firewall rules");
    assert((await page.getByRole("rowheader", { name: RULE }).count()) === 0, "the rule is gone from the page");
  });
  await does("confirmed, it stays", async () => {
    await add_rule(page);
    await commit(page, 120, "変更依頼#205");
    await page.getByRole("button", { name: "Keep it" }).click();
    await waits(page).waitFor({ state: "detached" });
    assert(!fetched("acme-pc", WEB), "the page is refused");
  });
  await does("the data path explains the refusal by the rule's name", async () => {
    await open(page, "explain", "Explain a packet");
    await page.getByLabel("Comes in at").selectOption("pc");
    await page.getByLabel("Source", { exact: true }).fill("10.0.0.34");
    await page.getByLabel("Destination", { exact: true }).fill("10.0.0.2");
    await page.getByLabel("Destination port").fill("80");
    await page.getByRole("button", { name: "What would happen?" }).click();
    await page.getByText(RULE).first().waitFor();
    await picture(page, "explain");
    await usable(page);
  });
  await does("the communication log says who was refused, by which rule", async () => {
    await open(page, "logs", "Logs");
    await page.getByLabel("Conditions").fill(`10.0.0.34 rule_name="${RULE}"`);
    await until(
      async () => {
        await page.getByRole("button", { name: "Search" }).click();
        await page.waitForFunction(() => !document.querySelector("button[type=submit]:disabled"));
        return (await page.getByRole("cell", { name: RULE }).count()) > 0;
      },
      "a record of the refusal",
      30,
    );
    await picture(page, "logs");
    await usable(page);
  });
  await does("a downloaded log holds the record", async () => {
    await page.getByRole("button", { name: "Download logs" }).click();
    await page.getByLabel("Compressed (gzip)").uncheck();
    const file = page.waitForEvent("download");
    await page.getByRole("button", { name: "Download", exact: true }).click();
    const text = readFileSync(await (await file).path(), "utf8");
    assert(text.includes(RULE) && text.split("\n").length > 2, text.slice(0, 200));
    assert(!text.includes("globex"), "nothing of another tenant");
  });
  await does("an earlier revision comes back, and with it the page", async () => {
    await open(page, "revisions", "Revisions and backup");
    await page
      .getByRole("button", { name: /^Return to it/ })
      .last()
      .click();
    await page.getByRole("dialog").getByRole("button", { name: "Return to it" }).click();
    await page.getByRole("button", { name: "Keep it" }).click();
    await until(() => fetched("acme-pc", WEB), "the page passes again");
    await picture(page, "revisions");
    await usable(page);
  });
  await does("a forged address is refused and counted at its binding", async () => {
    inside("acme-pc", "ip", "addr", "add", "10.0.0.35/32", "dev", "eth0");
    assert(!fetched("acme-pc", WEB, "--interface", "10.0.0.35"), "the forged source must not pass");
    inside("acme-pc", "ip", "addr", "del", "10.0.0.35/32", "dev", "eth0");
    await open(page, "bindings", "Address enforcement");
    await until(async () => {
      await page.reload();
      const row = page.getByRole("row", { name: /pc-eth0/ });
      await row.waitFor();
      return Number((await row.locator("td.num").textContent()).replace(/\D/g, "")) > 0;
    }, "a violation of pc-eth0");
    await picture(page, "bindings");
    await usable(page);
  });
  await does("a colleague is invited and sees what a reader may", async () => {
    await open(page, "accounts", "Operations managers");
    await page.getByRole("button", { name: "New account" }).click();
    await page.getByLabel("Account", { exact: true }).fill("sato");
    await page.getByLabel("Role", { exact: true }).selectOption("read");
    await page.getByRole("button", { name: "Create and show the link" }).click();
    const link = await page.locator("dialog .secret").textContent();
    await usable(page);
    const colleague = await person();
    await welcome(colleague, link);
    await open(colleague, "rules", "Firewall rules");
    assert((await colleague.getByRole("button", { name: "New rule" }).count()) === 0, "no rule to add");
    assert((await colleague.getByRole("link", { name: "Logs", exact: true }).count()) === 0, "no logs");
    await colleague.context().close();
    await page.getByRole("dialog").getByRole("button", { name: "Close" }).last().click();
    await picture(page, "accounts");
  });
  await does("what was done stands in the operation log", async () => {
    await open(page, "audit", "Operation log");
    await page.getByText("owner@acm00000001").first().waitFor();
    await picture(page, "audit");
    await usable(page);
  });
  await does("signed out, the way back is password and code; in Japanese as well", async () => {
    await page.getByRole("button", { name: "Sign out" }).click();
    await page.getByText("You have signed out.").waitFor();
    await page.getByRole("button", { name: "日本語" }).click();
    await page.getByLabel("アカウント").fill("owner@acm00000001");
    await page.getByLabel("パスワード").fill(PASSWORD);
    await page.keyboard.press("Enter");
    await page.getByLabel("6桁の確認コード").fill(code(secret, 1));
    await page.keyboard.press("Enter");
    await page.getByRole("heading", { level: 1, name: "操作ログ" }).waitFor(); // where he was
    await page.getByRole("link", { name: "ホーム" }).click();
    await page.getByRole("heading", { level: 1, name: "acme" }).waitFor();
    await picture(page, "overview-ja");
  });
}

async function operators_day() {
  const [ops, support, security, owner] = [await person(), await person(), await person(), await person()];
  await does("the operator sees the unit forwarding, and tenants by their use alone", async () => {
    await welcome(ops, lab.links["opal"]);
    await open(ops, "platform", "The unit");
    await ops.getByRole("rowheader", { name: "acm00000001" }).waitFor();
    assert((await ops.getByText("web for the office").count()) === 0, "no rule of a tenant");
    await picture(ops, "platform");
    await usable(ops);
  });
  await does("the unit's document is changed and confirmed; tenants' rules stay", async () => {
    await open(ops, "unit-settings", "Unit settings");
    const field = ops.getByLabel("Document (JSON)");
    const document = JSON.parse(await field.inputValue());
    assert(
      document.tenants.every((tenant) => !tenant.policies),
      "no rules of tenants",
    );
    document.tenants[0].sessions_max = 15000;
    await field.fill(JSON.stringify(document, null, 2));
    await ops.getByRole("button", { name: "Check" }).click();
    await ops.getByRole("heading", { name: "Changes (1)" }).waitFor();
    await usable(ops);
    await ops.getByLabel("Comment").fill("smaller contract");
    await ops.getByRole("button", { name: "Commit" }).click();
    await ops.getByRole("button", { name: "Keep it" }).click();
    await waits(ops).waitFor({ state: "detached" });
    await picture(ops, "unit-settings");
    assert(fetched("acme-pc", WEB), "acme's page passes as before");
  });
  await does("maintenance that is announced stands on the tenant's overview", async () => {
    await welcome(owner, lab.links["second@acm00000001"]);
    await open(ops, "platform-notices", "Notices");
    await ops.getByRole("button", { name: "New notice" }).click();
    await ops.getByLabel("From (JST)").fill("2030-01-10T01:00");
    await ops.getByLabel("Until (JST)").fill("2030-01-10T05:00");
    await ops.getByLabel("Title, English").fill("Firmware 0.2");
    await ops.getByLabel("Title, Japanese").fill("ファームウェア 0.2 への更新");
    await usable(ops);
    await ops.getByRole("button", { name: "Publish" }).click();
    await ops.getByRole("heading", { name: "Firmware 0.2" }).waitFor();
    await picture(ops, "notices");
    await open(owner, "", "acme");
    await owner.reload();
    await owner.getByText("Maintenance: Firmware 0.2").waitFor();
  });
  await does("support sees nothing of a tenant that has not agreed", async () => {
    await welcome(support, lab.links["helen"]);
    assert((await support.getByRole("link", { name: "Firewall rules" }).count()) === 0, "no rules without consent");
  });
  await does("with the tenant's consent support looks, and may not change", async () => {
    await open(owner, "consents", "Provider access");
    await owner.getByLabel("Ticket").fill("INC-2041");
    await owner.getByLabel("Reason").fill("a page does not open");
    await owner.getByRole("button", { name: "Agree" }).click();
    await owner.getByRole("cell", { name: "open", exact: true }).waitFor();
    await usable(owner);
    await support.reload();
    await support.getByLabel("Tenant", { exact: true }).selectOption("acm00000001");
    await open(support, "rules", "Firewall rules");
    await support.getByText("web for the office").waitFor();
    assert((await support.getByRole("button", { name: "New rule" }).count()) === 0, "support may not change");
    await picture(support, "support");
  });
  await does("each visit stands in the tenant's operation log; ended, support is out", async () => {
    await open(owner, "audit", "Operation log");
    await owner.getByRole("row", { name: /helen/ }).first().waitFor();
    await open(owner, "consents", "Provider access");
    await owner.getByRole("button", { name: "End now" }).click();
    await owner.getByText("The provider has no access now.").waitFor();
    await picture(owner, "consents");
    await support.goto(`${lab.url}/#/objects`);
    await support.reload();
    await support.getByRole("navigation").waitFor();
    assert((await support.getByText("office-net").count()) === 0, "no object of the tenant");
  });
  await does("security staff invite a colleague by a link of one use", async () => {
    await welcome(security, lab.links["sera"]);
    await open(security, "staff", "Provider accounts");
    await security.getByRole("button", { name: "New account" }).click();
    await security.getByLabel("Account", { exact: true }).fill("audrey");
    await security.getByLabel("Role", { exact: true }).selectOption("p-audit");
    await security.getByRole("button", { name: "Create and show the link" }).click();
    const link = await security.locator("dialog .secret").textContent();
    await picture(security, "staff");
    const auditor = await person();
    await welcome(auditor, link);
    await open(auditor, "platform-audit", "Operation log");
    await auditor.getByText("sera").first().waitFor();
    await usable(auditor);
    const second = await person();
    await second.goto(link);
    await second.getByRole("button", { name: "Begin" }).click();
    await second.getByRole("alert").waitFor();
  });
}

await (process.argv[2] === "operator" ? operators_day() : tenants_day());
await does("nothing was refused by the content policy, no script failed, no foreign host was asked", () =>
  assert(!wrong.length, wrong.join("\n")),
);
await browser.close();
