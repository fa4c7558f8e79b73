// One Chromium for all attacks of a run: node chromium.mjs PATH-OF-CHROMIUM
//
// A call names a scene of scenes.mjs. Each runs in a browser context of its own, so that no attack
// sees the storage of another.
import { createRequire } from "node:module";
import { dirname, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { serve } from "./peer.mjs";
import * as scenes from "./scenes.mjs";

const web = resolve(dirname(fileURLToPath(import.meta.url)), "../../web");
const { chromium } = createRequire(`${web}/package.json`)("playwright-core");

const browser = await chromium.launch({
  executablePath: process.argv[2],
  // Containers have no user namespaces for its sandbox; pages here are our own.
  args: ["--no-sandbox", "--disable-dev-shm-usage"],
});

const alone = (scene) => async (args) => {
  const context = await browser.newContext();
  try {
    return await scene(context, args);
  } finally {
    await context.close();
  }
};

await serve(Object.fromEntries(Object.entries(scenes).map(([name, scene]) => [name, alone(scene)])));
await browser.close();
