// What is played in a browser: the victim's window, and what scripts and hands of others do.

/** The victim opens the agent's window and unlocks it with both files and the passphrase. */
export async function unlock(stage, { agent, files, passphrase }) {
  const window = await stage.context.newPage();
  await window.goto(`${agent}/agent.html`);
  await window.setInputFiles("#chosen", files);
  await window.fill("#passphrase", passphrase);
  await window.click("#unlock-button");
  await window.locator("#open").waitFor();
  stage.window = window;
}

/** Whether the victim's window is unlocked still. */
export async function isUnlocked(stage) {
  return stage.window.locator("#open").isVisible();
}

/** A page of an origin, whose scripts are the attacker's from here on; its number. */
export async function visit(stage, { address }) {
  const page = await stage.context.newPage();
  await page.goto(address);
  return stage.pages.push(page) - 1;
}

/** Put the relay into a page; whether it came up, and was not refused by its headers. */
export async function embed(stage, { page, address }) {
  const own = stage.pages[page];
  await own.evaluate((src) => {
    const frame = document.createElement("iframe");
    frame.src = src;
    frame.style = "width: 600px; height: 800px";
    document.body.append(frame);
    return new Promise((done) => frame.addEventListener("load", done));
  }, address);
  const frames = await own.$$("iframe");
  const frame = await frames.at(-1).contentFrame();
  return frame.url().startsWith(address);
}

/** Post messages to the relay; the answers that came until a question of status was answered. */
export async function post(stage, { page, messages, patience = 0 }) {
  return stage.pages[page].evaluate(posting, { messages: messages.map(packed), patience });
}

function packed(value) {
  if (value instanceof Uint8Array) return { hex: Buffer.from(value).toString("hex") };
  if (Array.isArray(value)) return value.map(packed);
  if (!value || typeof value !== "object") return value;
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, packed(item)]));
}

/** Runs in the page. Bytes cross as hexadecimal. */
async function posting({ messages, patience }) {
  const unpacked = (value) => {
    if (!value || typeof value !== "object") return value;
    if (Array.isArray(value)) return value.map(unpacked);
    if (typeof value.hex === "string") return Uint8Array.from(value.hex.match(/../g) ?? [], (x) => parseInt(x, 16));
    return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, unpacked(item)]));
  };
  const hex = (value) =>
    value instanceof Uint8Array ? { hex: Array.from(value, (b) => b.toString(16).padStart(2, "0")).join("") } : value;
  const answers = [];
  const take = ({ data }) => {
    if (data?.twinlock === 1) answers.push(Object.fromEntries(Object.entries(data).map(([k, v]) => [k, hex(v)])));
  };
  window.addEventListener("message", take);
  const relay = document.querySelector("iframe").contentWindow;
  for (const message of messages) relay.postMessage(unpacked(message), "*");
  const asked = messages.filter((message) => message.ask && message.ask !== "cancel").map(({ id }) => id);
  const settled = (id) => answers.some((one) => one.id === id && one.answer !== "waiting");
  const until = Date.now() + patience;
  while (Date.now() < until && !asked.every(settled)) await new Promise((go) => setTimeout(go, 10));
  window.removeEventListener("message", take);
  return answers.filter(({ id }) => id !== "0");
}

/** What a script in a page reaches of the agent, beside its messages. Each entry: what it got. */
export async function reach(stage, { page, agent }) {
  return stage.pages[page].evaluate(reaching, agent);
}

