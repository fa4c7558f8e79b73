// One Chromium for all attacks of a run: node chromium.mjs PATH-OF-CHROMIUM
//
// Each attempt has a browser context of its own, a stage, so that none sees the storage of another.
import { createRequire } from "node:module";
import { dirname, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { serve } from "./peer.mjs";
import * as scenes from "./scenes.mjs";

const web = resolve(dirname(fileURLToPath(import.meta.url)), "../../web");
const { chromium } = createRequire(`${web}/package.json`)("playwright-core");

const browser = await chromium.launch({
  executablePath: process.argv[2],
  // Containers have no user namespaces for its sandbox; the pages here are our own.
  args: ["--no-sandbox", "--disable-dev-shm-usage"],
});
const stages = new Map();
let numbers = 0;

async function open({ cookies = [] }) {
  const context = await browser.newContext();
  context.setDefaultTimeout(30_000);
  await context.addCookies(cookies);
  stages.set(++numbers, { context, pages: [] });
  return numbers;
}

async function close({ stage }) {
  await stages.get(stage).context.close();
  stages.delete(stage);
}

const played = Object.entries(scenes).map(([name, scene]) => [
  name,
  ({ stage, ...given }) => scene(stages.get(stage), given),
]);
await serve({ open, close, ...Object.fromEntries(played) });
await browser.close();
