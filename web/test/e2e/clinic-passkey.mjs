// What `make demo-web W=--check` tries in a browser: a passkey is added, one touch signs in and opens the
// ward's list, and without the authenticator the other way in still does.
//
// node web/test/e2e/clinic-passkey.mjs JSON, with {origin, home, name, password, passphrase, chromium};
// prints a line of JSON for each check: {what, seen, held}. The authenticator is Chromium's virtual one.
import { chromium } from "playwright-core";

const given = JSON.parse(process.argv[2]);
const OPEN = '[data-field="diagnosis"][data-state="open"]';
const browser = await chromium.launch({
  executablePath: given.chromium,
  args: ["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-dev-shm-usage"],
});

function check(what, seen, held) {
  console.log(JSON.stringify({ what, seen: String(seen), held }));
}

async function filled(page) {
  await page.locator(OPEN).first().waitFor();
  return page.locator(OPEN).count();
}

async function authenticator(agent) {
  const session = await agent.context().newCDPSession(agent);
  await session.send("WebAuthn.enable");
  const options = {
    ...{ protocol: "ctap2", ctap2Version: "ctap2_1", transport: "internal", hasResidentKey: true },
    ...{ hasUserVerification: true, isUserVerified: true, hasPrf: true, automaticPresenceSimulation: true },
  };
  const { authenticatorId } = await session.send("WebAuthn.addVirtualAuthenticator", { options });
  return { lose: () => session.send("WebAuthn.removeVirtualAuthenticator", { authenticatorId }) };
}

async function unlock(agent) {
  await agent.getByLabel("Passphrase").fill(given.passphrase);
  await agent.getByRole("button", { name: "Unlock", exact: true }).click();
  await agent.locator("#open").waitFor();
}

/** Sign in by the form, unlock with both files, add a passkey. */
async function begin(context) {
  const page = await context.newPage();
  await page.goto(`${given.origin}/patients`);
  await page.getByLabel("User name").fill(given.name);
  await page.getByLabel("Password").fill(given.password);
  await page.getByRole("button", { name: "Sign in", exact: true }).click();
  const opening = context.waitForEvent("page");
  await page.getByRole("button", { name: "Open your agent" }).click();
  const agent = await opening;
  await agent.locator("#files").waitFor();
  await agent.locator("#chosen").setInputFiles(["member", "key"].map((kind) => `${given.home}/${given.name}.${kind}`));
  await unlock(agent);
  await filled(page);
  const key = await authenticator(agent);
  await agent.getByRole("button", { name: "Add a passkey" }).click();
  await agent.locator("#present-passphrase").fill(given.passphrase);
  await agent.getByLabel("What you call it").fill("this computer");
  const add = () => agent.getByRole("button", { name: "Add it" }).click();
  await add();
  // After an earlier check the server knows of more ways in than the files that were chosen.
  const dialog = agent.locator("#way-dialog");
  const late = agent.getByText("changed on another device");
  await Promise.race([dialog.waitFor({ state: "hidden" }), late.waitFor().then(add)]);
  await dialog.waitFor({ state: "hidden" });
  return { page, agent, key };
}

/** Sign out, lock, and press the button to sign in. */
async function away(page, agent) {
  await agent.getByRole("button", { name: "Lock", exact: true }).click();
  await page.bringToFront();
  await page.getByRole("button", { name: "Sign out" }).click();
  await page.getByRole("button", { name: "Sign in with a passkey" }).click();
  await agent.bringToFront();
}

try {
  const context = await browser.newContext();
  context.setDefaultTimeout(60_000);
  const { page, agent, key } = await begin(context);
  const ways = await agent.locator("#ways > li").count();
  check(`${given.name} adds a passkey`, `${ways} ways in`, ways > 1);

  await away(page, agent);
  await agent.getByRole("button", { name: "Sign in and unlock" }).click();
  await page.getByRole("heading", { name: "Patients" }).waitFor();
  const opened = await filled(page);
  check("one touch signs in and opens the list", `${opened} open`, opened > 0);

  await key.lose();
  // Another one, which does not have the passkey: without any, the browser would wait for one.
  await authenticator(agent);
  await away(page, agent);
  await agent.getByRole("button", { name: "Sign in and unlock" }).click();
  const said = await agent.locator("#sign-in-error:not(:empty)").innerText();
  await agent.getByRole("button", { name: "Refuse" }).click();
  await page.getByText("The member refused").waitFor();
  await page.getByLabel("User name").fill(given.name);
  await page.getByLabel("Password").fill(given.password);
  await page.getByRole("button", { name: "Sign in", exact: true }).click();
  await page.getByRole("heading", { name: "Patients" }).waitFor();
  const sealed = await page.locator(OPEN).count();
  await agent.bringToFront();
  await unlock(agent);
  const again = await filled(page);
  check("the passkey is lost", `${said.split(".")[0]}; key file and passphrase: ${again} open`, sealed === 0 && again > 0);
} finally {
  await browser.close();
}
