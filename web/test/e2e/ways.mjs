// Ways in: passkeys that sign in and unlock with one touch, passwords that the token hardens, recovery
// codes; made, used, changed, removed. The authenticator is Chromium's virtual one, with a PRF.
import assert from "node:assert/strict";
import { get } from "./stage.mjs";
import { addPasskey, asks, authenticator, begun, done, finish, lock, me, signInByForm, signOut, ways } from "./touch.mjs";

/** Remember what the page posts and is posted, and each result of the PRF in the agent's window. */
async function watch(page, agent) {
  await page.evaluate(() => {
    window.heard = [];
    window.addEventListener("message", ({ data }) => window.heard.push(data));
  });
  await agent.evaluate(() => {
    window.evaluated = [];
    const { get } = navigator.credentials;
    navigator.credentials.get = async (asked) => {
      const credential = await get.call(navigator.credentials, asked);
      const { prf } = credential.getClientExtensionResults();
      if (prf?.results?.first) window.evaluated.push([...new Uint8Array(prf.results.first)]);
      return credential;
    };
  });
}

export async function oneTouch(stage) {
  const { page, agent } = await begun(stage);
  await watch(page, agent);
  await addPasskey(stage, agent);
  assert.equal((await ways(agent)).length, 2);
  assert.match((await ways(agent))[1], /this computer.*Passkey, kept here and at your server, since/);
  await lock(agent);
  await signOut(page);
  assert.equal(await me(page), null);

  const posted = [];
  page.on("request", (request) => posted.push(request.postData() ?? ""));
  const signed = asks(page, { name: "weber" });
  const card = agent.getByRole("region", { name: "Sign in to this application?" });
  await card.getByText(stage.world.app).waitFor();
  assert.equal(await agent.locator("#unlock").isHidden(), true);
  await card.getByRole("button", { name: "Sign in and unlock" }).click();
  assert.equal(await signed, 200);
  assert.equal(await me(page), "weber");
  await agent.getByRole("heading", { name: "Open for weber" }).waitFor();
  assert.deepEqual(await get(page, "/patients?n=1"), ["finding 4711"]);

  // R-PASSKEY-4: neither in a message nor in a request, as bytes or in base64url.
  const evaluated = await agent.evaluate(() => window.evaluated);
  assert.ok(evaluated.length > 0);
  const heard = await page.evaluate(() =>
    JSON.stringify(window.heard, (_, value) => (value instanceof Uint8Array ? [...value] : value)),
  );
  assert.match(heard, /"answer":"sign-in"/);
  for (const output of evaluated) {
    assert.equal(heard.includes(JSON.stringify(output).slice(1, -1)), false);
    assert.equal(posted.join().includes(Buffer.from(output).toString("base64url")), false);
  }
  assert.match(posted.join(), /"clientExtensionResults":\{\}/);
}

export async function signInUnlocked(stage) {
  const { page, agent } = await begun(stage);
  await addPasskey(stage, agent);
  await signOut(page);
  const signed = asks(page);
  await agent.getByRole("button", { name: "Sign in and unlock" }).click();
  assert.equal(await signed, 200);
  assert.equal(await me(page), "weber");
}

export async function signInRefused(stage) {
  const { page, agent } = await begun(stage);
  await addPasskey(stage, agent);
  await lock(agent);
  await signOut(page);
  const refused = asks(page);
  await agent.locator("#sign-in").waitFor();
  await agent.keyboard.press("Escape");
  assert.equal(await refused, "agent.refused");
  await agent.getByRole("heading", { name: "Unlock your agent" }).waitFor();
  const withdrawn = page.evaluate(async () => {
    const control = new AbortController();
    const asked = window.twinlock.signIn({ signal: control.signal }).catch((error) => error.name);
    while (window.twinlock.state !== "deciding") await new Promise((go) => setTimeout(go, 20));
    control.abort();
    return asked;
  });
  assert.equal(await withdrawn, "AbortError");
  await agent.locator("#sign-in").waitFor({ state: "hidden" });
  assert.equal(await me(page), null);
}

