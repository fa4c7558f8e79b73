// Signing in with a passkey: one touch in the agent's window signs in here and unlocks there.

import { createTwinlock, TwinlockError } from "/twinlock/client.js";

const agentUrl = `${document.querySelector('meta[name="twinlock-agent"]').content}/`;
const twinlock = createTwinlock({ agentUrl, member: "/twinlock/member/" });
const button = document.getElementById("passkey");
const said = document.getElementById("passkey-said");

const WAITS = {
  "no-agent": "Your agent opens in a window of its own …",
  deciding: "Go on in your agent's window.",
};

twinlock.addEventListener("statechange", () => {
  said.textContent = WAITS[twinlock.state] ?? said.textContent;
});

async function signIn() {
  button.disabled = true;
  said.textContent = WAITS["no-agent"];
  try {
    const response = await twinlock.signIn();
    const answer = await response.json();
    if (response.ok) location.assign(answer.next);
    else said.textContent = `${answer.detail} ${answer.hint ?? ""}`;
  } catch (error) {
    said.textContent = error instanceof TwinlockError ? `${error.message} ${error.hint}` : String(error);
  } finally {
    button.disabled = false;
  }
}

button.addEventListener("click", () => void signIn());
document.getElementById("by-passkey").hidden = false;
