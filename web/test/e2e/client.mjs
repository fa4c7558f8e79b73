// The library for applications: round trips, waiting, giving up, unsafe methods, the banner.
import assert from "node:assert/strict";
import { card, get, release } from "./stage.mjs";

const requests = (page) => {
  const seen = [];
  page.on("request", (request) => {
    if (request.resourceType() === "fetch") seen.push(request.method());
  });
  return seen;
};

export async function shortWay(stage) {
  await stage.unlocked();
  const page = await stage.application();
  const seen = requests(page);
  await get(page, "/patients?n=1");
  assert.deepEqual(seen.splice(0), ["GET", "POST", "POST"]);
  await get(page, "/patients?n=2");
  assert.deepEqual(seen.splice(0), ["GET", "POST"]);
  const head = await page.evaluate(async () => (await window.twinlock.fetch("/patients?n=1", { method: "HEAD" })).status);
  assert.equal(head, 405);
  stage.expectComplaints(/status of 405/);
}

export async function unsafe(stage) {
  await stage.unlocked();
  const page = await stage.application();
  const letter = { method: "POST", body: "to the family doctor" };
  const refusal = await get(page, "/letters", letter);
  assert.equal(refusal, "client.explicit-open");
  const opened = await page.evaluate(async (init) => (await window.twinlock.open("/letters", init)).json(), letter);
  assert.equal(opened, "to the family doctor: finding 4711");
  return opened;
}

export async function waitsForTheAgent(stage) {
  const page = await stage.application();
  const waits = get(page, "/patients?n=1");
  await page.getByText("open your agent to see them").waitFor();
  const [agent] = await Promise.all([
    stage.context.waitForEvent("page"),
    page.getByRole("button", { name: "Open the agent" }).click(),
  ]);
  await page.getByText("unlock your agent, in its own window").waitFor();
  await agent.setInputFiles("#chosen", stage.world.files);
  await stage.unlock(agent);
  assert.deepEqual(await waits, ["finding 4711"]);
  assert.equal(await page.locator("twinlock-banner").isHidden(), true);
  assert.deepEqual(await page.evaluate(() => window.states), ["no-agent", "locked", "idle"]);
}

export async function gaveUp(stage) {
  const agent = await stage.unlocked();
  const page = await stage.application();
  const aborted = await page.evaluate(async () => {
    const control = new AbortController();
    const answer = window.get("/night", { signal: control.signal }).catch((error) => error.name);
    while (window.twinlock.state !== "deciding") await new Promise((go) => setTimeout(go, 20));
    control.abort();
    return answer;
  });
  assert.equal(aborted, "AbortError");
  await agent.waitForFunction(() => document.querySelector("#decision").hidden);
  const timedOut = await page.evaluate(async (agentUrl) => {
    const impatient = window.library.createTwinlock({ agentUrl, patience: 1500 });
    return impatient.fetch("/night").catch((error) => error.code);
  }, stage.world.agent);
  assert.equal(timedOut, "agent.timeout");
  await agent.waitForFunction(() => document.querySelector("#decision").hidden);
  assert.deepEqual(await stage.entries(agent), []);
}

export async function notOpened(stage) {
  const page = await stage.application();
  const code = await page.evaluate(async (agentUrl) => {
    const impatient = window.library.createTwinlock({ agentUrl, patience: 300 });
    return impatient.fetch("/night").catch((error) => error.code);
  }, stage.world.agent);
  assert.equal(code, "agent.not-opened");
}

export async function windowCrashed(stage) {
  const agent = await stage.unlocked();
  const page = await stage.application();
  const waits = get(page, "/night");
  await card(agent);
  await agent.close({ runBeforeUnload: false });
  await page.waitForFunction(() => window.twinlock.state === "no-agent");
  const next = await stage.unlocked();
  await release(next);
  assert.equal((await waits).length, 2);
}

export async function pageLeft(stage) {
  const agent = await stage.unlocked();
  const page = await stage.application();
  void get(page, "/night").catch(() => undefined);
  await card(agent);
  await page.goto("about:blank");
  await agent.waitForFunction(() => document.querySelector("#decision").hidden);
}

export async function sameOrigin(stage) {
  const page = await stage.application();
  const code = await page.evaluate(() => {
    try {
      window.library.createTwinlock({ agentUrl: "/agent/" });
      return "no error";
    } catch (error) {
      return error.code;
    }
  });
  assert.equal(code, "client.agent-origin");
}

export async function processRestarted(stage) {
  await stage.unlocked();
  const page = await stage.application();
  // The first 428 names a request that the server does not know: the client begins anew.
  let spoilt = 0;
  await page.route("**/patients?n=1", async (route) => {
    const headers = { ...route.request().headers() };
    if (headers["twinlock-request"] && spoilt++ === 0) {
      headers["twinlock-request"] = headers["twinlock-request"].replace(/\.[^.]*$/, `.${"A".repeat(22)}`);
    }
    await route.continue({ headers });
  });
  assert.deepEqual(await get(page, "/patients?n=1"), ["finding 4711"]);
  assert.ok(spoilt > 1);
  stage.expectComplaints(/status of 409/);
}
