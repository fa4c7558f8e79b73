// The pages that fetch for the agent: which one is asked, and whose answer counts.
import assert from "node:assert/strict";
import { test } from "node:test";
import { Carriers } from "../../src/agent/carriers.ts";
import type { Answer, Ask } from "../../src/agent/messages.ts";

const APP = "https://clinic.example";
const KID = new Uint8Array(16);

class Bench {
  readonly sent: { relay: string; answer: Answer & { call?: string } }[] = [];
  readonly carriers = new Carriers(new Set([APP]), (relay, answer) => this.sent.push({ relay, answer }));

  carry(relay: string, origin = APP): void {
    this.carriers.take(relay, origin, { ask: "carry", id: `c-${relay}` });
  }

  offer(): Promise<unknown> {
    return this.carriers.fetch<"offer">({ want: "offer", account: "weber" });
  }

  tell(relay: string, more: Partial<Ask> = {}): void {
    const call = this.sent.at(-1)!.answer.call!;
    const told = { ask: "told", id: "t", of: call, want: "offer", kid: KID, statements: [], ...more } as Ask;
    assert.equal(this.carriers.take(relay, APP, told), true);
  }
}

test("without a page that carries nothing can be fetched", async () => {
  const bench = new Bench();
  await assert.rejects(bench.offer(), { code: "agent.no-page" });
  bench.carry("r", "https://evil.example");
  await assert.rejects(bench.offer(), { code: "agent.no-page" });
  assert.equal(bench.carriers.origin, null);
});

test("the page that spoke last is asked, and its answer is taken", async () => {
  const bench = new Bench();
  for (const relay of ["a", "b", "a"]) bench.carry(relay);
  const offered = bench.offer();
  const { relay, answer } = bench.sent.at(-1)!;
  assert.deepEqual([relay, answer.id, answer.answer], ["a", "c-a", "wanted"]);
  bench.tell("a");
  assert.equal(((await offered) as { kid: Uint8Array }).kid, KID);
});

test("an answer of another page, to another call, or of another kind changes nothing", async () => {
  const bench = new Bench();
  bench.carry("b");
  bench.carry("a");
  const offered = bench.offer();
  bench.tell("b", { kid: new Uint8Array(1) } as Partial<Ask>);
  bench.tell("a", { of: "another", kid: new Uint8Array(2) } as Partial<Ask>);
  bench.tell("a", { want: "change" } as Partial<Ask>);
  bench.tell("a");
  assert.equal(((await offered) as { kid: Uint8Array }).kid, KID);
});

test("what the application refuses is told with its code", async () => {
  const bench = new Bench();
  bench.carry("a");
  const offered = bench.offer();
  bench.tell("a", { ask: "unable", code: "hardening.limit", message: "no", hint: "wait" } as Partial<Ask>);
  await assert.rejects(offered, { code: "hardening.limit", message: "no", hint: "wait" });
});

test("a page that leaves, or is silent for long, is asked no more", async (context) => {
  context.mock.timers.enable({ apis: ["setTimeout"] });
  const bench = new Bench();
  bench.carry("a");
  bench.carry("b");
  const left = bench.offer();
  bench.carriers.gone("b");
  await assert.rejects(left, { code: "agent.page-silent" });
  const silent = bench.offer();
  context.mock.timers.tick(30_000);
  await assert.rejects(silent, { code: "agent.page-silent" });
  await assert.rejects(bench.offer(), { code: "agent.no-page" });
});
