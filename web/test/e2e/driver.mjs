// Plays scenarios in one Chromium: a line of JSON in ({scenario, world}), a line out ({found} or
// {failed}). Each scenario has a profile of its own, and fails if a page complained on its console.
import { createInterface } from "node:readline";
import { chromium } from "playwright-core";
import { Stage } from "./stage.mjs";
import * as apart from "./apart.mjs";
import * as client from "./client.mjs";
import * as decisions from "./decisions.mjs";
import * as pictures from "./pictures.mjs";
import * as ways from "./ways.mjs";
import * as windows from "./windows.mjs";

const scenarios = { ...apart, ...client, ...decisions, ...pictures, ...ways, ...windows };
const TIMEOUT = 40_000;
const WHOLE = 180_000;

// A scenario that failed leaves calls under way in pages that are gone.
process.on("unhandledRejection", () => undefined);

const browser = await chromium.launch({
  executablePath: process.argv[2],
  args: [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
  ],
});

for await (const line of createInterface({ input: process.stdin })) {
  const { scenario, world } = JSON.parse(line);
  console.log(JSON.stringify(await play(scenario, world)));
}
await browser.close();

async function play(name, world) {
  const context = await browser.newContext({ viewport: { width: 520, height: 760 }, acceptDownloads: true });
  context.setDefaultTimeout(TIMEOUT);
  const stage = new Stage(context, world);
  try {
    const found = await Promise.race([scenarios[name](stage), late()]);
    if (stage.complaints.length > 0) throw new Error(`on the console: ${stage.complaints.join("\n")}`);
    return { found: found ?? null };
  } catch (error) {
    return { failed: error.stack ?? String(error) };
  } finally {
    await context.close();
  }
}

/** A script in a page can wait for ever. */
function late() {
  return new Promise((_, reject) => {
    setTimeout(() => reject(new Error(`not done after ${WHOLE} ms`)), WHOLE).unref();
  });
}