export async function signInOpensAgent(stage) {
  const page = await stage.application();
  const [agent, code] = await Promise.all([
    stage.context.waitForEvent("page"),
    (async () => {
      await page.evaluate(() => {
        document.body.addEventListener("click", () => {
          window.asked = window.twinlock.signIn().catch((error) => error.code);
        });
      });
      await page.getByRole("heading", { name: "Clinic" }).click();
      return page.evaluate(() => window.asked);
    })(),
    stage.context.waitForEvent("page").then(async (opened) => {
      await opened.getByText("Sign in to this application?").waitFor();
      await opened.getByRole("button", { name: "Refuse" }).click();
    }),
  ]);
  assert.equal(code, "agent.refused");
  assert.match(agent.url(), /agent\.html/);
}

export async function lostPasskey(stage) {
  const { page, agent, key } = await begun(stage);
  await addPasskey(stage, agent);
  await lock(agent);
  await key.lose();
  await authenticator(agent);
  const signed = asks(page);
  await agent.getByRole("button", { name: "Sign in and unlock" }).click();
  await agent.getByText("No passkey answered").waitFor();
  await agent.getByRole("button", { name: "Refuse" }).click();
  assert.equal(await signed, "agent.refused");
  await stage.unlock(agent);
  assert.deepEqual(await get(page, "/patients?n=1"), ["finding 4711"]);
}

export async function soleRefused(stage) {
  const { agent } = await begun(stage);
  await addPasskey(stage, agent);
  await agent.getByRole("button", { name: "Remove Device key and passphrase" }).click();
  await finish(agent, "Remove it");
  const said = await agent.locator("#way-error:not(:empty)").innerText();
  await agent.getByRole("button", { name: "Cancel" }).click();
  assert.equal((await ways(agent)).length, 2);
  await agent.getByRole("button", { name: "Remove this computer" }).click();
  await finish(agent, "Remove it");
  await done(agent);
  assert.equal((await ways(agent)).length, 1);
  return said;
}

export async function noPrf(stage) {
  const page = await stage.application();
  await signInByForm(page);
  const agent = await stage.unlocked();
  await authenticator(agent, { hasPrf: false });
  await agent.getByRole("button", { name: "Add a passkey" }).click();
  await finish(agent, "Add it", { passphrase: stage.world.passphrase });
  await agent.getByText("can sign in, but not unlock").waitFor();
  await agent.getByRole("button", { name: "Cancel" }).click();
  assert.equal((await ways(agent)).length, 1);
}

/** Remove what this device keeps, and set it up again with a name. */
async function forgotten(agent) {
  await lock(agent);
  await agent.getByRole("button", { name: "Forget this device…" }).click();
  await agent.getByRole("button", { name: "Remove them" }).click();
  await agent.getByRole("heading", { name: "Set up this device" }).waitFor();
  await agent.getByRole("button", { name: "Use my name instead of files" }).click();
  await agent.getByRole("textbox", { name: "Your name" }).fill("weber");
}

export async function arrivesWithPassword(stage) {
  const { page, agent } = await begun(stage);
  await agent.getByRole("button", { name: "Add a password" }).click();
  const secret = "eleven herons on the weir";
  await finish(agent, "Add it", { passphrase: stage.world.passphrase, secret, label: "anywhere" });
  await done(agent);
  await forgotten(agent);
  await agent.getByLabel("Password", { exact: true }).fill("not this one");
  await agent.getByRole("button", { name: "Unlock", exact: true }).click();
  const said = await agent.locator("#unlock-error:not(:empty)").innerText();
  await agent.getByLabel("Password", { exact: true }).fill(secret);
  await agent.getByRole("button", { name: "Unlock", exact: true }).click();
  await agent.getByRole("heading", { name: "Open for weber" }).waitFor();
  assert.match(await agent.locator("#groups").innerText(), /cardiology/);
  assert.deepEqual(await get(page, "/patients?n=1"), ["finding 4711"]);
  assert.equal((await ways(agent)).length, 2);
  await lock(agent);
  await agent.getByRole("combobox", { name: "Unlock with" }).selectOption({ label: "Password" });
  await agent.getByLabel("Password", { exact: true }).fill(secret);
  await agent.getByRole("button", { name: "Unlock", exact: true }).click();
  await agent.getByRole("heading", { name: "Open for weber" }).waitFor();
  return said;
}

