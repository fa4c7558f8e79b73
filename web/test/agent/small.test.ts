// Small parts of the window that need no page: the guard, idleness, origins, chosen files, errors.
import assert from "node:assert/strict";
import { test } from "node:test";
import { choose, NOTHING_CHOSEN } from "../../src/agent/chosen.ts";
import { asFailure } from "../../src/agent/failure.ts";
import { Guard, STEADY } from "../../src/agent/guard.ts";
import { Idle, MOST_HOURS_AWAY } from "../../src/agent/idle.ts";
import { allowedOrigins } from "../../src/agent/origins.ts";

const MINUTE = 60_000;

test("a press counts after a steady moment in front, and every disturbance begins it anew", () => {
  let now = 0;
  const guard = new Guard(() => now);
  assert.equal(guard.left(), null);
  guard.disturbed(true);
  assert.equal(guard.left(), STEADY);
  now = STEADY - 1;
  assert.equal(guard.left(), 1);
  guard.disturbed(true);
  assert.equal(guard.left(), STEADY);
  now += STEADY;
  assert.equal(guard.left(), 0);
  guard.disturbed(false);
  now += STEADY * 10;
  assert.equal(guard.left(), null);
});

test("requests of an application keep the agent open, but not for ever", () => {
  let now = 0;
  const idle = new Idle(() => now, 15);
  now = 15 * MINUTE - 1;
  assert.equal(idle.isOver(), false);
  now += 1;
  assert.equal(idle.isOver(), true);
  const asked = new Idle(() => now, 15);
  const end = now + MOST_HOURS_AWAY * 60 * MINUTE;
  while (now + 10 * MINUTE < end) {
    now += 10 * MINUTE;
    asked.asked();
    assert.equal(asked.isOver(), false);
  }
  now = end;
  asked.asked();
  assert.equal(asked.isOver(), true);
  asked.present();
  assert.equal(asked.isOver(), false);
});

function page(content: string | null): Document {
  return { querySelector: () => (content === null ? null : { getAttribute: () => content }) } as unknown as Document;
}

test("an origin list that is not one is taken for an empty one", () => {
  const own = "https://agent.example";
  const good = "https://clinic.example http://app.localhost:8400";
  assert.deepEqual([...allowedOrigins(page(good), own)], good.split(" "));
  for (const content of [
    null,
    "",
    "{{origins}}",
    "*",
    `${good} null`,
    `${good} http://clinic.example`,
    `${good} https://clinic.example/`,
    `${good} https://CLINIC.example`,
    `${good} https://clinic.example:443`,
    `${good} ${own}`,
    `${good} javascript:alert(1)`,
  ]) {
    assert.deepEqual([...allowedOrigins(page(content), own)], []);
  }
});

const KEY = "twinlock-device-key-1\nAAAA\n";
const STATE = new Uint8Array([0x87, 0x77, ...new TextEncoder().encode("twinlock/v1/agent-state"), 0]);

test("the two files are told apart by content, whatever their names", async () => {
  const first = await choose(NOTHING_CHOSEN, [new File([STATE], "weber.member"), new File(["hello"], "a.key")]);
  assert.deepEqual([first.name, first.state?.length, first.deviceKeyFile], ["weber", STATE.length, null]);
  assert.deepEqual(first.said.map(({ good }) => good), [true, false]);
  const both = await choose(first, [new File([KEY], "notes.txt")]);
  assert.deepEqual([both.deviceKeyFile?.length, both.state?.length], [KEY.length, STATE.length]);
});

test("files that are no member's are not taken", async () => {
  const foreign = [
    new Uint8Array([0x86, ...STATE.subarray(1)]),
    STATE.subarray(1),
    new TextEncoder().encode("twinlock-writer-key-1\nAAAA\n"),
    new TextEncoder().encode(KEY + "A".repeat(5000)),
    new Uint8Array(0),
  ];
  for (const bytes of foreign) {
    const { state, deviceKeyFile } = await choose(NOTHING_CHOSEN, [new File([new Uint8Array(bytes)], "x")]);
    assert.deepEqual([state, deviceKeyFile], [null, null]);
  }
});

test("errors keep a code that is one, and all others are a bug's", () => {
  const coded = Object.assign(new Error("no"), { code: "request.session", hint: "again" });
  assert.deepEqual([asFailure(coded).code, asFailure(coded).hint], ["request.session", "again"]);
  for (const thrown of [new Error("x"), "x", null, Object.assign(new Error(), { code: "ERR_X" }), new DOMException("x")]) {
    assert.equal(asFailure(thrown).code, "agent.bug");
  }
});
