// What the window knows of the unlocked agent. The agent lives in a worker (worker.ts); these are
// the plain values that cross the border to the window, and nothing in them is secret.

import type { Examined, GroupShown } from "../core/index.ts";

export type { GroupShown, RecordShown } from "../core/index.ts";

/** A request whose statements all hold, and why the member has to decide, if so. */
export type RequestShown = Examined;

/** The unlocked member. `releases` counts all releases so far. */
export interface MemberShown {
  readonly name: string;
  readonly releases: number;
  readonly groups: readonly GroupShown[];
}

/** What the origin keeps between visits: both files of a member, never the passphrase. */
export interface MemberFiles {
  readonly state: Uint8Array;
  readonly deviceKeyFile: Uint8Array;
}

/** The unlocked agent, wherever its code runs. Each call may fail with a `Failure`. */
export interface Engine {
  /** Unlock with both files and the passphrase; takes a second or two. */
  unlock(files: MemberFiles, passphrase: string): Promise<MemberShown>;
  /** Open or continue a session of the agent; returns the hello for the server. */
  hello(session: Uint8Array): Promise<Uint8Array>;
  /** Check a request bundle. Opens nothing. */
  examine(bundle: Uint8Array): Promise<RequestShown>;
  /**
   * Answer a request. `approved`: the member decided; without it a request beyond the budget fails
   * with `release.needs-approval`. The release must not be handed out before `state` is stored.
   */
  release(bundle: Uint8Array, approved: boolean): Promise<{ release: Uint8Array; state: Uint8Array }>;
  /** The member's counters now. */
  status(): Promise<MemberShown>;
  /** Forget every key at once. Calls under way fail with `agent.locked`. */
  lock(): void;
}
