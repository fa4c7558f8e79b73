// Builds parts of web/ for an attack: as they are, or with exactly one defence taken away.
//
//   node build.mjs OUT '{"entries": {"name": "src/core/index.ts"}, "patches": [...], "static": bool}'
//
// A patch is {file, from, to}: in web/src/FILE the text FROM must stand exactly once and becomes TO.
// A patch that fits nowhere is an error: a build that was not weakened proves nothing.
import { cp, readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { dirname, relative, resolve } from "node:path";
import { fileURLToPath } from "node:url";

const web = resolve(dirname(fileURLToPath(import.meta.url)), "../../web");
const { build } = createRequire(`${web}/package.json`)("esbuild");
const [out, described] = process.argv.slice(2);
const { entries, patches = [], static: pages = false } = JSON.parse(described);

function weaken(text, file) {
  for (const { from, to } of patches.filter((patch) => patch.file === file)) {
    const found = text.split(from).length - 1;
    if (found !== 1) throw new Error(`${file} has ${found} times: ${from}`);
    text = text.replace(from, () => to);
    applied.add(from);
  }
  return text;
}

const applied = new Set();
const weakening = {
  name: "weakening",
  setup({ onLoad }) {
    onLoad({ filter: /\.ts$/ }, async ({ path }) => ({
      contents: weaken(await readFile(path, "utf8"), relative(`${web}/src`, path)),
      loader: "ts",
    }));
  },
};

const common = {
  absWorkingDir: web,
  bundle: true,
  format: "esm",
  target: "es2022",
  charset: "utf8",
  legalComments: "none",
  outdir: out,
  plugins: [weakening],
  logLevel: "error",
};
// The worker comes in pieces, as in web/build.mjs.
const inPieces = ([name]) => ["agent-worker", "agent-more"].includes(name);
const all = Object.entries(entries);
const whole = Object.fromEntries(all.filter((entry) => !inPieces(entry)));
const pieces = Object.fromEntries(all.filter(inPieces));
if (Object.keys(whole).length > 0) await build({ ...common, entryPoints: whole });
if (Object.keys(pieces).length > 0) {
  await build({ ...common, entryPoints: pieces, splitting: true, chunkNames: "agent-shared" });
}
for (const { file, from } of patches) {
  if (!applied.has(from)) throw new Error(`no source is called ${file}, or nothing imports it`);
}
if (pages) await cp(`${web}/static`, out, { recursive: true });
