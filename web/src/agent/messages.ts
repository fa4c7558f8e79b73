// The messages between an application's page, the relay and the agent's window. Every message is
// checked field by field where it arrives; one with an unknown field, kind or size is dropped whole.

/** The most bytes of a request bundle (SPEC 1, caps). */
export const MAX_BUNDLE = 64 << 20;
/** The most bytes of a hello or release (SPEC 1, caps). */
export const MAX_ANSWER = 1 << 20;
export const SESSION_SIZE = 32;
/** The most characters of an error's message or hint. */
export const MOST_TEXT = 2000;

/** Where the agent is: no window, a locked one, or one that answers. */
export type Status = "no-agent" | "locked" | "ready";

/** What an application may ask. `id` is the application's own name for the question. */
export type Ask =
  | { readonly ask: "status"; readonly id: string }
  | { readonly ask: "hello"; readonly id: string; readonly session: Uint8Array }
  | { readonly ask: "release"; readonly id: string; readonly bundle: Uint8Array }
  | { readonly ask: "cancel"; readonly id: string; readonly of: string };

/** What it is answered. `waiting` comes before the answer where a person has to decide. */
export type Answer =
  | { readonly answer: "status"; readonly id: string; readonly status: Status }
  | { readonly answer: "hello"; readonly id: string; readonly hello: Uint8Array }
  | { readonly answer: "release"; readonly id: string; readonly release: Uint8Array }
  | { readonly answer: "waiting"; readonly id: string }
  | { readonly answer: "failed"; readonly id: string; readonly code: string; readonly message: string; readonly hint: string };

/** A message as it is posted: the version, and the rest. */
export type Posted<T> = T & { readonly twinlock: 1 };

type Check = (value: unknown) => boolean;
type Fields = Readonly<Record<string, Check>>;

const ID = /^[A-Za-z0-9_-]{1,64}$/;
const CODE = /^[a-z-]{1,40}\.[a-z0-9-]{1,60}$/;

const isId: Check = (value) => typeof value === "string" && ID.test(value);

/** Whether a value is an error's code: `family.subject`. */
export function isCode(value: unknown): value is string {
  return typeof value === "string" && CODE.test(value);
}

const isStatus: Check = (value) => value === "no-agent" || value === "locked" || value === "ready";
const isText =
  (most: number): Check =>
  (value) =>
    typeof value === "string" && value.length <= most;
const isBytes =
  (least: number, most: number): Check =>
  (value) =>
    value instanceof Uint8Array &&
    value.buffer instanceof ArrayBuffer &&
    value.byteLength >= least &&
    value.byteLength <= most;

const ASKS: Readonly<Record<Ask["ask"], Fields>> = {
  status: {},
  hello: { session: isBytes(SESSION_SIZE, SESSION_SIZE) },
  release: { bundle: isBytes(1, MAX_BUNDLE) },
  cancel: { of: isId },
};

const ANSWERS: Readonly<Record<Answer["answer"], Fields>> = {
  status: { status: isStatus },
  hello: { hello: isBytes(1, MAX_ANSWER) },
  release: { release: isBytes(1, MAX_ANSWER) },
  waiting: {},
  failed: { code: isCode, message: isText(MOST_TEXT), hint: isText(MOST_TEXT) },
};

/** Return a question of an application if it is exactly one, else null. */
export function readAsk(data: unknown): Ask | null {
  return read<Ask>(data, "ask", ASKS);
}

/** Return an answer if it is exactly one, else null. An answer nobody asked for has the id "0". */
export function readAnswer(data: unknown): Answer | null {
  return read<Answer>(data, "answer", ANSWERS);
}

function read<T>(data: unknown, kindField: string, kinds: Readonly<Record<string, Fields>>): T | null {
  if (!isRecord(data) || data["twinlock"] !== 1 || !isId(data["id"])) return null;
  const kind = data[kindField];
  if (typeof kind !== "string" || !Object.hasOwn(kinds, kind)) return null;
  const fields = kinds[kind] as Fields;
  const names = Object.keys(fields);
  if (Reflect.ownKeys(data).length !== names.length + 3) return null;
  if (!names.every((name) => Object.hasOwn(data, name) && fields[name]?.(data[name]))) return null;
  const { twinlock: _, ...message } = data;
  return message as T;
}

/** Whether a value is an object of fields, as structured clones are; arrays and classes are not. */
export function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && Object.getPrototypeOf(value) === Object.prototype;
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
  if (typeof relay !== "string" || !ID.test(relay)) return null;
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
