/** The list of a member's valid enrolments, as the member signed it, with the member's own pins (SPEC 28). */
import { equal, hex, type Bytes } from "./bytes.ts";
import {
  decodeLabelled,
  encode,
  takeBool,
  takeBytes,
  takeItems,
  takeList,
  takeNumber,
  takeText,
  takeUint,
  type Uint,
  type Value,
} from "./cbor.ts";
import { MAX_FACTORS } from "./enrolment.ts";
import { malformed, TwinlockError } from "./errors.ts";
import type { PinnedHead } from "./membership/refused.ts";
import { verify } from "./primitives.ts";
import { splitSigned } from "./release.ts";
import { isPrintable, lengthOf } from "./text.ts";

const LIST = "twinlock/v2/enrolment-list";
const MAX_LIST_SIZE = 1 << 18;
export const MAX_ENROLMENTS = 32;
const MAX_GROUPS = 1024;
export const MAX_LABEL = 60;

/** One valid enrolment. `made`: seconds since 1970; `label`: the member's own words. */
export interface Listed {
  readonly enrolmentId: Bytes;
  readonly kinds: readonly string[];
  readonly label: string;
  readonly made: Uint;
  readonly atServer: boolean;
}

/** A member's valid enrolments and own pins. `identity`: the token's fingerprint. */
export interface EnrolmentList {
  readonly deploymentId: Bytes;
  readonly memberId: Bytes;
  readonly counter: number;
  readonly enrolments: readonly Listed[];
  readonly identity: Bytes;
  /** By group id, ascending. */
  readonly groups: readonly PinnedHead[];
}

/** Encode for signing. */
export function encodeList(list: EnrolmentList): Bytes {
  return encode([
    LIST,
    list.deploymentId,
    list.memberId,
    list.counter,
    list.enrolments.map((e) => [e.enrolmentId, e.kinds, e.label, e.made, e.atServer]),
    list.identity,
    list.groups.map(({ groupId, seq, head }) => [groupId, seq, head]),
  ]);
}

/**
 * Verify a list with its member's signing key (65 bytes), then read it.
 *
 * Throws `enrolment.list-damaged`, also for one that somebody else signed.
 */
export async function verifyList(signed: Bytes, signingKey: Bytes): Promise<EnrolmentList> {
  try {
    const { message, signature } = splitSigned(signed, MAX_LIST_SIZE);
    await verify(signingKey, message, signature);
    return decodeList(message);
  } catch (error) {
    throw damagedList("The list of this member's ways in is not what the member signed.", error);
  }
}

/** A list that is not the member's own. */
export function damagedList(what: string, cause?: unknown): TwinlockError {
  return new TwinlockError(
    "enrolment.list-damaged",
    what,
    "Do not go on with what the server sent; tell an admin.",
    cause,
  );
}

function decodeList(raw: Bytes): EnrolmentList {
  const items = decodeLabelled(raw, LIST, 7, MAX_LIST_SIZE);
  const [deployment, member, counter, rows, identity, groups] = items;
  const enrolments = takeList(rows, 1, MAX_ENROLMENTS).map(takeListed);
  if (new Set(enrolments.map(({ enrolmentId }) => hex(enrolmentId))).size !== enrolments.length) {
    throw malformed("it lists an enrolment twice");
  }
  const pins = takeList(groups, 0, MAX_GROUPS).map(takePin);
  const ids = pins.map(({ groupId }) => hex(groupId));
  if (!ids.every((id, at) => at === 0 || ids[at - 1]! < id)) {
    throw malformed("its groups are not in ascending order");
  }
  return {
    deploymentId: takeBytes(deployment, 16),
    memberId: takeBytes(member, 16),
    counter: takeNumber(counter),
    enrolments,
    identity: takeBytes(identity, 32),
    groups: pins,
  };
}

function takeListed(value: Value): Listed {
  const [id, kinds, label, made, atServer] = takeItems(value, 5);
  const words = takeText(label);
  if (lengthOf(words) > MAX_LABEL || !isPrintable(words)) throw malformed("a label is not short and printable");
  return {
    enrolmentId: takeBytes(id, 16),
    kinds: takeList(kinds, 1, MAX_FACTORS).map((kind) => takeText(kind)),
    label: words,
    made: takeUint(made),
    atServer: takeBool(atServer),
  };
}

function takePin(value: Value): PinnedHead {
  const [groupId, seq, head] = takeItems(value, 3);
  return { groupId: takeBytes(groupId, 32), seq: takeUint(seq), head: takeBytes(head, 32) };
}

/** Whether two lists say the same. */
export function sameList(left: EnrolmentList, right: EnrolmentList): boolean {
  return equal(encodeList(left), encodeList(right));
}
