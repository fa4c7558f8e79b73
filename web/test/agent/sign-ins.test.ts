// Questions to sign in: whose are shown, how many, and when they end.
import assert from "node:assert/strict";
import { test } from "node:test";
import { Failure } from "../../src/agent/failure.ts";
import type { Answer } from "../../src/agent/messages.ts";
import { type SignInAsked, SignIns } from "../../src/agent/sign-ins.ts";

const APP = "https://clinic.example";

class Bench {
  readonly log: string[] = [];
  first: SignInAsked | null = null;
  readonly signIns = new SignIns({
    origins: new Set([APP]),
    send: (relay, answer) => this.log.push(`${relay}/${answer.id} ${answer.answer === "failed" ? answer.code : answer.answer}`),
    show: (first) => (this.first = first),
  });

  ask(relay: string, origin = APP, id = "1"): void {
    this.signIns.take(relay, origin, { ask: "sign-in", id, nonce: new Uint8Array(32), allow: [] });
  }
}

const signedIn: Answer = { answer: "signed-in", id: "1" };

test("a question is shown with the origin that asked, and answered once", () => {
  const bench = new Bench();
  bench.ask("a");
  const { first } = bench;
  assert.equal(first?.origin, APP);
  bench.signIns.answer(first, signedIn);
  bench.signIns.answer(first, signedIn);
  assert.deepEqual([bench.log, bench.first], [["a/1 waiting", "a/1 signed-in"], null]);
});

test("an origin that is not listed is told so and shown to nobody", () => {
  const bench = new Bench();
  bench.ask("a", "https://evil.example");
  assert.deepEqual([bench.log, bench.first], [["a/1 agent.origin"], null]);
});

test("a page has one question, and all together five", () => {
  const bench = new Bench();
  const relays = ["a", "a", "b", "c", "d", "e", "f"];
  for (const relay of relays) bench.ask(relay, APP, relay);
  for (const relay of relays) bench.signIns.gone(relay);
  assert.deepEqual(bench.log.filter((line) => line.endsWith("busy")), ["a/a agent.busy", "f/f agent.busy"]);
});

test("what is withdrawn, or whose page is gone, is not answered", () => {
  for (const end of [
    (bench: Bench) => bench.signIns.take("a", APP, { ask: "cancel", id: "c", of: "1" }),
    (bench: Bench) => bench.signIns.gone("a"),
  ]) {
    const bench = new Bench();
    bench.ask("a");
    const first = bench.first!;
    end(bench);
    bench.signIns.answer(first, signedIn);
    assert.deepEqual([bench.log, bench.first], [["a/1 waiting"], null]);
  }
});

test("a question ends after two minutes, or when the member refuses", (context) => {
  context.mock.timers.enable({ apis: ["setTimeout"] });
  const bench = new Bench();
  bench.ask("a");
  bench.signIns.fail(bench.first!, new Failure("agent.refused", "no"));
  bench.ask("a");
  context.mock.timers.tick(120_000);
  assert.deepEqual(bench.log, ["a/1 waiting", "a/1 agent.refused", "a/1 waiting", "a/1 agent.expired"]);
  assert.equal(bench.first, null);
});
