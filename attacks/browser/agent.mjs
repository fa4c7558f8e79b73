// A member's browser agent, without a browser: node agent.mjs FOLDER, where agent-core.js was built.
//
// It answers as the agent's window does when nobody is there to click, unless `click` is given.
import { pathToFileURL } from "node:url";
import { serve } from "./peer.mjs";

const { Agent } = await import(pathToFileURL(`${process.argv[2]}/agent-core.js`).href);

let agent;
let later = 0;

const now = () => Math.floor(Date.now() / 1000) + later;
const approving = (click) => (click ? { approve: () => true } : {});

await serve({
  async unlock({ state, deviceKeyFile }) {
    agent = await Agent.unlock({ state, deviceKeyFile, clock: now });
  },
  clock(set) {
    later = set.later;
  },
  hello: ({ session }) => agent.hello(session),
  follow: ({ bundle }) => agent.follow(bundle),
  examine: async ({ bundle }) => JSON.parse(JSON.stringify(await agent.examine(bundle), plain)),
  release: ({ bundle, expect, click }) =>
    agent.release(bundle, { ...(expect && { expect }), ...approving(click) }),
  released: () => Object.fromEntries(agent.status().groups.map(({ id, used }) => [hex(id), used])),
});

function hex(bytes) {
  return Buffer.from(bytes).toString("hex");
}

function plain(_, value) {
  return typeof value === "bigint" ? String(value) : value;
}
