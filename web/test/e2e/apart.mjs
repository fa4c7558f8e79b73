// What the application's own scripts, and other origins, cannot do to the agent.
import assert from "node:assert/strict";
import { card, get } from "./stage.mjs";

const BLOCKED = [/frame-ancestors/, /X-Frame-Options/i, /Refused to/, /violates the following/];

/** Frame an address in a page and say what is in the frame then. */
async function framed(page, address) {
  await page.evaluate((src) => {
    const frame = document.createElement("iframe");
    frame.src = src;
    frame.id = "tried";
    document.body.append(frame);
    return new Promise((done) => frame.addEventListener("load", done));
  }, address);
  const frame = await (await page.$("#tried")).contentFrame();
  return frame.url();
}

export async function windowCannotBeFramed(stage) {
  const page = await stage.application();
  assert.match(await framed(page, `${stage.world.agent}/agent.html`), /^chrome-error:/);
  stage.expectComplaints(...BLOCKED);
}

export async function relayIsForListedOrigins(stage) {
  for (const origin of [stage.world.sibling, stage.world.stranger]) {
    const page = await stage.context.newPage();
    await page.goto(`${origin}/client.js`);
    assert.match(await framed(page, `${stage.world.agent}/relay.html`), /^chrome-error:/);
  }
  const page = await stage.context.newPage();
  await page.goto(`${stage.world.app}/client.js`);
  assert.match(await framed(page, `${stage.world.agent}/relay.html`), /relay\.html$/);
  stage.expectComplaints(...BLOCKED);
}

/** Send messages to a relay frame and return the answers that came within a moment. */
function answersTo(page, messages) {
  return page.evaluate(async (messages) => {
    const frame = document.querySelector("iframe");
    const answers = [];
    const listen = (event) => answers.push([event.data.id, event.data.answer, event.data.code]);
    window.addEventListener("message", listen);
    for (const make of messages) frame.contentWindow.postMessage(new Function(`return (${make})`)(), "*");
    frame.contentWindow.postMessage({ twinlock: 1, id: "last", ask: "status" }, "*");
    while (!answers.some(([id]) => id === "last")) await new Promise((go) => setTimeout(go, 10));
    window.removeEventListener("message", listen);
    return answers.filter(([id]) => id !== "0");
  }, messages);
}

export async function garbageIsDropped(stage) {
  const agent = await stage.unlocked();
  const page = await stage.context.newPage();
  await page.goto(`${stage.world.app}/client.js`);
  await framed(page, `${stage.world.agent}/relay.html`);
  const garbage = [
    "null",
    "'status'",
    "[]",
    "({})",
    "({twinlock: 2, id: 'a', ask: 'status'})",
    "({twinlock: 1, id: 'a', ask: 'status', more: 1})",
    "({twinlock: 1, id: '', ask: 'status'})",
    "({twinlock: 1, id: 'a'.repeat(65), ask: 'status'})",
    "({twinlock: 1, id: 'a b', ask: 'status'})",
    "({twinlock: 1, id: 'a', ask: 'state'})",
    "({twinlock: 1, id: 'a', ask: 'unlock', passphrase: 'x'})",
    "({twinlock: 1, id: 'a', ask: 'lock'})",
    "({twinlock: 1, id: 'a', ask: 'constructor'})",
    "({twinlock: 1, id: 'a', ask: 'hello'})",
    "({twinlock: 1, id: 'a', ask: 'hello', session: new Uint8Array(31)})",
    "({twinlock: 1, id: 'a', ask: 'hello', session: 'x'.repeat(32)})",
    "({twinlock: 1, id: 'a', ask: 'hello', session: new Uint8Array(32), origin: 'x'})",
    "({twinlock: 1, id: 'a', ask: 'release', bundle: new Uint8Array(0)})",
    "({twinlock: 1, id: 'a', ask: 'release', bundle: new Uint8Array(1), approved: true})",
    "({twinlock: 1, id: 'a', answer: 'status', status: 'ready'})",
    "({to: 'holder', news: 'step-down'})",
    "({to: 'holder', relay: 'r', origin: 'x', message: {twinlock: 1, id: 'a', ask: 'status'}})",
    "Object.assign(Object.create({ask: 'status'}), {twinlock: 1, id: 'a'})",
    "new Map([['twinlock', 1]])",
  ];
  assert.deepEqual(await answersTo(page, garbage), [["last", "status", undefined]]);
  // A message that is whole, but holds no request, is answered by the agent itself.
  const junk = "({twinlock: 1, id: 'junk', ask: 'release', bundle: new Uint8Array([1, 2, 3])})";
  await answersTo(page, [junk]);
  assert.equal(await agent.locator("#state").innerText(), "Unlocked");
  assert.deepEqual(await stage.entries(agent), []);
}

