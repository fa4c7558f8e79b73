// The relay: an invisible frame in the application's page. It passes questions to the agent's window
// and answers back, and says for each question which origin it came from. It holds no keys, shows
// nothing and decides nothing.

import {
  type Answer,
  type Ask,
  CHANNEL,
  posted,
  readAsk,
  READY_LOCK,
  readChannelled,
  type Status,
  WINDOW_LOCK,
} from "./messages.ts";
import { allowedOrigins } from "./origins.ts";

/** Milliseconds between looks at the locks while no agent answers: closing a window tells nobody. */
const LOOK_EVERY = 1000;
/** Questions under way in one relay; more are refused, so that a page cannot fill memory. */
const MOST_UNDER_WAY = 64;

/** A question that waits for the agent; one to sign in waits at a locked agent, too. */
interface UnderWay {
  readonly origin: string;
  readonly isSignIn: boolean;
}

const origins = allowedOrigins(document, location.origin);
const relay = crypto.randomUUID();
const channel = new BroadcastChannel(CHANNEL);
const underWay = new Map<string, UnderWay>();
let carrying: { readonly id: string; readonly origin: string } | null = null;
let parentOrigin: string | null = null;
let told: Status | null = null;

window.addEventListener("message", (event) => {
  // A top-level relay is its own parent: it answers nobody.
  if (event.source !== window.parent || window.parent === window) return;
  if (!origins.has(event.origin)) return;
  const ask = readAsk(event.data);
  if (ask === null) return;
  parentOrigin = event.origin;
  void take(ask, event.origin);
});

async function take(ask: Ask, origin: string): Promise<void> {
  const status = await agentStatus();
  if (ask.ask === "status") {
    told = status;
    return answer({ answer: "status", id: ask.id, status }, origin);
  }
  if (ask.ask === "cancel") {
    if (underWay.delete(ask.of)) toHolder(ask, origin);
    return;
  }
  if (ask.ask === "told" || ask.ask === "unable") return toHolder(ask, origin);
  if (ask.ask === "carry") {
    carrying = { id: ask.id, origin };
    toHolder(ask, origin);
    return tellStatus();
  }
  const isSignIn = ask.ask === "sign-in";
  if (status === "no-agent") return fail(ask.id, origin, "agent.none", "No agent is open in this browser.");
  if (status === "locked" && !isSignIn) return fail(ask.id, origin, "agent.locked", "The agent is locked.");
  if (underWay.has(ask.id)) return;
  if (underWay.size >= MOST_UNDER_WAY) {
    return fail(ask.id, origin, "agent.busy", "Too many questions are waiting for the agent.");
  }
  underWay.set(ask.id, { origin, isSignIn });
  toHolder(ask, origin);
}

channel.addEventListener("message", (event) => {
  const message = readChannelled(event.data);
  if (message?.to === "all") {
    // A window that opened knows of no page yet.
    if (carrying !== null) toHolder({ ask: "carry", id: carrying.id }, carrying.origin);
    void tellStatus();
  }
  if (message?.to !== "relay" || message.relay !== relay) return;
  if (message.message.answer === "wanted") {
    if (message.message.id === carrying?.id) answer(message.message, carrying.origin);
    return;
  }
  const { id } = message.message;
  const waiting = underWay.get(id);
  if (waiting === undefined) return;
  if (message.message.answer !== "waiting") underWay.delete(id);
  answer(message.message, waiting.origin);
  // Other windows that are locked show the same question.
  if (waiting.isSignIn && !underWay.has(id)) toHolder({ ask: "cancel", id: "0", of: id }, waiting.origin);
});

window.addEventListener("pagehide", () => {
  channel.postMessage({ to: "holder", news: "relay-gone", relay });
});

/** Where the agent is, by the locks that windows hold: no window can forget to say goodbye. */
async function agentStatus(): Promise<Status> {
  const { held } = await navigator.locks.query();
  // Relays that wait for the window's end get the same lock for a moment, but shared.
  if (held?.some((lock) => lock.name === READY_LOCK && lock.mode === "exclusive")) return "ready";
  return held?.some((lock) => lock.name === WINDOW_LOCK) ? "locked" : "no-agent";
}

/** Tell the page what changed; whoever waits for a window that is gone, hears it. */
async function tellStatus(): Promise<void> {
  const status = await agentStatus();
  if (status === "ready") watchAgent();
  else failAll(status === "no-agent");
  if (parentOrigin === null || status === told) return;
  told = status;
  answer({ answer: "status", id: "0", status }, parentOrigin);
}

let watching = false;

/** Be told when the holder goes, also when it crashes: then, and only then, this lock is granted. */
function watchAgent(): void {
  if (watching) return;
  watching = true;
  void navigator.locks.request(READY_LOCK, { mode: "shared" }, () => failAll(false)).then(() => {
    watching = false;
    return tellStatus();
  });
}

/** What waits for an unlocked agent is not answered any more; what signs in, once no window is left. */
function failAll(isGone: boolean): void {
  for (const [id, { origin, isSignIn }] of [...underWay]) {
    if (isGone || !isSignIn) fail(id, origin, "agent.locked", "The agent was locked.");
  }
}

function toHolder(ask: Ask, origin: string): void {
  channel.postMessage({ to: "holder", relay, origin, message: posted(ask) });
}

function fail(id: string, origin: string, code: string, message: string): void {
  underWay.delete(id);
  answer({ answer: "failed", id, code, message, hint: "Open the agent, unlock it, and try again." }, origin);
}

function answer(message: Answer, origin: string): void {
  window.parent.postMessage(posted(message), origin);
}

void tellStatus();
setInterval(() => {
  if (parentOrigin !== null && told !== "ready") void tellStatus();
}, LOOK_EVERY);
