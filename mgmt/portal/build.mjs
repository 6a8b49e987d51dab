// SPDX-License-Identifier: Apache-2.0
// Makes the portal's static files: node mgmt/portal/build.mjs MODULES OUT   (CMake's target `portal` calls it.)
// MODULES is the node_modules folder of package-lock.json, kept below build/ so that nothing is written among the sources.
import { readFile, writeFile, mkdir, copyFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { gzipSync, constants } from "node:zlib";

const here = dirname(fileURLToPath(import.meta.url));
const [modules, out] = process.argv.slice(2).map((path) => resolve(path));
const esbuild = createRequire(join(modules, "package.json"))("esbuild");

await mkdir(out, { recursive: true });
await esbuild.build({
  entryPoints: { app: join(here, "src/main.tsx") },
  outdir: out,
  bundle: true,
  minify: true,
  format: "iife",
  target: ["es2023"],
  jsx: "automatic",
  jsxImportSource: "preact",
  nodePaths: [modules],
  legalComments: "none",
  charset: "utf8",
  logLevel: "warning",
});
for (const name of ["index.html", "icon.svg"]) await copyFile(join(here, name), join(out, name));
let total = 0;
for (const name of ["index.html", "icon.svg", "app.js", "app.css"]) {
  const packed = gzipSync(await readFile(join(out, name)), { level: constants.Z_BEST_COMPRESSION });
  await writeFile(join(out, `${name}.gz`), packed);
  total += packed.length;
}
console.log(`portal: ${total} bytes compressed`);
