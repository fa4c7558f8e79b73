// The errors of the membership log.

import { hex, type Bytes } from "../bytes.ts";
import type { Uint } from "../cbor.ts";
import { TwinlockError } from "../errors.ts";

const REASONS = {
  "not-a-member": "its signer is not a member",
  "removed-member": "its signer is no longer a member",
  "other-key": "it is signed with a key that the log does not give its signer",
  "not-an-admin": "only an admin may do this",
  "too-few-admins": "too few admins signed it",
  "stray-signature": "it bears a signature that does not belong there",
  "new-key-signature": "the new signing key did not sign it",
  "already-member": "that member id is in the group already",
  "unknown-member": "it names somebody who is not a member",
  "use-leave": "nobody removes himself; a member leaves",
  "key-in-use": "this key is in use already",
  "key-retired": "this key was given up earlier in the group",
  "epoch-number": "a new epoch has the number after the newest",
  "epoch-key-reused": "an earlier epoch had this group key",
  "admin-k-lowered": "the number of admins who must sign may only be raised",
  "pq-required": "the group's policy asks for MLKEM768-X25519 keys",
  "pq-not-stated": "the group's policy asks every member to state pq-at-rest",
  "not-excepted": "a member states what the group's policy makes no exception for",
} as const;

/** Which rule of its group refuses a genuine entry; stable. */
export type Reason = keyof typeof REASONS;

/** A genuine entry that the rules of its group refuse. */
export class NotAllowedError extends TwinlockError {
  constructor(readonly reason: Reason) {
    super(
      "log.not-allowed",
      `This entry of the membership log is not allowed: ${REASONS[reason]}.`,
      "Ask an admin of the group; a log that holds such an entry is not to be used.",
    );
  }
}

/** A head of a group's log: one statement about its whole history up to entry `seq`. */
export interface PinnedHead {
  readonly groupId: Bytes;
  readonly seq: Uint;
  readonly head: Bytes;
}

/** A log that contradicts a head seen before; both heads are the evidence to keep (R-LOG-26). */
export class PinConflictError extends TwinlockError {
  constructor(
    code: string,
    message: string,
    hint: string,
    readonly pinned: PinnedHead,
    readonly shown: PinnedHead,
  ) {
    super(code, message, hint);
  }
}

export function rollback(pinned: PinnedHead, shown: PinnedHead): PinConflictError {
  return new PinConflictError(
    "log.rollback",
    `The membership log ends at ${shown.seq}, but entry ${pinned.seq} was seen before.`,
    "Stop, keep both heads, and ask an admin whether the database was set back.",
    pinned,
    shown,
  );
}

export function fork(pinned: PinnedHead, shown: PinnedHead): PinConflictError {
  return new PinConflictError(
    "log.fork",
    `The membership log has another entry ${pinned.seq} than the one seen before.`,
    "Stop, keep both heads, and compare the group's fingerprint with other members.",
    pinned,
    shown,
  );
}

export function brokenChain(why: string): TwinlockError {
  return new TwinlockError(
    "log.broken-chain",
    `The membership log is not continuous: ${why}.`,
    "Fetch the log again from entry 0, and do not use the group until it is whole.",
  );
}

export function wrongGroup(what: string): TwinlockError {
  return new TwinlockError(
    "log.wrong-group",
    `This membership log belongs to another ${what}.`,
    "Ask for the log again by the id of the group that you mean.",
  );
}

export function badSignature(memberId: Bytes, cause?: unknown): TwinlockError {
  return new TwinlockError(
    "log.bad-signature",
    `A signature in the membership log, by member ${hex(memberId)}, does not match.`,
    "Do not use this group; fetch its log again, and tell an admin if it stays so.",
    cause,
  );
}

export function badCountersignature(cause: unknown): TwinlockError {
  return new TwinlockError(
    "log.countersignature",
    "An entry of the membership log is not countersigned by the token's log key.",
    "Wait until the server accepted it, or check the log key in the token directory.",
    cause,
  );
}

export function lastAdmin(): TwinlockError {
  return new TwinlockError(
    "log.last-admin",
    "This entry would leave the group with fewer admins than must sign its changes.",
    "Make another member an admin first.",
  );
}

export function lastOpener(): TwinlockError {
  return new TwinlockError(
    "log.last-opener",
    "This entry would leave fewer than two members who can open the group's records.",
    "Add another member first; only a group with a recovery group may go below two.",
  );
}

export function policyLowered(floors: readonly string[]): TwinlockError {
  return new TwinlockError(
    "log.policy-lowered",
    `This entry lowers floors of the group (${floors.join(", ")}) with too few admins.`,
    "Lowering needs the signature of every admin, or of admin_k where that is 2 or more.",
  );
}

export function unknownOp(name: string): TwinlockError {
  return new TwinlockError(
    "log.unknown-op",
    `The membership log holds an operation that this version does not know: ${name.slice(0, 40)}.`,
    "Update Twinlock; until then this group cannot be used here.",
  );
}
