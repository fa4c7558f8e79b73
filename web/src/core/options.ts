// What an agent is given, and what it counts.

import type { Bytes } from "./bytes.ts";
import type { Context } from "./context.ts";
import { deviceKeyFactor } from "./factors/device-key.ts";
import type { Factor } from "./factors/factor.ts";
import { passphraseFactor } from "./factors/passphrase.ts";
import { decodeKeyFile } from "./keyfile.ts";
import type { Placement } from "./membership/policy.ts";
import type { Examined } from "./shown.ts";

/** How an agent runs. */
export interface AgentOptions {
  /** Where it runs; groups may refuse it. */
  readonly placement?: Placement | undefined;
  /** DEKs that it releases by itself within an hour; groups may set it lower. */
  readonly budgetPerHour?: number | undefined;
  /** Seconds since 1970. */
  readonly clock?: (() => number) | undefined;
}

/** What unlocks a member. Give all factors of one of its enrolments and no others. */
export interface Unlocking extends AgentOptions {
  /** The bytes of NAME.member. */
  readonly state: Uint8Array;
  /** The text of the device key file, where the enrolment has one. */
  readonly deviceKeyFile?: Uint8Array | null | undefined;
  /** The passphrase; an empty one counts as none. */
  readonly passphrase?: string | null | undefined;
  /** Factors of other kinds. */
  readonly factors?: readonly Factor[] | undefined;
  /** Which enrolment, where several have the same kinds of factors. */
  readonly enrolmentId?: Bytes | undefined;
}

/** What a release depends on beside the request. */
export interface Releasing {
  /** Asked when a budget or a group's policy needs the member's own decision. */
  readonly approve?: ((examined: Examined, reason: string) => boolean | Promise<boolean>) | undefined;
  /** The contexts that the user opened; anything else is refused. */
  readonly expect?: readonly Context[] | undefined;
}

/** What an agent counts: all releases so far; per group, DEKs of the last hour and the limit. */
export interface AgentStatus {
  readonly releases: number;
  readonly groups: readonly { readonly id: Bytes; readonly used: number; readonly limit: number }[];
}

/** The factors that are given. Throws `key-file.damaged`. */
export async function factorsOf({ deviceKeyFile, passphrase, factors: others = [] }: Unlocking): Promise<Factor[]> {
  const factors: Factor[] = [...others];
  if (deviceKeyFile) factors.push(deviceKeyFactor(await decodeKeyFile("device-key", deviceKeyFile)));
  if (passphrase) factors.push(passphraseFactor(passphrase));
  return factors;
}
