// What is answered by itself, what is asked, and what a press on Release takes.
import assert from "node:assert/strict";
import { card, get, release } from "./stage.mjs";

export async function withinBudget(stage) {
  const agent = await stage.unlocked();
  const page = await stage.application();
  const patients = await get(page, "/patients?n=3");
  assert.deepEqual(patients, ["finding 4711", "finding 4712", "finding 4713"]);
  const [entry] = await stage.entries(agent);
  assert.match(entry, /3 records of patients · ward round Released within the budget/);
  assert.ok(entry.includes(stage.world.app));
  assert.match(await agent.locator("#groups").innerText(), /3 of 40 this hour/);
  await agent.locator("#done summary").click();
  assert.deepEqual(
    await agent.locator("#done tbody tr").first().locator("td").allInnerTexts(),
    ["patients", "4711", "diagnosis", "cardiology"],
  );
}

export async function clickEach(stage) {
  const agent = await stage.unlocked();
  const page = await stage.application();
  const waits = get(page, "/night");
  const asks = await card(agent);
  assert.equal(await agent.title(), "(1) Decision needed – Clinic agent");
  assert.ok((await asks.innerText()).includes(stage.world.app));
  assert.match(await asks.innerText(), /night call/);
  assert.match(await asks.innerText(), /group emergency wants a click for every release/);
  assert.equal(await asks.locator("tbody tr").count(), 2);
  assert.equal(await agent.evaluate(() => document.activeElement.id), "refuse");
  await page.waitForFunction(() => window.twinlock.state === "deciding");
  await release(agent);
  assert.deepEqual(await waits, ["finding 4711", "finding 4712"]);
  assert.match((await stage.entries(agent))[0], /Released as you decided/);
  assert.equal(await page.evaluate(() => window.twinlock.state), "idle");
}

export async function beyondBudget(stage) {
  const agent = await stage.unlocked();
  const page = await stage.application();
  assert.equal((await get(page, "/patients?n=30")).length, 30);
  const waits = get(page, "/patients?n=60");
  const asks = await card(agent);
  assert.match(await asks.innerText(), /90 records of group cardiology in an hour, budget 40/);
  assert.equal(await asks.locator("tbody tr").count(), 50);
  assert.match(await asks.locator(".rest").innerText(), /and 10 more records: 10 of patients/);
  await release(agent);
  assert.equal((await waits).length, 60);
  assert.match(await agent.locator("#groups").innerText(), /90 of 40 this hour/);
}

export async function budgetOfAllTabs(stage) {
  const agent = await stage.unlocked();
  const pages = [await stage.application(), await stage.application()];
  const waits = Promise.all(pages.map((page) => get(page, "/patients?n=25")));
  const asks = await card(agent);
  assert.match(await asks.innerText(), /50 records of group cardiology in an hour, budget 40/);
  await asks.getByRole("button", { name: "Refuse" }).click();
  assert.deepEqual((await waits).map((found) => (Array.isArray(found) ? found.length : found)).sort(), [25, "agent.refused"]);
}

export async function refused(stage) {
  const agent = await stage.unlocked();
  const page = await stage.application();
  for (const refuse of [
    async () => (await card(agent)).getByRole("button", { name: "Refuse" }).click(),
    async () => (await card(agent), agent.keyboard.press("Escape")),
    async () => (await card(agent), agent.keyboard.press("Enter")),
  ]) {
    const waits = get(page, "/night");
    await refuse();
    assert.equal(await waits, "agent.refused");
    assert.equal(await page.evaluate(() => window.twinlock.state), "refused");
    await page.getByText("You refused this request in your agent.").waitFor();
  }
  const entries = await stage.entries(agent);
  assert.equal(entries.filter((entry) => entry.includes("You refused")).length, 3);
  assert.match(await agent.locator("#groups").innerText(), /0 this hour, asks each time/);
}

export async function byKeyboard(stage) {
  const agent = await stage.unlocked();
  const page = await stage.application();
  const waits = get(page, "/night");
  await card(agent);
  await agent.waitForFunction(() => !document.querySelector("#release").disabled);
  await agent.keyboard.press("Tab");
  assert.equal(await agent.evaluate(() => document.activeElement.id), "release");
  await agent.keyboard.press("Space");
  assert.equal((await waits).length, 2);
}

export async function tooEarly(stage) {
  const agent = await stage.window();
  await agent.clock.install();
  await agent.reload();
  await agent.setInputFiles("#chosen", stage.world.files);
  await stage.unlock(agent);
  const page = await stage.application();
  // From here on time passes in the agent's window only where this script says so.
  await agent.clock.pauseAt(Date.now() + 60_000);
  const waits = get(page, "/night");
  await card(agent);
  const place = await agent.locator("#release").boundingBox();
  const press = () => agent.mouse.click(place.x + place.width / 2, place.y + place.height / 2);
  await press();
  await agent.clock.runFor(599);
  await press();
  assert.equal(await agent.locator("#release").isDisabled(), true);
  await agent.evaluate(() => {
    window.resized = new Promise((told) => window.addEventListener("resize", () => told(), { once: true }));
  });
  await agent.setViewportSize({ width: 560, height: 760 });
  await agent.evaluate(() => window.resized);
  await agent.clock.runFor(2);
  assert.equal(await agent.locator("#release").isDisabled(), true);
  await agent.clock.runFor(600);
  assert.equal(await agent.locator("#decision").isVisible(), true);
  await agent.locator("#release").click();
  assert.equal((await waits).length, 2);
}

export async function withoutFocus(stage) {
  const agent = await stage.unlocked();
  const page = await stage.application();
  const waits = get(page, "/night");
  await card(agent);
  await agent.waitForFunction(() => !document.querySelector("#release").disabled);
  await agent.evaluate(() => {
    document.hasFocus = () => false;
    window.dispatchEvent(new Event("blur"));
  });
  assert.equal(await agent.locator("#release").isDisabled(), true);
  await agent.waitForTimeout(800);
  assert.equal(await agent.locator("#release").isDisabled(), true);
  await agent.evaluate(() => {
    delete document.hasFocus;
    window.dispatchEvent(new Event("focus"));
  });
  assert.equal(await agent.locator("#release").isDisabled(), true);
  await release(agent);
  assert.equal((await waits).length, 2);
}

export async function oneAfterTheOther(stage) {
  const agent = await stage.unlocked();
  const page = await stage.application();
  const both = [get(page, "/night"), get(page, "/night")];
  await agent.getByText("1 of 2").waitFor();
  assert.equal(await agent.title(), "(2) Decision needed – Clinic agent");
  await release(agent);
  // The next card stands where the first one stood: a second press of the same click must not count.
  assert.equal(await agent.locator("#release").isDisabled(), true);
  await release(agent);
  assert.deepEqual((await Promise.all(both)).map((found) => found.length), [2, 2]);
}

export async function crowded(stage) {
  const agent = await stage.unlocked();
  const page = await stage.application();
  const all = Array.from({ length: 6 }, () => get(page, "/night"));
  await agent.getByText("1 of 5").waitFor();
  assert.equal(await Promise.race(all), "agent.busy");
  for (let left = 5; left > 0; left--) {
    await card(agent);
    await agent.keyboard.press("Escape");
  }
  const found = await Promise.all(all);
  assert.deepEqual(found.sort(), ["agent.busy", ...Array(5).fill("agent.refused")]);
}
