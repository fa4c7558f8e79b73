// The member's side of Twinlock for browsers and Node.js: everything an agent does, without a page.

export { Agent } from "./agent.ts";
export type { Context, RecordId } from "./context.ts";
export { TwinlockError } from "./errors.ts";
export type { AgentStatus, Releasing, Unlocking } from "./options.ts";
export type { Placement, Policy } from "./membership/policy.ts";
export { PinConflictError, type PinnedHead } from "./membership/refused.ts";
export type { PasskeyAnswer, PasskeyParameters } from "./factors/passkey.ts";
export type { Examined, GroupShown, RecordShown, WayShown } from "./shown.ts";
export type { LockedWay } from "./state.ts";
