// The agent's window: setting up, unlocking, locking, one of several, forgetting.
import assert from "node:assert/strict";
import { card, get, release } from "./stage.mjs";

const kept = (agent) =>
  agent.evaluate(async () => {
    const database = await new Promise((resolve, reject) => {
      const request = indexedDB.open("twinlock", 1);
      request.onsuccess = () => resolve(request.result);
      request.onerror = reject;
    });
    const table = database.transaction("kept").objectStore("kept");
    const all = await new Promise((resolve) => {
      const request = table.getAll();
      request.onsuccess = () => resolve(request.result);
    });
    database.close();
    return all.map((entry) => ({
      ...entry,
      state: [...(entry.state ?? [])],
      deviceKeyFile: [...(entry.deviceKeyFile ?? [])],
    }));
  });

export async function wrongPassphrase(stage) {
  const agent = await stage.window();
  await agent.setInputFiles("#chosen", stage.world.files);
  await agent.getByLabel("Passphrase").fill("not the passphrase");
  await agent.keyboard.press("Enter");
  const said = await agent.locator("#unlock-error:not(:empty)").innerText();
  assert.equal(await agent.locator("#open").isHidden(), true);
  assert.equal(await agent.locator("#state").innerText(), "Locked");
  assert.deepEqual(await kept(agent), []);
  await stage.unlock(agent);
  assert.equal((await kept(agent)).length, 1);
  return said;
}

export async function wrongFiles(stage) {
  const agent = await stage.window();
  const [keyFile] = stage.world.files;
  await agent.setInputFiles("#chosen", [{ name: "notes.member", mimeType: "", buffer: Buffer.from("hello") }]);
  await agent.getByText("notes.member is neither").waitFor();
  await agent.setInputFiles("#chosen", keyFile);
  await agent.getByText("device key", { exact: true }).waitFor();
  await agent.getByLabel("Passphrase").fill("x");
  await agent.keyboard.press("Enter");
  return agent.locator("#unlock-error:not(:empty)").innerText();
}

export async function dropped(stage) {
  const agent = await stage.window();
  await agent.setInputFiles("#chosen", stage.world.files);
  const files = await agent.evaluateHandle(() => {
    const transfer = new DataTransfer();
    for (const file of document.querySelector("#chosen").files) transfer.items.add(file);
    return transfer;
  });
  await agent.locator("#files-said li").nth(1).waitFor();
  await agent.evaluate((transfer) => {
    window.dispatchEvent(new DragEvent("drop", { dataTransfer: transfer, cancelable: true }));
  }, files);
  await stage.unlock(agent);
}

export async function remembered(stage) {
  const agent = await stage.unlocked();
  const page = await stage.application();
  assert.equal((await get(page, "/patients?n=3")).length, 3);
  const [before] = await kept(agent);
  await agent.reload();
  await agent.getByRole("heading", { name: "Unlock your agent" }).waitFor();
  assert.equal(await agent.locator("#files").isHidden(), true);
  assert.match(await agent.locator("#greeting").innerText(), /weber/);
  assert.deepEqual(await stage.entries(agent), []);
  await stage.unlock(agent);
  assert.match(await agent.locator("#groups").innerText(), /3 of 40 this hour/);
  assert.equal((await get(page, "/patients?n=2")).length, 2);
  const [after] = await kept(agent);
  assert.notDeepEqual(after.state, before.state);
  assert.deepEqual(Object.keys(after).sort(), ["deviceKeyFile", "name", "state"]);
  const bytes = JSON.stringify([...Buffer.from(stage.world.passphrase)]).slice(1, -1);
  assert.equal(JSON.stringify(after).includes(bytes), false);
}

export async function locked(stage) {
  const agent = await stage.unlocked();
  const page = await stage.application();
  await get(page, "/patients?n=1");
  const waits = get(page, "/night");
  await card(agent);
  const [holder] = agent.workers();
  await agent.getByRole("button", { name: "Lock", exact: true }).click();
  await agent.getByRole("heading", { name: "Unlock your agent" }).waitFor();
  assert.equal(await agent.locator("#decision").isHidden(), true);
  assert.deepEqual(await stage.entries(agent), []);
  // Another may look at what opens the state; the one that held the keys is gone.
  assert.equal(agent.workers().includes(holder), false);
  await page.waitForFunction(() => window.twinlock.state === "locked");
  await stage.unlock(agent);
  await release(agent);
  assert.equal((await waits).length, 2);
}

export async function unused(stage) {
  const agent = await stage.window();
  await agent.clock.install();
  await agent.reload();
  await agent.setInputFiles("#chosen", stage.world.files);
  await stage.unlock(agent);
  await agent.clock.fastForward("14:00");
  assert.equal(await agent.locator("#state").innerText(), "Unlocked");
  await agent.getByLabel("Lock when unused for").selectOption("5");
  await agent.clock.fastForward("04:50");
  assert.equal(await agent.locator("#state").innerText(), "Unlocked");
  await agent.clock.fastForward("00:20");
  await agent.getByText("it was not used for a while").waitFor();
  await agent.reload();
  await stage.unlock(agent);
  assert.equal(await agent.getByLabel("Lock when unused for").inputValue(), "5");
}

export async function second(stage) {
  const first = await stage.unlocked();
  const other = await stage.window();
  await other.getByRole("heading", { name: "The agent is open in another window" }).waitFor();
  assert.equal(await other.locator("#unlock").isHidden(), true);
  await other.getByRole("button", { name: "Lock the other, use this one" }).click();
  await first.getByText("Another window of the agent took over").waitFor();
  await stage.unlock(other);
  await first.getByRole("heading", { name: "The agent is open in another window" }).waitFor();
  await other.close();
  await first.getByRole("heading", { name: "Unlock your agent" }).waitFor();
  await stage.unlock(first);
}

export async function forgotten(stage) {
  const agent = await stage.unlocked();
  await agent.getByRole("button", { name: "Lock", exact: true }).click();
  await agent.getByRole("button", { name: "Forget this device…" }).click();
  await agent.getByRole("button", { name: "Keep them" }).click();
  assert.equal((await kept(agent)).length, 1);
  await agent.getByRole("button", { name: "Forget this device…" }).click();
  await agent.getByRole("button", { name: "Remove them" }).click();
  await agent.getByRole("heading", { name: "Set up this device" }).waitFor();
  assert.deepEqual(await kept(agent), []);
}

export async function exported(stage) {
  const agent = await stage.unlocked();
  const page = await stage.application();
  await get(page, "/patients?n=1");
  const [download] = await Promise.all([
    agent.waitForEvent("download"),
    agent.getByRole("button", { name: "Save a copy of my member file" }).click(),
  ]);
  assert.equal(download.suggestedFilename(), "weber.member");
  const chunks = [];
  for await (const chunk of await download.createReadStream()) chunks.push(chunk);
  return Buffer.concat(chunks).toString("base64");
}

export async function notStored(stage) {
  const agent = await stage.unlocked();
  const page = await stage.application();
  await agent.evaluate(() => {
    IDBObjectStore.prototype.put = () => {
      throw new DOMException("the disk is full", "QuotaExceededError");
    };
  });
  assert.equal(await get(page, "/patients?n=1"), "agent.storage");
  await agent.getByText("the disk is full").waitFor();
  assert.equal(await agent.locator("#state").innerText(), "Locked");
}
