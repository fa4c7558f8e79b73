// Messages between pages: exactly one of the known ones, or nothing.
import assert from "node:assert/strict";
import { test } from "node:test";
import { MAX_ANSWER, readAnswer, readAsk, readChannelled } from "../../src/agent/messages.ts";

const id = "1";
const session = new Uint8Array(32);
const ASKS = [
  { twinlock: 1, id, ask: "status" },
  { twinlock: 1, id, ask: "hello", session },
  { twinlock: 1, id, ask: "release", bundle: new Uint8Array(1) },
  { twinlock: 1, id, ask: "cancel", of: "2" },
];
const ANSWERS = [
  { twinlock: 1, id, answer: "status", status: "ready" },
  { twinlock: 1, id, answer: "hello", hello: new Uint8Array(1) },
  { twinlock: 1, id, answer: "release", release: new Uint8Array(MAX_ANSWER) },
  { twinlock: 1, id, answer: "waiting" },
  { twinlock: 1, id, answer: "failed", code: "agent.refused", message: "no", hint: "" },
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

function spoilt(message: Record<string, unknown>): unknown[] {
  const without = Object.keys(message).map((name) => {
    const { [name]: _, ...rest } = message;
    return rest;
  });
  const wrong = Object.keys(message).flatMap((name) =>
    [null, undefined, 7, true, "", "a b", [], {}, new Uint8Array(0), new ArrayBuffer(32), new DataView(new ArrayBuffer(32))].map(
      (value) => ({ ...message, [name]: value }),
    ),
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
      for (const wrong of spoilt(message)) {
        // An empty text is a text where any text may stand.
        const { origin, message: said, hint } = wrong as Record<string, unknown>;
        if (origin === "" || said === "" || hint === "" || said === "a b" || hint === "a b" || origin === "a b") continue;
        assert.equal(read(wrong), null, JSON.stringify(wrong));
      }
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
  for (const message of refused) assert.equal(readAsk(message), null);
  assert.equal(readAnswer({ ...ANSWERS[1], hello: new Uint8Array(MAX_ANSWER + 1) }), null);
  assert.equal(readAnswer({ ...ANSWERS[4], message: "a".repeat(2001) }), null);
  assert.equal(readAnswer({ ...ANSWERS[4], code: "Not A Code" }), null);
});