export async function arrivesWithCode(stage) {
  const { page, agent } = await begun(stage);
  await agent.getByRole("button", { name: "Make a recovery code" }).click();
  const code = await agent.locator("#new-code:not(:empty)").innerText();
  assert.match(code, /^([0-9A-Z]{5}-){6}[0-9A-Z]{5}$/);
  await finish(agent, "I have written it down", { passphrase: stage.world.passphrase, label: "in the safe" });
  await done(agent);
  assert.equal(await agent.locator("#new-code").innerText(), "");
  await forgotten(agent);
  await agent.getByRole("combobox", { name: "Unlock with" }).selectOption({ label: "Recovery code" });
  await agent.getByLabel("Recovery code", { exact: true }).fill(code.toLowerCase().replaceAll("-", " "));
  await agent.getByRole("button", { name: "Unlock", exact: true }).click();
  await agent.getByRole("heading", { name: "Open for weber" }).waitFor();
  assert.deepEqual(await get(page, "/patients?n=1"), ["finding 4711"]);
}

export async function arrivesWithPasskey(stage) {
  const { page, agent } = await begun(stage);
  await addPasskey(stage, agent);
  await lock(agent);
  await agent.getByRole("button", { name: "Forget this device…" }).click();
  await agent.getByRole("button", { name: "Remove them" }).click();
  await agent.getByRole("heading", { name: "Set up this device" }).waitFor();
  await signOut(page);
  const signed = asks(page);
  await agent.getByRole("textbox", { name: "Your name" }).fill("weber");
  await agent.getByRole("button", { name: "Sign in and unlock" }).click();
  assert.equal(await signed, 200);
  assert.equal(await me(page), "weber");
  assert.deepEqual(await get(page, "/patients?n=1"), ["finding 4711"]);
}

export async function changesPassphrase(stage) {
  const { page, agent } = await begun(stage);
  await agent.getByRole("button", { name: "Change Device key and passphrase" }).click();
  await finish(agent, "Change it", { passphrase: stage.world.passphrase, secret: "a slow boat to the lighthouse" });
  await done(agent);
  await lock(agent);
  await agent.getByLabel("Passphrase").fill(stage.world.passphrase);
  await agent.getByRole("button", { name: "Unlock", exact: true }).click();
  await agent.locator("#unlock-error:not(:empty)").waitFor();
  await stage.unlock(agent, "a slow boat to the lighthouse");
  assert.deepEqual(await get(page, "/patients?n=1"), ["finding 4711"]);
}

/** Two browsers of one member: the second one's change comes too late, catches up, and is repeated. */
export async function twoDevices(stage) {
  const { agent } = await begun(stage);
  await addPasskey(stage, agent, "first");
  await lock(agent);
  await agent.getByRole("button", { name: "Forget this device…" }).click();
  await agent.getByRole("button", { name: "Remove them" }).click();
  await agent.getByRole("heading", { name: "Set up this device" }).waitFor();
  // The file is older than what the server knows now.
  await agent.setInputFiles("#chosen", stage.world.files);
  await stage.unlock(agent);
  assert.equal((await ways(agent)).length, 1);
  const make = async () => {
    await agent.getByRole("button", { name: "Make a recovery code" }).click();
    await finish(agent, "I have written it down", { passphrase: stage.world.passphrase, label: "second" });
  };
  await make();
  await agent.getByText("changed on another device").waitFor();
  await agent.getByRole("button", { name: "Cancel" }).click();
  await make();
  await done(agent);
  assert.deepEqual((await ways(agent)).map((way) => way.split(" ")[0]), ["Device", "first", "second"]);
  stage.expectComplaints(/status of 4\d\d/);
}