async function reaching(agent) {
  const got = {};
  const attempt = async (name, act) => {
    try {
      got[name] = (await act()) ?? null;
    } catch {
      got[name] = null;
    }
  };
  const relay = document.querySelector("iframe")?.contentWindow;
  await attempt("the relay's document", () => relay.document.title || relay.document.URL);
  await attempt("the relay's storage", () => Boolean(relay.indexedDB) || null);
  await attempt("the member's files", async () => {
    const database = await new Promise((resolve, reject) => {
      const request = indexedDB.open("twinlock");
      request.onupgradeneeded = () => request.transaction.abort();
      request.onsuccess = () => resolve(request.result);
      request.onerror = () => reject(request.error);
    });
    const kept = await new Promise((resolve, reject) => {
      const request = database.transaction("kept").objectStore("kept").get("member");
      request.onsuccess = () => resolve(request.result);
      request.onerror = () => reject(request.error);
    });
    return kept.deviceKeyFile.length + kept.state.length;
  });
  await attempt("the channel", async () => {
    const channel = new BroadcastChannel("twinlock/1");
    const session = new Uint8Array(32);
    const message = { twinlock: 1, id: "1", ask: "hello", session };
    channel.postMessage({ to: "holder", relay: "thief", origin: location.origin, message });
    const answer = new Promise((done) => (channel.onmessage = ({ data }) => done(data.message?.answer)));
    return Promise.race([answer, new Promise((done) => setTimeout(done, 400))]);
  });
  await attempt("the agent's service worker", async () => {
    const worker = await navigator.serviceWorker.register(`${agent}/agent-worker.js`, { scope: `${agent}/`, type: "module" });
    return worker.scope;
  });
  return got;
}

/** Open the agent's window from a page, and see what the handle is good for. */
export async function script(stage, { page, address }) {
  const own = stage.pages[page];
  const opening = stage.context.waitForEvent("page");
  await own.evaluate((to) => {
    window.handle = window.open(to, "agent");
  }, address);
  const opened = await opening;
  await opened.waitForLoadState();
  const got = await own.evaluate(async () => {
    // The browser takes the handle away when the window's headers have arrived.
    for (let wait = 0; wait < 40 && !window.handle.closed; wait++) await new Promise((go) => setTimeout(go, 25));
    if (window.handle.closed) return null;
    window.handle.location = "about:blank#phish";
    return "moved it elsewhere";
  });
  await opened.close();
  return got;
}

/** Whether a frame with the agent's window shows more than that it does not run there. */
export async function framed(stage, { page, address }) {
  const came = await embed(stage, { page, address });
  if (!came) return null;
  const frame = stage.pages[page].frames().at(-1);
  const section = frame.locator("section:visible").first();
  const shown = await section.getAttribute("id", { timeout: 5000 }).catch(() => null);
  return shown === "broken" ? null : shown;
}

/**
 * Somebody presses where Release will be, as soon as a card shows: twice, as a double click that was
 * meant for something else. Whether it was taken as the decision, or `no card`, or `too late`.
 */
export async function pressAtOnce(stage, { page, message, within }) {
  const { window } = stage;
  await window.bringToFront();
  const card = window.evaluate(appearing);
  await stage.pages[page].evaluate(posting, { messages: [packed(message)], patience: 0 });
  const at = await card;
  if (at === null) return "no card";
  await window.mouse.dblclick(at.x, at.y, { delay: 0 });
  const passed = await window.evaluate((since) => performance.now() - since, at.since);
  await new Promise((go) => setTimeout(go, 200));
  const decided = await window.locator("#decision").isHidden();
  if (decided) return "decided";
  return passed < within ? "nothing" : "too late";
}

/** Runs in the window: waits for the card, and says where Release is and since when. */
async function appearing() {
  const card = document.querySelector("#decision");
  for (const until = performance.now() + 3000; card.hidden; ) {
    if (performance.now() > until) return null;
    await new Promise((go) => setTimeout(go, 1));
  }
  const { x, y, width, height } = document.querySelector("#release").getBoundingClientRect();
  return { x: x + width / 2, y: y + height / 2, since: performance.now() };
}

/** Send what a foreign page can send to an address, in every way that needs no answer. */
export async function forge(stage, { page, address, header, bodies }) {
  const own = stage.pages[page];
  for (const enctype of ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data"]) {
    // In a window of its own: cookies go along with that to other sites too, for a while.
    const opening = stage.context.waitForEvent("page");
    await own.evaluate(([action, kind]) => {
      const form = document.createElement("form");
      Object.assign(form, { method: "POST", action, enctype: kind, target: "_blank" });
      document.body.append(form);
      form.submit();
    }, [address, enctype]);
    const opened = await opening;
    await opened.waitForLoadState();
    await opened.close();
  }
  await own.evaluate(forging, packed({ address, header, bodies }));
}

