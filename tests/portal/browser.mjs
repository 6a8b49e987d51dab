// SPDX-License-Identifier: Apache-2.0
// What tests share: the built portal, Chromium, axe.
import { createRequire } from "node:module";
import { mkdirSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

export const tree = join(dirname(fileURLToPath(import.meta.url)), "../..");
export const portal = process.env.SEKISHO_PORTAL ?? join(tree, "build/release/portal");
export const pictures = join(tree, "build/portal/pictures");
const require = createRequire(join(tree, "build/portal/package.json"));
export const { chromium } = require("playwright-core");
export const esbuild = require("esbuild");
const axe_source = require("axe-core").source;
mkdirSync(pictures, { recursive: true });

export const launch = () =>
  chromium.launch({
    executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
    args: [
      "--no-sandbox",
      "--disable-gpu",
      "--disable-dev-shm-usage",
      "--no-proxy-server",
      "--disable-background-networking",
      "--font-render-hinting=none",
    ],
  });

/** Sentences, one a violation axe finds on the page as it stands. */
export async function axe_findings(page) {
  await page.evaluate(axe_source);
  const { violations } = await page.evaluate(() =>
    globalThis.axe.run(document, {
      runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"],
    }),
  );
  return violations.flatMap((one) =>
    one.nodes.map(
      (node) =>
        `${one.id}: ${one.help}: ${node.target.join(" ")} ${node.html.slice(0, 140)} ${(node.any[0] ?? {}).message ?? ""}`,
    ),
  );
}