export async function withoutPage(stage) {
  const agent = await stage.unlocked();
  await agent.getByRole("button", { name: "Make a recovery code" }).click();
  await finish(agent, "I have written it down", { passphrase: stage.world.passphrase });
  await agent.getByText("This needs a page of your application").waitFor();
  await agent.getByRole("button", { name: "Cancel" }).click();
  assert.equal((await ways(agent)).length, 1);
}

export async function needsPresent(stage) {
  const { agent } = await begun(stage);
  await agent.getByRole("button", { name: "Add a passkey" }).click();
  await finish(agent, "Add it", { passphrase: "not the passphrase" });
  const said = await agent.locator("#way-error:not(:empty)").innerText();
  await agent.keyboard.press("Escape");
  assert.equal((await ways(agent)).length, 1);
  return said;
}

/** The page hands on other answers than the server gave: each is refused, and nothing is changed. */
export async function lyingPage(stage) {
  const { page, agent } = await begun(stage);
  const lies = {
    evaluate: "({ first, second }) => ({ first: second, second: first })",
    offer: "({ kid, directory }) => ({ kid, directory: directory.map(([raw], at) => [raw, directory.at(at - 1)[1]]) })",
  };
  const said = [];
  for (const [route, lie] of Object.entries(lies)) {
    await page.evaluate(
      ([route, source]) => {
        const lie = (0, eval)(source);
        window.honest ??= window.fetch;
        window.fetch = async (request) => {
          const response = await window.honest(request);
          return request.url.endsWith(route) ? Response.json(lie(await response.json())) : response;
        };
      },
      [route, lie],
    );
    await agent.getByRole("button", { name: "Add a password" }).click();
    await finish(agent, "Add it", { passphrase: stage.world.passphrase, secret: "eleven herons" });
    said.push(await agent.locator("#way-error:not(:empty)").innerText());
    await agent.getByRole("button", { name: "Cancel" }).click();
  }
  assert.equal((await ways(agent)).length, 1);
  return said;
}

export async function scram(stage) {
  const page = await stage.application();
  const agent = await stage.unlocked();
  await lock(agent);
  const signed = asks(page);
  const card = agent.getByRole("region", { name: "Sign in to this application?" });
  await card.getByLabel("Password of your account").fill("not this one");
  await card.getByRole("button", { name: "Sign in and unlock" }).click();
  await card.getByText("do not open").waitFor();
  await card.getByLabel("Password of your account").fill(stage.world.password);
  await card.getByRole("button", { name: "Sign in and unlock" }).click();
  assert.equal(await signed, 204);
  assert.equal(await me(page), "weber");
  await agent.getByRole("heading", { name: "Open for weber" }).waitFor();
  assert.deepEqual(await get(page, "/patients?n=1"), ["finding 4711"]);
  // The server names a lower count: nothing is sent that depends on the password.
  await signOut(page);
  await page.evaluate(() => {
    const honest = window.fetch;
    window.sent = [];
    window.fetch = async (asked) => {
      const request = new Request(asked);
      window.sent.push(request.url.split("/member/")[1]);
      const response = await honest(request);
      if (!request.url.endsWith("scram/first")) return response;
      const { session, message } = await response.json();
      return Response.json({ session, message: message.replace(/i=\d+$/, "i=4096") });
    };
  });
  const again = asks(page);
  await card.getByLabel("Password of your account").fill(stage.world.password);
  await card.getByRole("button", { name: "Sign in and unlock" }).click();
  await card.getByText("another salt or iteration count").waitFor();
  await card.getByRole("button", { name: "Refuse" }).click();
  assert.equal(await again, "agent.refused");
  assert.equal((await page.evaluate(() => window.sent)).includes("scram/final"), false);
  assert.equal(await me(page), null);
}
