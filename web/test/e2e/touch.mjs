// What scenarios of ways in share: an authenticator, a signed-in page, an added passkey.

/** Give a page an authenticator that verifies its user and touches by itself. */
export async function authenticator(page, more = {}) {
  const session = await page.context().newCDPSession(page);
  await session.send("WebAuthn.enable");
  const options = {
    ...{ protocol: "ctap2", ctap2Version: "ctap2_1", transport: "internal", hasResidentKey: true },
    ...{ hasUserVerification: true, isUserVerified: true, hasPrf: true, automaticPresenceSimulation: true, ...more },
  };
  const { authenticatorId } = await session.send("WebAuthn.addVirtualAuthenticator", { options });
  return {
    credentials: async () => (await session.send("WebAuthn.getCredentials", { authenticatorId })).credentials,
    lose: () => session.send("WebAuthn.removeVirtualAuthenticator", { authenticatorId }),
  };
}

export const ways = async (agent) => (await agent.locator("#ways > li").allInnerTexts()).map((text) => text.replace(/\s+/g, " "));
export const lock = (agent) => agent.getByRole("button", { name: "Lock", exact: true }).click();
export const signInByForm = (page) => page.evaluate(() => fetch("/sign-in-by-form", { method: "POST" }).then(() => undefined));
export const me = (page) => page.evaluate(async () => (await fetch("/me")).json());
export const signOut = (page) => page.evaluate(() => fetch("/sign-out").then(() => undefined));

/** Fill in a dialog of ways in, and finish it. */
export async function finish(agent, button, { passphrase, secret, label } = {}) {
  const dialog = agent.getByRole("dialog");
  if (passphrase) await dialog.locator("#present-passphrase").fill(passphrase);
  if (secret) for (const id of ["#new-secret", "#new-secret-again"]) await dialog.locator(id).fill(secret);
  if (label) await dialog.getByLabel("What you call it").fill(label);
  await dialog.getByRole("button", { name: button }).click();
}

export async function done(agent) {
  const dialog = agent.locator("#way-dialog");
  await Promise.race([
    dialog.waitFor({ state: "hidden" }),
    agent.locator("#way-error:not(:empty)").waitFor().then(async () => {
      throw new Error(await agent.locator("#way-error").innerText());
    }),
  ]);
}

export async function addPasskey(stage, agent, label = "this computer") {
  await agent.getByRole("button", { name: "Add a passkey" }).click();
  await finish(agent, "Add it", { passphrase: stage.world.passphrase, label });
  await done(agent);
}

/** The application, signed in by its own form, and an unlocked agent with an authenticator. */
export async function begun(stage) {
  const page = await stage.application();
  await signInByForm(page);
  const agent = await stage.unlocked();
  return { page, agent, key: await authenticator(agent) };
}

/** Ask to be signed in, as a click in the page does. */
export const asks = (page, given = {}) =>
  page.evaluate(
    (given) => window.twinlock.signIn(given).then((response) => response.status, (error) => error.code),
    given,
  );