async function forging({ address, header, bodies }) {
  const bytes = ({ hex }) => Uint8Array.from(hex.match(/../g) ?? [], (x) => parseInt(x, 16));
  const quietly = (sending) => sending.catch(() => undefined);
  for (const [type, raw] of Object.entries(bodies)) {
    const body = new Blob([bytes(raw)], { type });
    for (const mode of ["no-cors", "cors"]) {
      for (const headers of [{}, { ...header, "Content-Type": type }]) {
        await quietly(fetch(address, { method: "POST", mode, credentials: "include", body, headers }));
      }
    }
    navigator.sendBeacon(address, body);
    navigator.sendBeacon(address, new Blob([bytes(raw)]));
  }
  await new Promise((go) => setTimeout(go, 200));
}

// --- passkeys ---------------------------------------------------------------------------------------

/** The page offers to fetch for the agent, and makes up what an application's server would say. */
export async function carry(stage, { page, groups }) {
  await stage.pages[page].evaluate((news) => {
    const relay = document.querySelector("iframe").contentWindow;
    const nonce = crypto.getRandomValues(new Uint8Array(32));
    window.carried = { nonce };
    const told = {
      register: () => ({ nonce, exclude: [] }),
      registered: (given) => {
        window.carried.registration = given;
        return { login: new Uint8Array(1) };
      },
      groups: () => ({ bundle: Uint8Array.from(news.match(/../g), (x) => parseInt(x, 16)) }),
      change: ({ change }) => {
        window.carried.change = change;
        return {};
      },
    };
    window.addEventListener("message", ({ data }) => {
      if (data?.answer !== "wanted" || !(data.want in told)) return;
      const { call, want, ...given } = data;
      relay.postMessage({ twinlock: 1, id: "t", ask: "told", of: call, want, ...told[want](given) }, "*");
    });
    relay.postMessage({ twinlock: 1, id: "carry", ask: "carry" }, "*");
  }, groups);
}

/** The victim adds a passkey; what her application's page carried of it. */
export async function addPasskey(stage, { page, passphrase }) {
  const { window } = stage;
  const session = await stage.context.newCDPSession(window);
  await session.send("WebAuthn.enable");
  const options = {
    ...{ protocol: "ctap2", ctap2Version: "ctap2_1", transport: "internal", hasResidentKey: true },
    ...{ hasUserVerification: true, isUserVerified: true, hasPrf: true, automaticPresenceSimulation: true },
  };
  await session.send("WebAuthn.addVirtualAuthenticator", { options });
  await window.bringToFront();
  await window.click("#add-passkey");
  await window.fill("#present-passphrase", passphrase);
  await window.click("#way-go");
  const failed = window.locator("#way-error:not(:empty)").waitFor().then(async () => {
    throw new Error(await window.locator("#way-error").innerText());
  });
  await Promise.race([window.locator("#way-dialog").waitFor({ state: "hidden" }), failed]);
  return stage.pages[page].evaluate(() => {
    const hex = (value) =>
      value instanceof Uint8Array ? { hex: Array.from(value, (b) => b.toString(16).padStart(2, "0")).join("") } : value;
    const { registration, change, nonce } = window.carried;
    const shown = Object.fromEntries(Object.entries(registration).map(([name, value]) => [name, hex(value)]));
    return { registration: shown, change: hex(change), nonce: hex(nonce) };
  });
}

/** A script asks to be signed in; with `press` the victim presses, in the window. Its answers. */
export async function signIn(stage, { page, nonce, press, patience }) {
  const ask = { twinlock: 1, id: `s-${Math.random().toString(36).slice(2)}`, ask: "sign-in", nonce, allow: [] };
  const answers = stage.pages[page].evaluate(posting, { messages: [packed(ask)], patience });
  if (press) {
    await stage.window.bringToFront();
    // A weakened window may be done before anybody presses.
    await Promise.race([answers, stage.window.click("#sign-in-go")]);
  }
  const found = await answers;
  await stage.pages[page].evaluate(posting, {
    messages: [{ twinlock: 1, id: `${ask.id}-`, ask: "cancel", of: ask.id }],
    patience: 0,
  });
  await stage.window.locator("#sign-in").waitFor({ state: "hidden" });
  return found;
}
