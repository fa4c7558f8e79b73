// The clinic in a real Chromium, from signing in to a locked agent: node --test web/test/e2e/clinic.mjs
//
// CLINIC names a JSON file: {origin, home, people, forged, chromium, patience, pictures}. `people` maps user
// names to {password, passphrase}; `forged` is the case whose row another patient's was put into;
// with `pictures`, a folder, the screenshots of the docs are taken on the way. tests/clinic runs it.
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { after, before, test } from "node:test";
import { chromium } from "playwright-core";

const given = JSON.parse(await readFile(process.env.CLINIC, "utf8"));
const OPEN = '[data-field="diagnosis"][data-state="open"]';
const SIZE = { width: 1180, height: 720 };

let browser;
before(async () => {
  browser = await chromium.launch({
    executablePath: given.chromium,
    args: [
      ...["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"],
      ...["--disable-background-networking", "--disable-component-update", "--disable-sync"],
      // Containers give little shared memory.
      "--disable-dev-shm-usage",
    ],
  });
});
after(() => browser?.close());

// --- what a person does ---------------------------------------------------------------------------

/** Run a scene as somebody: a browser in which nothing was stored yet, signed in at the list. */
async function as(name, scene, options = {}) {
  const context = await browser.newContext({ viewport: SIZE, ...options });
  context.setDefaultTimeout(given.patience);
  const said = [];
  context.on("page", (page) => listen(page, said));
  try {
    const page = await context.newPage();
    await signIn(page, name);
    await scene(page, { name, context });
  } finally {
    await context.close();
  }
  // A policy that blocks something, or a script that throws, is a finding in every scene.
  assert.deepEqual(said, []);
}

function listen(page, said) {
  page.on("pageerror", (error) => said.push(`${page.url()}: ${error}`));
  page.on("console", (message) => {
    // Chromium notes every answer of 4xx; a 428 is how the flow begins.
    const noted = message.text().startsWith("Failed to load resource");
    if (message.type() === "error" && !noted) said.push(`${page.url()}: ${message.text()}`);
  });
}

async function signIn(page, name) {
  await page.goto(`${given.origin}/patients`);
  await page.getByLabel("User name").fill(name);
  await page.getByLabel("Password").fill(given.people[name].password);
  await page.getByRole("button", { name: "Sign in", exact: true }).click();
  await page.getByRole("heading", { name: "Patients" }).waitFor();
}

/** Open the agent's window from the banner, choose both files, unlock. */
async function openAgent(page, name) {
  await banner(page, "missing");
  const opening = page.context().waitForEvent("page");
  await page.getByRole("button", { name: "Open your agent" }).click();
  const agent = await opening;
  const files = ["member", "key"].map((kind) => `${given.home}/${name}.${kind}`);
  // The form is shown once the window's script listens.
  await agent.locator("#files").waitFor();
  await agent.locator("#chosen").setInputFiles(files);
  await agent.getByText(`member file of ${name}`).waitFor();
  await unlock(agent, name);
  return agent;
}

async function unlock(agent, name) {
  await agent.getByLabel("Passphrase").fill(given.people[name].passphrase);
  await picture(agent, "unlock");
  await agent.getByRole("button", { name: "Unlock" }).click();
  await agent.locator("#open").waitFor();
}

/** Decide in the agent's window, which counts a press only while it is in front. */
async function decide(agent, name) {
  await agent.bringToFront();
  await agent.getByRole("button", { name }).click();
}

// --- what a person sees ---------------------------------------------------------------------------

async function banner(page, state) {
  await page.locator(`[data-agent="${state}"]`).waitFor();
}

/** The state of every row's field; "sealed" where nothing was opened. */
async function states(page, field = "diagnosis") {
  const cells = page.locator(`tr[data-patient] [data-field="${field}"]`);
  return cells.evaluateAll((all) => all.map((cell) => cell.dataset.state ?? "sealed"));
}

function count(all, state) {
  return all.filter((one) => one === state).length;
}

async function filled(page) {
  await page.locator(OPEN).first().waitFor();
  await banner(page, "ready");
}

const taken = new Set();
async function picture(page, name) {
  if (!given.pictures || taken.has(name)) return;
  taken.add(name);
  await page.screenshot({ path: `${given.pictures}/clinic-${name}.png` });
}

// --- scenes -----------------------------------------------------------------------------------------

test("the list is sealed without an agent, and fills in once weber's is unlocked", () =>
  as("weber", async (page) => {
    await banner(page, "missing");
    await picture(page, "sealed");
    assert.deepEqual([...new Set(await states(page))], ["sealed"]);

    const agent = await openAgent(page, "weber");
    await filled(page);
    const shown = await states(page);
    assert.equal(count(shown, "open"), shown.length - 1);
    await picture(page, "list");
  }));

test("a record that somebody put another patient's row into is not authentic, and says so", () =>
  as("weber", async (page) => {
    await openAgent(page, "weber");
    await filled(page);
    const row = page.locator(`tr[data-patient="${given.forged}"]`);
    assert.match(await row.innerText(), /not authentic.*changed, moved, or not written/s);
    assert.equal(count(await states(page), "not-authentic"), 1);

    await row.getByRole("link").click();
    await page.locator("[data-record-problem]:visible").waitFor();
    assert.equal(await page.locator('[data-state="open"]').count(), 0);
    assert.ok(await page.getByRole("button", { name: "Discharge" }).isDisabled());
  }));

