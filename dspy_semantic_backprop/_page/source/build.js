// Packs the page's sources into the two files that the package ships, with the licences of what they contain.
// `node build.js` writes them; `node build.js FOLDER` writes them elsewhere, to compare.
import { build } from "esbuild";
import { readFileSync, readdirSync, writeFileSync } from "node:fs";
import { createHash } from "node:crypto";
import { join } from "node:path";

const here = import.meta.dirname;
const target = process.argv[2] ?? join(here, "..");
const pieces = ["@dagrejs/dagre", "@dagrejs/graphlib", "diff", "htm", "preact", "uplot"];

await build({
  absWorkingDir: here,
  entryPoints: { report: "src/main.js" },
  bundle: true,
  minify: true,
  format: "iife",
  target: "es2023",
  charset: "ascii",
  legalComments: "none",
  outdir: target,
});

const licences = pieces.map((name) => {
  const folder = join(here, "node_modules", name);
  const { version, license } = JSON.parse(readFileSync(join(folder, "package.json"), "utf8"));
  const text = readFileSync(join(folder, "LICENSE"), "utf8").trim();
  return `${name} ${version} (${license})\n\n${text}\n`;
});
writeFileSync(join(target, "report.LICENSES.txt"), licences.join(`\n${"-".repeat(80)}\n\n`));

const sources = ["package-lock.json", "build.js", ...readdirSync(join(here, "src")).sort().map((name) => `src/${name}`)];
const digest = createHash("sha256");
for (const name of sources) digest.update(`${name}\n`).update(readFileSync(join(here, name)));
writeFileSync(join(target, "report.sources"), `${digest.digest("hex")}\n`);
