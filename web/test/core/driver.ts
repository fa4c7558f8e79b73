// Runs agents for the tests that are driven from Python: one JSON object a line on standard input,
// one a line on standard output. Byte strings are hexadecimal. What fails is answered with its code.

import "./webcrypto.ts";
import { createInterface } from "node:readline";
import { Agent, TwinlockError, type Context } from "../../src/core/index.ts";
import { saslprep } from "../../src/core/scram/saslprep.ts";
import { copy, fromHex, hex } from "../../src/core/bytes.ts";
import { replay } from "../../src/core/membership/log.ts";
import { decodeState, encodeState } from "../../src/core/membership/snapshot.ts";

type Arguments = Record<string, any>;
const agents = new Map<number, Agent>();
let now = 0;

const calls: Record<string, (given: Arguments) => Promise<unknown>> = {
  async clock(given) {
    now = given.now;
  },
  async unlock(given) {
    const agent = await Agent.unlock({
      state: fromHex(given.state),
      deviceKeyFile: given.key === undefined ? null : fromHex(given.key),
      passphrase: given.passphrase,
      placement: given.placement,
      budgetPerHour: given.budget,
      clock: () => now,
    });
    agents.set(agents.size, agent);
    return { agent: agents.size - 1, name: agent.name, member_id: agent.memberId };
  },
  async hello(given) {
    return agentOf(given).hello(given.session === undefined ? null : fromHex(given.session));
  },
  async follow(given) {
    return agentOf(given).follow(fromHex(given.bundle));
  },
  async examine(given) {
    return agentOf(given).examine(fromHex(given.bundle));
  },
  async release(given) {
    const asked: string[] = [];
    const approve = (_: unknown, reason: string) => {
      asked.push(reason);
      return given.approve as boolean;
    };
    const options = {
      approve: given.approve === undefined ? undefined : approve,
      expect: given.expect as Context[] | undefined,
    };
    return { release: await agentOf(given).release(fromHex(given.bundle), options), asked };
  },
  /** All at once; what is refused is answered with its code. */
  async together(given) {
    const agent = agentOf(given);
    const releases = given.bundles.map((bundle: string) => agent.release(fromHex(bundle)));
    const ends = await Promise.allSettled<Uint8Array>(releases);
    return ends.map((end) => (end.status === "fulfilled" ? end.value : end.reason.code));
  },
  async timed(given) {
    const bundle = fromHex(given.bundle);
    const begun = performance.now();
    const release = await agentOf(given).release(bundle);
    return { release, milliseconds: performance.now() - begun };
  },
  async state(given) {
    return agentOf(given).state();
  },
  async status(given) {
    return agentOf(given).status();
  },
  async groups(given) {
    return agentOf(given).groups;
  },
  async lock(given) {
    agentOf(given).lock();
  },
  /** Each text prepared, or the code that refuses it. */
  async saslprep(given) {
    return given.texts.map((text: string) => {
      try {
        return saslprep(text);
      } catch (error) {
        return { code: (error as TwinlockError).code };
      }
    });
  },
  async replay(given) {
    const group = await replay(given.entries.map(fromHex), {
      deploymentId: fromHex(given.deployment),
      start: given.start === undefined ? undefined : await decodeState(fromHex(given.start)),
      logKey: given.log_key === undefined ? undefined : fromHex(given.log_key),
      pin: given.pin && {
        groupId: fromHex(given.pin.group_id),
        seq: given.pin.seq,
        head: fromHex(given.pin.head),
      },
    });
    return encodeState(group);
  },
};

function agentOf(given: Arguments): Agent {
  return agents.get(given.agent)!;
}

function plain(_key: string, value: unknown): unknown {
  if (value instanceof Uint8Array) return hex(copy(value));
  return typeof value === "bigint" ? value.toString() : value;
}

for await (const line of createInterface({ input: process.stdin })) {
  const { call, ...given } = JSON.parse(line);
  try {
    console.log(JSON.stringify({ value: (await calls[call]!(given)) ?? null }, plain));
  } catch (error) {
    if (!(error instanceof TwinlockError)) throw error;
    const { code, message, hint } = error;
    console.log(JSON.stringify({ code, message, hint, reason: (error as { reason?: string }).reason }));
  }
}
