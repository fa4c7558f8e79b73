// The worker that holds the unlocked agent. It does one call after the other: each release must see
// the state that the one before it left. What few members need lies in a file of its own (more.ts).

import { Agent } from "../core/agent.ts";
import { copy, fromHex } from "../core/bytes.ts";
import { decodeLocked, lockedWays } from "../core/state.ts";
import { asFailure, Failure } from "./failure.ts";
import { Outside } from "./outside.ts";
import { presentFactors } from "./present.ts";
import type { LockedWay, MemberShown } from "./types.ts";
import type { Call, CallName, FromWorker, Given, Taken, ToWorker } from "./worker-messages.ts";

interface Port {
  onmessage: ((event: MessageEvent<ToWorker>) => void) | null;
  postMessage(message: FromWorker): void;
}

const port = globalThis as unknown as Port;
const outside = new Outside((message) => port.postMessage(message));
let agent: Agent | null = null;
let met: Awaited<ReturnType<(typeof import("./more.ts"))["meet"]>> | null = null;
let queue: Promise<void> = Promise.resolve();

port.onmessage = ({ data }) => {
  if ("card" in data) outside.card = data.card;
  else if ("told" in data) outside.told(data);
  else queue = queue.then(async () => port.postMessage(await answered(data)));
};

async function answered({ number, call, takes }: Call): Promise<FromWorker> {
  try {
    return { number, value: await (CALLS[call] as (takes: unknown) => Promise<Given<CallName>>)(takes) };
  } catch (error) {
    const { code, message, hint } = asFailure(error);
    return { number, failed: { code, message, hint } };
  }
}

const more = (): Promise<typeof import("./more.ts")> => import("./more.ts");

const CALLS: { readonly [K in CallName]: (takes: Taken<K>) => Promise<Given<K>> } = {
  look: async ({ state }) => lockedWays(decodeLocked(copy(state)).enrolments),

  unlock: async ({ state, way, secrets }) => {
    const { name } = decodeLocked(copy(state));
    const factors = await presentFactors(secrets, name, outside);
    agent = await Agent.unlock({ state, enrolmentId: way === null ? undefined : fromHex(way), factors });
    return shown();
  },

  meet: async ({ name, kinds }): Promise<readonly LockedWay[]> => {
    met = await (await more()).meet(name, kinds, outside);
    return met.ways;
  },

  arrive: async ({ secrets }) => {
    if (met === null) throw new Failure("agent.locked", "Nobody was named yet.", "Enter your name first.");
    agent = await (await more()).arriveAs(met, secrets, outside);
    return kept();
  },

  hello: ({ session }) => unlocked().hello(session),
  examine: ({ bundle }) => unlocked().examine(bundle),

  release: async ({ bundle, approved }) => {
    const release = await unlocked().release(bundle, { approve: () => approved });
    return { release, state: await unlocked().state() };
  },

  enrol: async ({ present, way }) => {
    await (await more()).enrol(unlocked(), present, way, outside);
    return kept();
  },

  drop: async ({ way }) => {
    await (await more()).drop(unlocked(), way, outside);
    return kept();
  },

  recoveryCode: async () => (await more()).drawRecoveryCode(),

  scram: async ({ secrets }) => (await more()).signInByScram(unlocked(), secrets, outside),

  status: async () => shown(),
};

function unlocked(): Agent {
  if (agent === null) throw new Failure("agent.locked", "The agent is locked.", "Unlock it, and try again.");
  return agent;
}

function shown(): MemberShown {
  const { name, memberId, groups, ways } = unlocked();
  return { name, memberId, groups, ways, releases: unlocked().status().releases };
}

async function kept(): Promise<Given<"arrive">> {
  return { member: shown(), state: await unlocked().state() };
}
