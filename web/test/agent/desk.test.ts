// The desk: what is answered at once, what waits, and in which order state and release go.
import assert from "node:assert/strict";
import { afterEach, test } from "node:test";
import { Desk, type Decision, type Done } from "../../src/agent/desk.ts";
import { Failure } from "../../src/agent/failure.ts";
import type { Answer, Ask } from "../../src/agent/messages.ts";
import type { Engine, MemberShown, RequestShown } from "../../src/agent/types.ts";

const APP = "https://clinic.example";
const MEMBER: MemberShown = { name: "weber", memberId: new Uint8Array(16), releases: 0, groups: [], ways: [] };
const WITHIN = new Uint8Array([0]);
const BEYOND = new Uint8Array([1]);

function request(reasons: readonly string[]): RequestShown {
  return { purpose: "", expires: 1000 + 120, groups: [], records: [], warnings: [], reasons };
}

const benches: Bench[] = [];

afterEach(() => {
  for (const bench of benches.splice(0)) bench.desk.close();
});

/** A desk with a made-up agent: `log` is what happened, in order. */
class Bench {
  readonly log: string[] = [];
  readonly done: Done[] = [];
  first: Decision | null = null;
  waiting = 0;
  budgetGone = false;
  storing: () => Promise<void> = async () => undefined;
  examining: () => Promise<void> = async () => undefined;

  readonly engine: Engine = {
    hello: async () => new Uint8Array([7]),
    examine: async (bundle) => {
      await this.examining();
      if (bundle.length > 1) throw new Failure("format.malformed", "no", "");
      return request(bundle[0] === 1 || this.budgetGone ? ["because"] : []);
    },
    release: async (bundle, approved) => {
      if ((bundle[0] === 1 || this.budgetGone) && !approved) throw new Failure("release.needs-approval", "ask");
      this.log.push("signed");
      return { release: new Uint8Array([8]), state: new Uint8Array([9]) };
    },
    status: async () => MEMBER,
  };

  readonly desk = new Desk({
    engine: this.engine,
    origins: new Set([APP]),
    store: async () => {
      await this.storing();
      this.log.push("stored");
    },
    send: (relay, answer) => this.log.push(`${relay}/${answer.id} ${told(answer)}`),
    now: () => 1000 * 1000,
    decide: (first, waiting) => {
      this.first = first;
      this.waiting = waiting;
    },
    done: (entry) => this.done.push(entry),
    counted: () => undefined,
    stuck: (error) => this.log.push(`stuck ${error.code}`),
  });

  constructor() {
    benches.push(this);
  }

  ask(message: Ask, origin = APP, relay = "r"): void {
    this.desk.take({ relay, origin, message });
  }

  release(id: string, bundle: Uint8Array, relay = "r"): void {
    this.ask({ ask: "release", id, bundle }, APP, relay);
  }
}

function told(answer: Answer): string {
  return answer.answer === "failed" ? answer.code : answer.answer;
}

/** Let everything happen that can. */
async function settled(): Promise<void> {
  for (let turn = 0; turn < 50; turn++) await Promise.resolve();
}

test("a release leaves only after the state that counts it was stored", async () => {
  const bench = new Bench();
  bench.release("1", WITHIN);
  await settled();
  assert.deepEqual(bench.log, ["signed", "stored", "r/1 release"]);
  assert.equal(bench.done[0]?.outcome, "released");
});

test("a release whose state was not stored does not leave, and nothing more is released", async () => {
  const bench = new Bench();
  bench.storing = async () => {
    throw new Failure("agent.storage", "full");
  };
  bench.release("1", WITHIN);
  await settled();
  assert.deepEqual(bench.log, ["signed", "r/1 agent.storage", "stuck agent.storage"]);
  assert.deepEqual(bench.done, []);
});

test("releases are made one after the other", async () => {
  const bench = new Bench();
  bench.release("1", WITHIN);
  bench.release("2", WITHIN);
  await settled();
  assert.deepEqual(bench.log, ["signed", "stored", "r/1 release", "signed", "stored", "r/2 release"]);
});

