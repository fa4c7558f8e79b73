// What the window knows of the unlocked agent. The agent lives in a worker (worker.ts); these are
// the plain values that cross the border to the window, and nothing in them is secret.

/** A group that the member is in, with what was released through it in the last hour. */
export interface GroupShown {
  readonly name: string;
  readonly usedThisHour: number;
  readonly budgetPerHour: number;
  readonly clickEach: boolean;
}

/** The unlocked member. `releases` counts all releases so far. */
export interface MemberShown {
  readonly name: string;
  readonly releases: number;
  readonly groups: readonly GroupShown[];
}

/** One record that a request asks for, as decoded from its context; all texts are foreign. */
export interface RecordShown {
  readonly tenant: string;
  readonly table: string;
  readonly record: string;
  readonly scope: string;
  readonly version: number | null;
  readonly group: string;
}

/**
 * A request whose statements all hold. `expires` is in seconds since 1970. `reasons` say why the
 * member has to decide; with none, the agent answers by itself.
 */
export interface RequestShown {
  readonly purpose: string;
  readonly expires: number;
  readonly records: readonly RecordShown[];
  readonly reasons: readonly string[];
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
