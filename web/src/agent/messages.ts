// The messages between an application's page, the relay and the agent's window. Every message is
// checked field by field where it arrives; one with an unknown field, kind or size is dropped whole.

import {
  ASSERTION,
  type Assertion,
  isCredentialList,
  MOST_TEXT,
  TELLS,
  type Told,
  UNABLE,
  type Want,
  type WantName,
  WANTS,
} from "./carrying.ts";
import { type Check, type Fields, isBytes, isCode, isId, isRecord, isText, readMessage } from "./fields.ts";

/** The most bytes of a request bundle (SPEC 1, caps). */
export const MAX_BUNDLE = 64 << 20;
/** The most bytes of a hello or release (SPEC 1, caps). */
export const MAX_ANSWER = 1 << 20;
export const SESSION_SIZE = 32;

/** Where the agent is: no window, a locked one, or one that answers. */
export type Status = "no-agent" | "locked" | "ready";

/** What an application may ask. `id` is the application's own name for the question. */
export type Ask =
  | { readonly ask: "status"; readonly id: string }
  | { readonly ask: "hello"; readonly id: string; readonly session: Uint8Array }
  | { readonly ask: "release"; readonly id: string; readonly bundle: Uint8Array }
  | { readonly ask: "cancel"; readonly id: string; readonly of: string }
  /** Sign in with one touch: the server's nonce, and the passkeys that it knows of this member. */
  | { readonly ask: "sign-in"; readonly id: string; readonly nonce: Uint8Array; readonly allow: readonly Uint8Array[] }
  /** This page fetches for the agent; `id` names the offer in what the agent then wants. */
  | { readonly ask: "carry"; readonly id: string }
  | TellsOf<WantName>
  | { readonly ask: "unable"; readonly id: string; readonly of: string; readonly code: string; readonly message: string; readonly hint: string };

/** What came of something that the agent wanted: `of` is its call. */
export type TellsOf<K extends WantName> = K extends WantName
  ? { readonly ask: "told"; readonly id: string; readonly of: string; readonly want: K } & Told<K>
  : never;

/** A page's question that the member answers, or a telling: everything but what the relay does itself. */
export type AskName = Exclude<Ask["ask"], "told">;

/** What it is answered. `waiting` comes before the answer where a person has to decide. */
export type Answer =
  | { readonly answer: "status"; readonly id: string; readonly status: Status }
  | { readonly answer: "hello"; readonly id: string; readonly hello: Uint8Array }
  | { readonly answer: "release"; readonly id: string; readonly release: Uint8Array }
  | { readonly answer: "waiting"; readonly id: string }
  | ({ readonly answer: "sign-in"; readonly id: string } & Assertion)
  /** Signed in by an exchange that this page carried (SCRAM). */
  | { readonly answer: "signed-in"; readonly id: string }
  | ({ readonly answer: "wanted"; readonly id: string; readonly call: string } & Want)
  | { readonly answer: "failed"; readonly id: string; readonly code: string; readonly message: string; readonly hint: string };

/** A message as it is posted: the version, and the rest. */
export type Posted<T> = T & { readonly twinlock: 1 };

const isStatus: Check = (value) => value === "no-agent" || value === "locked" || value === "ready";
const isNonce = isBytes(SESSION_SIZE, SESSION_SIZE);

const ASKS: Readonly<Record<AskName, Fields>> = {
  status: {},
  hello: { session: isNonce },
  release: { bundle: isBytes(1, MAX_BUNDLE) },
  cancel: { of: isId },
  "sign-in": { nonce: isNonce, allow: isCredentialList },
  carry: {},
  unable: UNABLE,
};

const ANSWERS: Readonly<Record<Exclude<Answer["answer"], "wanted">, Fields>> = {
  status: { status: isStatus },
  hello: { hello: isBytes(1, MAX_ANSWER) },
  release: { release: isBytes(1, MAX_ANSWER) },
  waiting: {},
  "sign-in": ASSERTION,
  "signed-in": {},
  failed: { code: isCode, message: isText(MOST_TEXT), hint: isText(MOST_TEXT) },
};

/** Return a question of an application if it is exactly one, else null. */
export function readAsk(data: unknown): Ask | null {
  const told = isRecord(data) && data["ask"] === "told" ? data["want"] : null;
  const kinds = isWant(told) ? { told: { want: () => true, of: isId, ...TELLS[told] } } : ASKS;
  return readMessage<Ask>(data, "ask", kinds);
}

/** Return an answer if it is exactly one, else null. An answer nobody asked for has the id "0". */
export function readAnswer(data: unknown): Answer | null {
  const wanted = isRecord(data) && data["answer"] === "wanted" ? data["want"] : null;
  const kinds = isWant(wanted) ? { wanted: { want: () => true, call: isId, ...WANTS[wanted] } } : ANSWERS;
  return readMessage<Answer>(data, "answer", kinds);
}

function isWant(name: unknown): name is WantName {
  return typeof name === "string" && Object.hasOwn(WANTS, name);
}

// --- on the agent's own origin: relays and windows ---------------------------------------------

/** The channel between relays and windows; only pages of the agent's origin can open it. */
export const CHANNEL = "twinlock/1";
/** Shared by every open window. */
export const WINDOW_LOCK = "twinlock/window";
/** Held by the one window that may read the member's state and unlock it. */
export const HOLDER_LOCK = "twinlock/holder";
/** Held by the same window while it is unlocked and answers. */
export const READY_LOCK = "twinlock/ready";

/** What goes over the channel. `origin` was verified by the relay and is checked again. */
export type Channelled =
  | { readonly to: "holder"; readonly relay: string; readonly origin: string; readonly message: Ask }
  | { readonly to: "relay"; readonly relay: string; readonly message: Answer }
  | { readonly to: "all"; readonly news: "changed" }
  | { readonly to: "holder"; readonly news: "step-down" }
  | { readonly to: "holder"; readonly news: "relay-gone"; readonly relay: string };

/** Return a message of the channel if it is exactly one, else null. */
export function readChannelled(data: unknown): Channelled | null {
  if (!isRecord(data)) return null;
  const size = Reflect.ownKeys(data).length;
  const { to, relay, origin, message, news } = data;
  if (to === "all") return size === 2 && news === "changed" ? { to, news } : null;
  if (to === "holder" && news === "step-down") return size === 2 ? { to, news } : null;
  if (typeof relay !== "string" || !isId(relay)) return null;
  if (to === "holder" && news === "relay-gone") return size === 3 ? { to, news, relay } : null;
  if (to === "holder" && size === 4 && typeof origin === "string") {
    const ask = readAsk(message);
    return ask && { to, relay, origin, message: ask };
  }
  if (to === "relay" && size === 3) {
    const answer = readAnswer(message);
    return answer && { to, relay, message: answer };
  }
  return null;
}

/** Add the version to a message, for posting. */
export function posted<T extends object>(message: T): Posted<T> {
  return { twinlock: 1, ...message };
}
