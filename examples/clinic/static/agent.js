// The page's side of the agent: one client, one banner, and what becomes of a request.

import { createTwinlock, TwinlockError } from "/twinlock/client.js";

const agentUrl = `${document.querySelector('meta[name="twinlock-agent"]').content}/`;
const twinlock = createTwinlock({ agentUrl, member: "/twinlock/member/" });

const banner = document.querySelector("[data-agent]");
const text = banner.querySelector(".agent-text");
const openButton = banner.querySelector(".agent-open");
const againButton = banner.querySelector(".agent-again");

const SAID = {
  starting: "Looking for your agent …",
  missing: "Your agent is not open. What is sealed stays sealed until it is.",
  locked: "Your agent is locked. Unlock it in its window, and this page fills in.",
  waiting: "Your agent asks for your decision, in its window.",
  ready: "Your agent is unlocked and answers for you.",
  refused: "Your agent refused. Nothing was opened.",
};
const FROM_CLIENT = { "no-agent": "missing", locked: "locked", deciding: "waiting", ready: "ready" };

/** Say where things are; `detail` replaces the usual words. */
function say(state, detail = SAID[state]) {
  banner.dataset.agent = state;
  text.textContent = detail;
  openButton.hidden = state !== "missing" && state !== "locked";
  openButton.textContent = state === "locked" ? "Open another window" : "Open your agent";
  againButton.hidden = state !== "refused" && state !== "failed";
}

openButton.addEventListener("click", () => {
  if (!twinlock.openAgent()) say("missing", "This browser blocked the agent's window. Allow it, and try again.");
});

/** What is wrong, in a sentence for the person. */
export function problemText(error) {
  if (!(error instanceof Error)) return String(error);
  return error.hint ? `${error.message} ${error.hint}` : error.message;
}

/** Make an unsafe request, with the release that it needs. For a click of the person only. */
export async function openSealed(address, init) {
  try {
    return await twinlock.open(address, init);
  } finally {
    if (twinlock.agent === "ready") say("ready");
  }
}

/**
 * Sealed data of one address, shown while the agent is unlocked. `opened` gets the answer, `closed`
 * hides it again, `noWayIn` is called when nothing of it is sealed for the member.
 */
export class Sealed {
  #options;
  #shown = false;
  #running = false;
  #wasReady = false;
  #lockedMeanwhile = false;

  constructor(options) {
    this.#options = options;
    twinlock.addEventListener("statechange", () => {
      const state = FROM_CLIENT[twinlock.state];
      if (state) say(state);
    });
    twinlock.addEventListener("agentchange", () => this.#agentChanged());
    againButton.addEventListener("click", () => void this.load());
  }

  /** Load now, and again whenever the agent was locked in between. */
  start() {
    // Where the server asks for nothing, the agent's place is known from here alone.
    twinlock.status().catch((error) => this.#fail(error));
    void this.load();
  }

  /** Ask for the data; the client waits for the agent where it has to. */
  async load() {
    if (this.#running) return;
    this.#running = true;
    try {
      await this.#take(await twinlock.fetch(this.#options.address));
    } catch (error) {
      this.#fail(error);
    } finally {
      this.#running = false;
    }
    if (this.#lockedMeanwhile) this.#hide();
  }

  async #take(response) {
    const body = await response.json();
    if (response.status === 401) {
      location.assign("/login");
    } else if (response.ok) {
      this.#shown = true;
      this.#options.opened(body);
      say(FROM_CLIENT[twinlock.agent] ?? "starting");
    } else if (body.code === "record.no-lock") {
      this.#options.noWayIn();
      say("ready", "Your agent is unlocked. Nothing here is sealed for a group of yours.");
    } else {
      this.#options.closed();
      say("failed", `${body.detail} ${body.hint ?? ""}`);
    }
  }

  #fail(error) {
    this.#shown = false;
    this.#options.closed();
    if (error instanceof TwinlockError && error.code === "agent.refused") say("refused");
    else if (error instanceof TwinlockError && error.code === "agent.not-opened") say("missing");
    else say("failed", problemText(error));
  }

  /** Locking the agent is a person's way to say "no more": hide what was shown, and ask again. */
  #hide() {
    this.#lockedMeanwhile = this.#running;
    if (this.#running) return;
    this.#shown = false;
    this.#options.closed();
    void this.load();
  }

  #agentChanged() {
    const wasReady = this.#wasReady;
    this.#wasReady = twinlock.agent === "ready";
    if (this.#wasReady) {
      if (this.#shown) say("ready");
      else void this.load();
    } else if (wasReady) {
      this.#hide();
    } else if (!this.#running) {
      say(FROM_CLIENT[twinlock.agent]);
    }
  }
}