test("beyond the budget nothing is signed before the member decides", async () => {
  const bench = new Bench();
  bench.release("1", BEYOND);
  await settled();
  assert.deepEqual(bench.log, ["r/1 waiting"]);
  bench.first?.settle(true);
  await settled();
  assert.deepEqual(bench.log, ["r/1 waiting", "signed", "stored", "r/1 release"]);
  assert.equal(bench.done[0]?.outcome, "approved");
  assert.deepEqual([bench.first, bench.waiting], [null, 0]);
});

test("others are answered while a decision waits", async () => {
  const bench = new Bench();
  bench.release("1", BEYOND);
  bench.release("2", WITHIN);
  await settled();
  assert.deepEqual(bench.log, ["r/1 waiting", "signed", "stored", "r/2 release"]);
});

test("a decision is taken once", async () => {
  const bench = new Bench();
  bench.release("1", BEYOND);
  await settled();
  const { first } = bench;
  first?.settle(false);
  first?.settle(true);
  await settled();
  assert.deepEqual(bench.log, ["r/1 waiting", "r/1 agent.refused"]);
  assert.equal(bench.done[0]?.outcome, "refused");
});

test("a budget that another release used up meanwhile leads to a decision", async () => {
  const bench = new Bench();
  bench.release("1", WITHIN);
  bench.examining = async () => {
    bench.budgetGone = true;
    bench.examining = async () => undefined;
  };
  await settled();
  assert.deepEqual(bench.log, ["r/1 waiting"]);
});

test("nobody decides for ever: a request that expires is answered", async (context) => {
  context.mock.timers.enable({ apis: ["setTimeout"] });
  const bench = new Bench();
  bench.release("1", BEYOND);
  await settled();
  context.mock.timers.tick(119_999);
  assert.equal(bench.waiting, 1);
  context.mock.timers.tick(1);
  assert.deepEqual(bench.log, ["r/1 waiting", "r/1 agent.expired"]);
  assert.equal(bench.done[0]?.outcome, "expired");
});

for (const [when, withdraw] of [
  ["withdrawn", (bench: Bench) => bench.ask({ ask: "cancel", id: "c", of: "1" })],
  ["of a page that is gone", (bench: Bench) => bench.desk.gone("r")],
] as const) {
  test(`a question ${when} is neither decided nor answered`, async () => {
    const bench = new Bench();
    bench.release("1", BEYOND);
    bench.release("2", BEYOND, "other");
    await settled();
    withdraw(bench);
    assert.equal(bench.waiting, 1);
    bench.release("1", WITHIN);
    withdraw(bench);
    await settled();
    assert.deepEqual(bench.log, ["r/1 waiting", "other/2 waiting"]);
  });

  test(`a question ${when} while it is looked at is not released`, async () => {
    const bench = new Bench();
    bench.examining = async () => withdraw(bench);
    bench.release("1", WITHIN);
    await settled();
    assert.deepEqual(bench.log, []);
  });
}

test("an origin that is not listed is answered nothing but that", async () => {
  const bench = new Bench();
  for (const origin of ["https://evil.example", `${APP}/`, `${APP}:443`, ""]) {
    bench.ask({ ask: "hello", id: "1", session: new Uint8Array(32) }, origin);
  }
  await settled();
  assert.deepEqual(bench.log, Array(4).fill("r/1 agent.origin"));
});

test("one application cannot pile up decisions, and all together cannot either", async () => {
  const bench = new Bench();
  for (let at = 0; at < 6; at++) bench.release(`${at}`, BEYOND);
  await settled();
  assert.equal(bench.waiting, 5);
  assert.equal(bench.log.at(-1), "r/5 agent.busy");
});

test("what the agent refuses reaches the asker with its code", async () => {
  const bench = new Bench();
  bench.release("1", new Uint8Array(2));
  await settled();
  assert.deepEqual(bench.log, ["r/1 format.malformed"]);
});

test("a desk that closes answers what waits, and releases nothing that was under way", async () => {
  const bench = new Bench();
  bench.release("1", BEYOND);
  await settled();
  bench.storing = async () => bench.desk.close();
  bench.release("2", WITHIN);
  await settled();
  assert.deepEqual(bench.log, ["r/1 waiting", "signed", "r/1 agent.locked", "stored", "r/2 agent.locked"]);
  assert.equal(bench.waiting, 0);
});
