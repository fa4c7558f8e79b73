// The calls between the window and the worker that holds the keys. Both are ours and of one build.

import type { Told, Want, WantName } from "./carrying.ts";
import type { NextState, LockedWay, MemberShown, RequestShown, Secrets, WayAsked } from "./types.ts";

/** What each call takes and gives; the comments are at `WorkerEngine`. */
export interface Calls {
  look: { takes: { state: Uint8Array }; gives: readonly LockedWay[] };
  unlock: { takes: { state: Uint8Array; way: string | null; secrets: Secrets }; gives: MemberShown };
  meet: { takes: { name: string; kinds: readonly string[] }; gives: readonly LockedWay[] };
  arrive: { takes: { secrets: Secrets }; gives: NextState };
  hello: { takes: { session: Uint8Array }; gives: Uint8Array };
  examine: { takes: { bundle: Uint8Array }; gives: RequestShown };
  release: { takes: { bundle: Uint8Array; approved: boolean }; gives: { release: Uint8Array; state: Uint8Array } };
  enrol: { takes: { present: Secrets; way: WayAsked }; gives: NextState };
  drop: { takes: { way: string }; gives: NextState };
  recoveryCode: { takes: object; gives: string };
  scram: { takes: { secrets: Secrets }; gives: void };
  status: { takes: object; gives: MemberShown };
}

export type CallName = keyof Calls;
export type Taken<K extends CallName> = Calls[K]["takes"];
export type Given<K extends CallName> = Calls[K]["gives"];

/** A call: its number, its name and what it takes. */
export type Call = { [K in CallName]: { readonly number: number; readonly call: K; readonly takes: Taken<K> } }[CallName];

export type Failed = { readonly code: string; readonly message: string; readonly hint: string };

/** The window to the worker: a call, what came of something wanted, or the deployment's card at the start. */
export type ToWorker =
  | Call
  | { readonly card: string }
  | { readonly told: number; readonly value: Told<WantName> }
  | { readonly told: number; readonly failed: Failed };

/** The worker to the window: the answer to the call of that number, or something to be fetched. */
export type FromWorker =
  | { readonly number: number; readonly value: Given<CallName> }
  | { readonly number: number; readonly failed: Failed }
  | { readonly wants: number; readonly want: Want };