test("weber edits one field by keyboard alone, and only that one is sealed anew", () =>
  as("weber", async (page) => {
    await openAgent(page, "weber");
    await filled(page);
    await page.locator(`tr:has(${OPEN})`).first().getByRole("link").press("Enter");
    const note = page.locator('section[data-field="note"]');
    await note.locator('[data-value][data-state="open"]').waitFor();
    const before = await note.locator("[data-value]").innerText();

    await note.getByRole("button", { name: "Edit note" }).press("Enter");
    await page.keyboard.type("Not kept. ");
    await page.keyboard.press("Escape");
    assert.equal(await note.locator("[data-value]").innerText(), before);

    await page.keyboard.press("Enter");
    await page.keyboard.press("ControlOrMeta+a");
    await page.keyboard.type("Slept well; the drain comes out tomorrow.");
    await page.keyboard.press("Tab");
    await page.keyboard.press("Enter");
    await note.getByText("Saved. Sealed anew: note;").waitFor();
    await page.reload();
    await note.getByText("Slept well; the drain comes out tomorrow.").waitFor();
  }));

test("a discharge asks the agent on its own, and its letter is sealed too", () =>
  as("weber", async (page) => {
    await openAgent(page, "weber");
    await filled(page);
    await page.locator(`tr:has(${OPEN})`).last().getByRole("link").click();
    await page.locator('[data-field="diagnosis"] [data-state="open"]').waitFor();
    const diagnosis = await page.locator('[data-field="diagnosis"] [data-value]').innerText();
    await page.getByRole("button", { name: "Discharge" }).click();
    const letter = page.locator('[data-field="letter"] [data-state="open"]');
    await letter.waitFor();
    assert.ok((await letter.innerText()).includes(diagnosis));
    await page.goto(`${given.origin}/audit`);
    assert.ok((await page.getByRole("cell", { name: "weber" }).count()) > 0);
  }));

test("kim of surgery reads surgery, and no diagnosis of cardiology", () =>
  as("kim", async (page) => {
    await openAgent(page, "kim");
    await filled(page);
    await page.getByRole("link", { name: "cardiology" }).click();
    await page.locator('[data-state="no-lock"]').first().waitFor();
    assert.deepEqual([...new Set(await states(page))], ["no-lock"]);

    await page.getByRole("link", { name: "all wards" }).click();
    await filled(page);
    const shown = await states(page);
    assert.ok(count(shown, "open") > 0);
    assert.ok(count(shown, "no-lock") > 0);
    const readable = await page.locator(`tr:has(.ward-cardiology):has(${OPEN})`).count();
    assert.equal(readable, 0);
  }));

test("the emergency physician's agent asks for a click, and a refusal is told", () =>
  as("adler", async (page) => {
    const agent = await openAgent(page, "adler");
    await banner(page, "waiting");
    await agent.locator("#decision").waitFor();
    await picture(agent, "decision");
    assert.equal(count(await states(page), "open"), 0);
    await decide(agent, "Refuse");
    await banner(page, "refused");
    assert.deepEqual([...new Set(await states(page))], ["sealed"]);

    await page.getByRole("button", { name: "Try again" }).click();
    await banner(page, "waiting");
    await decide(agent, "Release");
    await filled(page);
    const wards = page.locator(`tr:has(.ward-surgery):has(${OPEN})`);
    assert.ok((await wards.count()) > 0);
  }));

test("locking the agent hides what was shown, and unlocking it fills the list again", () =>
  as("weber", async (page) => {
    const agent = await openAgent(page, "weber");
    await filled(page);
    await agent.getByRole("button", { name: "Lock", exact: true }).click();
    await banner(page, "locked");
    assert.deepEqual([...new Set(await states(page))], ["sealed"]);
    await page.reload();
    await banner(page, "locked");
    await unlock(agent, "weber");
    await filled(page);

    await agent.close();
    await banner(page, "missing");
    assert.equal(count(await states(page), "open"), 0);
  }));

test("a stolen cookie shows names, and opens nothing", () =>
  as("weber", async (page, { context }) => {
    await openAgent(page, "weber");
    await filled(page);
    const plaintext = await page.locator(OPEN).allInnerTexts();
    const thief = await browser.newContext();
    try {
      await thief.addCookies(await context.cookies());
      const stolen = await thief.newPage();
      const answers = [];
      stolen.on("response", (response) => answers.push(response));
      await stolen.goto(`${given.origin}/patients`);
      await banner(stolen, "missing");
      assert.ok((await stolen.locator("tr[data-patient]").count()) > 0);
      const bodies = await Promise.all(answers.map((one) => one.text().catch(() => "")));
      const found = plaintext.filter((text) => bodies.some((body) => body.includes(text)));
      assert.deepEqual(found, []);
      assert.ok(answers.some((one) => one.status() === 428));
    } finally {
      await thief.close();
    }
  }));

test("another member's agent does not answer for who is signed in", () =>
  as("weber", async (page, { context }) => {
    await openAgent(page, "weber");
    await filled(page);
    await context.clearCookies();
    await signIn(page, "kim");
    await banner(page, "failed");
    assert.match(await page.locator(".agent-text").innerText(), /another member/);
    assert.equal(count(await states(page), "open"), 0);
  }));

test("the pages have a dark side", () =>
  as(
    "weber",
    async (page) => {
      await openAgent(page, "weber");
      await filled(page);
      const paper = await page.evaluate(() => getComputedStyle(document.body).backgroundColor);
      assert.equal(paper, "rgb(20, 26, 25)");
      await picture(page, "dark");
    },
    { colorScheme: "dark" },
  ));