export async function scriptsReachNothing(stage) {
  const agent = await stage.unlocked();
  const page = await stage.application();
  await get(page, "/patients?n=1");
  const reached = await page.evaluate(async (agentUrl) => {
    const tried = {};
    const attempt = async (name, act) => {
      try {
        tried[name] = String(await act());
      } catch (error) {
        tried[name] = error.name;
      }
    };
    const relay = document.querySelector("iframe").contentWindow;
    await attempt("relay's document", () => relay.document.title);
    await attempt("relay's storage", () => relay.indexedDB);
    await attempt("relay's crypto", () => relay.navigator.locks);
    await attempt("own databases", async () => (await indexedDB.databases()).length);
    await attempt("own locks", async () => (await navigator.locks.query()).held.length);
    await attempt("channel", () => {
      const channel = new BroadcastChannel("twinlock/1");
      channel.postMessage({ to: "holder", news: "step-down" });
      return "sent on the own origin";
    });
    await attempt("the agent's state", async () => (await fetch(`${agentUrl}/agent.js`)).status);
    const popup = window.open(`${agentUrl}/agent.html`);
    for (let wait = 0; wait < 300 && popup && !popup.closed; wait++) await new Promise((go) => setTimeout(go, 50));
    await attempt("a handle on the window", () => (popup.closed ? "closed" : popup.location.href));
    return tried;
  }, stage.world.agent);
  assert.deepEqual(reached, {
    "relay's document": "SecurityError",
    "relay's storage": "SecurityError",
    "relay's crypto": "SecurityError",
    "own databases": "0",
    "own locks": "0",
    channel: "sent on the own origin",
    "the agent's state": "TypeError",
    "a handle on the window": "closed",
  });
  assert.equal(await agent.locator("#state").innerText(), "Unlocked");
  stage.expectComplaints(...BLOCKED, /Content Security Policy/);
}

/** As a relay that lies about where a question came from: the window looks at the origin itself. */
export async function windowChecksOrigins(stage) {
  const agent = await stage.unlocked();
  const liar = await stage.context.newPage();
  await liar.goto(`${stage.world.agent}/relay.html`);
  const ask = (origin) =>
    liar.evaluate(
      (origin) =>
        new Promise((done) => {
          const channel = new BroadcastChannel("twinlock/1");
          channel.onmessage = ({ data }) => data.relay === "liar" && done(data.message.code ?? data.message.answer);
          const message = { twinlock: 1, id: "1", ask: "hello", session: new Uint8Array(32) };
          channel.postMessage({ to: "holder", relay: "liar", origin, message });
        }),
      origin,
    );
  assert.equal(await ask(stage.world.sibling), "agent.origin");
  assert.equal(await ask(`${stage.world.app}/`), "agent.origin");
  assert.equal(await ask(stage.world.app), "hello");
  assert.equal(await agent.locator("#state").innerText(), "Unlocked");
}

export async function agentReachesNoNetwork(stage) {
  const agent = await stage.unlocked();
  const tried = await agent.evaluate(async (app) => {
    const violations = [];
    document.addEventListener("securitypolicyviolation", (event) => violations.push(event.effectiveDirective));
    const outcomes = {};
    const attempt = async (name, act) => {
      try {
        outcomes[name] = String(await act());
      } catch (error) {
        outcomes[name] = error.name;
      }
    };
    const loaded = (element, parent = document.head) =>
      new Promise((done) => {
        element.onload = () => done("loaded");
        element.onerror = () => done("blocked");
        parent.append(element);
      });
    await attempt("fetch", () => fetch(`${app}/patients`, { mode: "no-cors" }));
    await attempt("own fetch", () => fetch("agent.js"));
    await attempt("beacon", () => navigator.sendBeacon(`${app}/x`, "y"));
    await attempt("socket", () => new Promise((_, no) => (new WebSocket(app.replace("http", "ws")).onerror = () => no(new Error("blocked")))));
    await attempt("image", () => loaded(Object.assign(new Image(), { src: `${app}/x.png` })));
    await attempt("inline script", () => {
      const script = document.createElement("script");
      script.textContent = "window.ran = true";
      document.head.append(script);
      return window.ran ?? "did not run";
    });
    await attempt("html", () => {
      document.body.insertAdjacentHTML("beforeend", "<b>x</b>");
    });
    await attempt("another worker", () => new Worker("relay.js"));
    await attempt("another policy", () => window.trustedTypes.createPolicy("twinlock", {}));
    await attempt("form", async () => {
      const form = document.createElement("form");
      form.action = `${app}/x`;
      document.body.append(form);
      form.submit();
      await new Promise((go) => setTimeout(go, 200));
      return location.pathname;
    });
    return { outcomes, violations: [...new Set(violations)].sort() };
  }, stage.world.app);
  stage.complaints = [];
  return tried;
}
