// Messages between pages: exactly one of the known ones, or nothing.
import assert from "node:assert/strict";
import { test } from "node:test";
import { MAX_ANSWER, readAnswer, readAsk, readChannelled } from "../../src/agent/messages.ts";

const id = "1";
const session = new Uint8Array(32);
const credential = new Uint8Array(16);
const told = { twinlock: 1, id, ask: "told", of: "2" };
const wanted = { twinlock: 1, id, answer: "wanted", call: "2" };
const TOLD = [
  { ...told, want: "offer", kid: new Uint8Array(16), statements: [[new Uint8Array(9), new Uint8Array(64)]] },
  { ...told, want: "evaluate", first: session, second: session },
  { ...told, want: "scram-first", message: "a b" },
  { ...told, want: "scram-final", message: "a b" },
  { ...told, want: "bundle", bundle: new Uint8Array(1) },
  { ...told, want: "everything", bundle: new Uint8Array(1) },
  { ...told, want: "groups", bundle: new Uint8Array(1) },
  { ...told, want: "register", nonce: session, exclude: [credential] },
  { ...told, want: "registered", login: session },
  { ...told, want: "change" },
];
const ASKS = [
  { twinlock: 1, id, ask: "status" },
  { twinlock: 1, id, ask: "hello", session },
  { twinlock: 1, id, ask: "release", bundle: new Uint8Array(1) },
  { twinlock: 1, id, ask: "cancel", of: "2" },
  { twinlock: 1, id, ask: "sign-in", nonce: session, allow: [credential, new Uint8Array(1023)] },
  { twinlock: 1, id, ask: "carry" },
  { twinlock: 1, id, ask: "unable", of: "2", code: "hardening.limit", message: "a b", hint: "" },
  ...TOLD,
];
const FAILED = { twinlock: 1, id, answer: "failed", code: "agent.refused", message: "no", hint: "" };
const ANSWERS = [
  { twinlock: 1, id, answer: "status", status: "ready" },
  { twinlock: 1, id, answer: "hello", hello: new Uint8Array(1) },
  { twinlock: 1, id, answer: "release", release: new Uint8Array(MAX_ANSWER) },
  { twinlock: 1, id, answer: "waiting" },
  { twinlock: 1, id, answer: "signed-in" },
  {
    ...{ twinlock: 1, id, answer: "sign-in", rawId: credential, attachment: "platform", clientData: session },
    ...{ authenticatorData: new Uint8Array(37), signature: session, userHandle: session },
  },
  { ...wanted, want: "offer", account: "a b" },
  { ...wanted, want: "evaluate", account: "a b", kid: credential, first: new Uint8Array(65), second: new Uint8Array(65) },
  { ...wanted, want: "scram-first", message: "a b" },
  { ...wanted, want: "scram-final", message: "a b" },
  { ...wanted, want: "bundle", name: "a b", kinds: ["password"] },
  { ...wanted, want: "everything", request: session },
  { ...wanted, want: "groups", hello: session, request: session },
  { ...wanted, want: "register", name: "a b" },
  {
    ...{ ...wanted, want: "registered", rawId: credential, attachment: "platform", clientData: session },
    ...{ attestation: session, transports: ["usb"] },
  },
  { ...wanted, want: "change", change: session },
  FAILED,
];
const CHANNELLED = [
  { to: "holder", relay: "r", origin: "https://a.example", message: ASKS[1] },
  { to: "relay", relay: "r", message: ANSWERS[0] },
  { to: "all", news: "changed" },
  { to: "holder", news: "step-down" },
  { to: "holder", news: "relay-gone", relay: "r" },
];
const FAMILIES = [
  [readAsk, ASKS],
  [readAnswer, ANSWERS],
  [readChannelled, CHANNELLED],
] as const;

/** Fields in which the empty text, a text with a space, an empty list or null may stand. */
const LENIENT: Readonly<Record<string, readonly unknown[]>> = {
  ...{ origin: ["", "a b"], message: ["", "a b"], hint: ["", "a b"], account: ["", "a b"], name: ["", "a b"] },
  ...{ attachment: [null, "", "a b"], userHandle: [null], allow: [[]], exclude: [[]], kinds: [[]], transports: [[]], statements: [[]] },
};

function spoilt(message: Record<string, unknown>): unknown[] {
  const without = Object.keys(message).map((name) => {
    const { [name]: _, ...rest } = message;
    return rest;
  });
  const wrong = Object.keys(message).flatMap((name) =>
    [null, undefined, 7, true, "", "a b", [], [7], {}, new Uint8Array(0), new ArrayBuffer(32), new DataView(new ArrayBuffer(32))]
      .filter((value) => !LENIENT[name]?.some((one) => JSON.stringify(one) === JSON.stringify(value)))
      .map((value) => ({ ...message, [name]: value })),
  );
  const hidden = Object.defineProperty({ ...message }, "extra", { value: 1, enumerable: false });
  const inherited = Object.assign(Object.create({ extra: 1 }), message) as unknown;
  return [...without, ...wrong, { ...message, extra: 1 }, { ...message, [Symbol("x")]: 1 }, hidden, inherited];
}

for (const [read, messages] of FAMILIES) {
  test(`${read.name} takes each message, without its version`, () => {
    for (const message of messages) assert.notEqual(read(structuredClone(message)), null, JSON.stringify(message));
  });

  test(`${read.name} drops a message with a field too few, too many or of another kind`, () => {
    for (const message of messages) {
      for (const wrong of spoilt(message)) assert.equal(read(wrong), null, JSON.stringify(wrong));
    }
  });
}

test("nothing but objects of fields is read", () => {
  for (const value of [null, undefined, 1, "x", [], new Map(), new Date(), Object.create(null) as unknown, () => 1]) {
    for (const [read] of FAMILIES) assert.equal(read(value), null);
  }
});

test("sizes and names have bounds", () => {
  const refused = [
    { twinlock: 1, id, ask: "hello", session: new Uint8Array(31) },
    { twinlock: 1, id, ask: "hello", session: new Uint8Array(33) },
    { twinlock: 1, id, ask: "hello", session: new Uint8Array(new SharedArrayBuffer(32)) },
    { twinlock: 1, id: "a".repeat(65), ask: "status" },
    { twinlock: 1, id, ask: "toString" },
    { twinlock: 1, id, ask: "__proto__" },
  ];
  const signIn = { twinlock: 1, id, ask: "sign-in", nonce: session, allow: [] };
  const offered = { ...TOLD[0], statements: [] };
  refused.push(
    ...[[new Uint8Array(15)], [new Uint8Array(1024)], Array(65).fill(credential), [credential, "x"], [, credential]].map(
      (allow) => ({ ...signIn, allow }) as never,
    ),
    ...[[[session]], [[session, session]], [[session, new Uint8Array(64), session]], [[new Uint8Array(4097), new Uint8Array(64)]]].map(
      (statements) => ({ ...offered, statements }) as never,
    ),
    ...["toString", "__proto__", "hello"].map((want) => ({ ...told, want }) as never),
  );
  for (const message of refused) assert.equal(readAsk(message), null, JSON.stringify(message));
  assert.equal(readAnswer({ ...ANSWERS[1], hello: new Uint8Array(MAX_ANSWER + 1) }), null);
  assert.equal(readAnswer({ ...FAILED, message: "a".repeat(2001) }), null);
  assert.equal(readAnswer({ ...FAILED, code: "Not A Code" }), null);
});
