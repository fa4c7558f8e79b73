// The worker that holds the unlocked agent. It does one call after the other: each release must see
// the state that the one before it left.

import { Agent } from "../core/index.ts";
import { asFailure, Failure } from "./failure.ts";
import type { MemberShown } from "./types.ts";
import type { Call, Results, Returned } from "./worker-messages.ts";

interface Port {
  onmessage: ((event: MessageEvent<Call>) => void) | null;
  postMessage(message: Returned): void;
}

const port = globalThis as unknown as Port;
let agent: Agent | null = null;
let queue: Promise<void> = Promise.resolve();

port.onmessage = ({ data }) => {
  queue = queue.then(async () => port.postMessage(await answered(data)));
};

async function answered(call: Call): Promise<Returned> {
  try {
    return { number: call.number, value: await done(call) };
  } catch (error) {
    const { code, message, hint } = asFailure(error);
    return { number: call.number, failed: { code, message, hint } };
  }
}

async function done(call: Call): Promise<Results[keyof Results]> {
  if (call.call === "unlock") {
    agent = await Agent.unlock({ ...call.files, passphrase: call.passphrase });
    return member(agent);
  }
  if (agent === null) throw new Failure("agent.locked", "The agent is locked.", "Unlock it, and try again.");
  switch (call.call) {
    case "hello":
      return agent.hello(call.session);
    case "examine":
      return agent.examine(call.bundle);
    case "release": {
      const release = await agent.release(call.bundle, { approve: () => call.approved });
      return { release, state: await agent.state() };
    }
    case "status":
      return member(agent);
  }
}

function member(unlocked: Agent): MemberShown {
  return { name: unlocked.name, groups: unlocked.groups, releases: unlocked.status().releases };
}
