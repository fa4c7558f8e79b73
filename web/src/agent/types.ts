// What the window knows of the agent. It lives in a worker (worker.ts); these are the plain values that
// cross the border to the window, and nothing that comes out of the worker is secret.

import type { Examined, GroupShown, PasskeyAnswer, WayShown } from "../core/index.ts";

export type { GroupShown, LockedWay, PasskeyAnswer, RecordShown, WayShown } from "../core/index.ts";
export type { PasskeyParameters } from "../core/index.ts";

/** A request whose statements all hold, and why the member has to decide, if so. */
export type RequestShown = Examined;

/** The unlocked member. `releases` counts all releases so far. */
export interface MemberShown {
  readonly name: string;
  readonly memberId: Uint8Array;
  readonly releases: number;
  readonly groups: readonly GroupShown[];
  readonly ways: readonly WayShown[];
}

/** What the origin keeps between visits: a member's state, and the device key file where there is one. */
export interface MemberFiles {
  readonly state: Uint8Array;
  readonly deviceKeyFile: Uint8Array | null;
}

/** What a member gives for one way in: exactly what its factors need. */
export interface Secrets {
  readonly passphrase?: string;
  readonly password?: string;
  readonly scram?: string;
  readonly recoveryCode?: string;
  readonly deviceKeyFile?: Uint8Array;
  readonly passkey?: PasskeyAnswer;
}

/** The member after a change, and the state that has to be stored before anything relies on it. */
export interface NextState {
  readonly member: MemberShown;
  readonly state: Uint8Array;
}

/** A way in to be made of exactly these kinds. `insteadOf`: the id of the one that it takes the place of, in hexadecimal. */
export interface WayAsked {
  readonly kinds: readonly string[];
  readonly secrets: Secrets;
  readonly label: string;
  readonly insteadOf: string | null;
  /** What the server is to compare sign-ins by this passkey with. */
  readonly login: Uint8Array | null;
}

/** The unlocked agent, as it answers applications. Each call may fail with a `Failure`. */
export interface Engine {
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
}
