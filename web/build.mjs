// Builds dist/ (what applications and the agent's origin serve) or, with --tests, build/test/.
// --out=FOLDER puts it elsewhere.
// Prints the gzipped size of each bundle: the agent's is a figure that is reported.
import { build } from "esbuild";
import { cp, mkdir, readdir, readFile, rm } from "node:fs/promises";
import { gzipSync } from "node:zlib";

const tests = process.argv.includes("--tests");
const out = process.argv.find((word) => word.startsWith("--out="))?.slice("--out=".length) ?? (tests ? "build/test" : "dist");
const common = { bundle: true, format: "esm", target: "es2022", charset: "utf8", legalComments: "none" };

async function sources(folder, suffix) {
  const names = await readdir(folder, { recursive: true });
  return names.filter((name) => name.endsWith(suffix)).map((name) => `${folder}/${name}`);
}

if (tests) {
  await rm(out, { recursive: true, force: true });
  await build({
    ...common,
    entryPoints: await sources("test", ".test.ts"),
    outdir: out,
    outExtension: { ".js": ".mjs" },
    platform: "node",
    sourcemap: "inline",
  });
} else {
  await rm(out, { recursive: true, force: true });
  await mkdir(out, { recursive: true });
  const entries = {
    agent: "src/agent/window.ts",
    relay: "src/agent/relay.ts",
    client: "src/client/index.ts",
    "agent-core": "src/core/index.ts",
  };
  await build({ ...common, entryPoints: entries, outdir: out, minify: true });
  // The worker loads what few members need only then. Names are fixed: the agent's site serves a fixed
  // list of files, and two pieces that would get one name fail the build.
  const worker = { "agent-worker": "src/agent/worker.ts", "agent-more": "src/agent/more.ts" };
  const pieces = { splitting: true, chunkNames: "agent-shared" };
  await build({ ...common, ...pieces, entryPoints: worker, outdir: out, minify: true });
  await cp("static", out, { recursive: true });
  for (const name of [...Object.keys(entries), ...Object.keys(worker), "agent-shared"]) {
    const size = gzipSync(await readFile(`${out}/${name}.js`), { level: 9 }).length;
    console.log(`${name}.js: ${size} bytes gzipped`);
  }
}
