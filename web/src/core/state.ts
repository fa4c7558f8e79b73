// What a member's agent remembers between runs: enrolments, pins, counters, budgets. The same bytes
// as the program's NAME.member, authenticated with a key from the member's seed (R-AGENT-8).

import { copy, equal, hex, type Bytes } from "./bytes.ts";
import { Ledger } from "./budget.ts";
import {
  decode,
  decodeLabelled,
  encode,
  takeBool,
  takeBytes,
  takeItems,
  takeList,
  takeNumber,
  takeText,
  type Value,
} from "./cbor.ts";
import { decodeEnrolment, kindsOf, type Enrolment, type MemberKeys } from "./enrolment.ts";
import { verifyList, type EnrolmentList, type Listed } from "./enrolment-list.ts";
import { TwinlockError } from "./errors.ts";
import { takePasskeyParameters, type PasskeyParameters } from "./factors/passkey.ts";
import { parseInvitation, type Invitation } from "./invitation.ts";
import { logFingerprint } from "./membership/fingerprint.ts";
import { headOf } from "./membership/log.ts";
import { decodeState, encodeState } from "./membership/snapshot.ts";
import type { GroupState } from "./membership/state.ts";
import { hmac } from "./primitives.ts";

const STATE = "twinlock/v1/agent-state";
const BODY = "twinlock/v2/agent-state-body";
const FORMER_BODY = "twinlock/v1/agent-state-body";
const MAX_SIZE = 256 << 20;

/** A group that this agent follows; `verified`: through an invitation or by founding it. */
export interface KnownGroup {
  readonly state: GroupState;
  readonly verified: boolean;
  /** The fingerprint of its log, for people. */
  readonly fingerprint: string;
  /** The state's snapshot, as it is stored. */
  readonly encoded: Bytes;
}

/** Make a known group of a state that was verified. */
export async function knownGroup(state: GroupState, verified: boolean): Promise<KnownGroup> {
  const fingerprint = await logFingerprint(headOf(state));
  return { state, verified, fingerprint, encoded: encodeState(state) };
}

/** A session of this agent: its nonce bounds the age of every transport key it accepts. */
export interface AgentSession {
  readonly nonce: Bytes;
  readonly sessionHash: Bytes;
  /** Seconds since 1970. */
  readonly begun: number;
}

/** A state file before its member is unlocked: only the enrolments can be used. */
export interface LockedState {
  readonly deploymentId: Bytes;
  readonly memberId: Bytes;
  readonly name: string;
  readonly enrolments: readonly Enrolment[];
  readonly body: Bytes;
  readonly tag: Bytes;
}

/** The content of a member's state file. Maps are by group id, in hexadecimal. */
export interface MemberState {
  readonly deploymentId: Bytes;
  readonly memberId: Bytes;
  readonly name: string;
  enrolments: readonly Enrolment[];
  /** The newest list of valid enrolments, signed; empty for a state of before there were lists. */
  signedList: Bytes;
  /** What `signedList` says, verified. */
  listed: EnrolmentList | null;
  identity: Bytes | null;
  counter: number;
  previous: Bytes;
  auditHead: Bytes;
  readonly groups: Map<string, KnownGroup>;
  /** Invitations that this member accepted: the heads to demand at first contact. */
  readonly accepted: Map<string, Invitation>;
  /** Invitations that this admin handed out; kept as they are. */
  readonly issued: readonly string[];
  readonly ledger: Ledger;
  sessions: readonly AgentSession[];
  /** Announced recoveries that the program saw, with when it first did; kept as they are. */
  readonly notices: readonly Value[];
}

/** A state of a member who just arrived, with nothing but its ids and the token that it pins. */
export function newState(ids: Pick<LockedState, "deploymentId" | "memberId" | "name">, identity: Bytes): MemberState {
  return {
    deploymentId: ids.deploymentId,
    memberId: ids.memberId,
    name: ids.name,
    enrolments: [],
    signedList: new Uint8Array(0),
    listed: null,
    identity,
    counter: 0,
    previous: new Uint8Array(32),
    auditHead: new Uint8Array(32),
    groups: new Map(),
    accepted: new Map(),
    issued: [],
    ledger: new Ledger(),
    sessions: [],
    notices: [],
  };
}

/**
 * Put a verified list in place; of `known` and the present enrolments its own remain. Throws
 * `enrolment.none-here` if none does, and changes nothing then: a state that nothing opens is lost.
 */
export function takeSignedList(
  state: MemberState,
  signed: Bytes,
  listed: EnrolmentList,
  known: readonly Enrolment[],
): void {
  const byId = new Map([...known, ...state.enrolments].map((e) => [hex(e.enrolmentId), e]));
  const kept = listed.enrolments.flatMap(({ enrolmentId }) => byId.get(hex(enrolmentId)) ?? []);
  if (kept.length === 0) {
    throw new TwinlockError(
      "enrolment.none-here",
      "None of the ways in that count would be kept on this computer.",
      "Make one here first, or set this computer up again.",
    );
  }
  state.enrolments = kept;
  state.signedList = copy(signed);
  state.listed = listed;
}

/** The valid ways in, oldest first; before there was a list, the enrolments that are here. */
export function listedWays({ listed, enrolments }: Pick<MemberState, "listed" | "enrolments">): readonly Listed[] {
  if (listed !== null) return listed.enrolments;
  return enrolments.map((e) => ({ enrolmentId: e.enrolmentId, kinds: kindsOf(e), label: "", made: 0, atServer: false }));
}

/** Decode a state file. Throws `format.*`. */
export function decodeLocked(raw: Uint8Array): LockedState {
  const items = decodeLabelled(raw, STATE, 7, MAX_SIZE);
  const [deployment, member, name, enrolments, body, tag] = items;
  return {
    deploymentId: takeBytes(deployment, 16),
    memberId: takeBytes(member, 16),
    name: takeText(name),
    enrolments: takeList(enrolments, 1, 100).map((item) => decodeEnrolment(takeBytes(item))),
    body: takeBytes(body),
    tag: takeBytes(tag, 32),
  };
}

/** A way into a member that is locked. Nothing in it is authentic yet. */
export interface LockedWay {
  /** The enrolment's id, in hexadecimal. */
  readonly id: string;
  readonly kinds: readonly string[];
  /** Which passkey to ask, where one is needed. */
  readonly passkey: PasskeyParameters | null;
}

/** What opens these enrolments. Those that no reader accepts are left out. */
export function lockedWays(enrolments: readonly Enrolment[]): LockedWay[] {
  return enrolments.flatMap((enrolment) => {
    const row = enrolment.factors.find(({ kind }) => kind === "passkey");
    try {
      const passkey = row === undefined ? null : takePasskeyParameters(row.parameters);
      return [{ id: hex(enrolment.enrolmentId), kinds: kindsOf(enrolment), passkey }];
    } catch {
      return [];
    }
  });
}

/** Authenticate and read the rest. Throws `agent.state-damaged`. */
export async function unlockState(locked: LockedState, keys: MemberKeys): Promise<MemberState> {
  if (!equal(locked.tag, await tagOf(locked, locked.body, keys))) {
    throw new TwinlockError(
      "agent.state-damaged",
      "This member's state file was changed outside the agent.",
      "Restore the file from its backup; a fresh one needs a new invitation.",
    );
  }
  const [identity, counter, previous, auditHead, groups, accepted, issued, ...rest] = bodyItems(locked.body);
  const [spent, sessions, signed, notices] = rest;
  const invitations = await Promise.all(
    takeList(accepted).map((text) => parseInvitation(takeText(text))),
  );
  const known = await Promise.all(takeList(groups).map(takeGroup));
  const { deploymentId, memberId, name, enrolments } = locked;
  const signedList = takeBytes(signed);
  const isListed = signedList.length > 0;
  return {
    ...{ deploymentId, memberId, name, enrolments, signedList },
    listed: isListed ? await verifyList(signedList, keys.signing.public) : null,
    identity: identity === null ? null : takeBytes(identity, 32),
    counter: takeNumber(counter),
    previous: takeBytes(previous, 32),
    auditHead: takeBytes(auditHead, 32),
    groups: new Map(known.map((group) => [hex(group.state.groupId), group])),
    accepted: new Map(invitations.map((invitation) => [hex(invitation.groupId), invitation])),
    issued: takeList(issued).map((text) => takeText(text)),
    ledger: Ledger.fromItems(spent),
    sessions: takeList(sessions).map(takeSession),
    notices: takeList(notices),
  };
}

/** The items of a body, also of one that was written before there were lists. */
function bodyItems(body: Bytes): Value[] {
  if (decode(body, MAX_SIZE)[0] !== FORMER_BODY) return decodeLabelled(body, BODY, 12, MAX_SIZE);
  return [...decodeLabelled(body, FORMER_BODY, 10, MAX_SIZE), new Uint8Array(0), []];
}

/** Encode and authenticate. */
export async function encodeMemberState(state: MemberState, keys: MemberKeys): Promise<Bytes> {
  const body = encode([
    BODY,
    state.identity,
    state.counter,
    state.previous,
    state.auditHead,
    [...state.groups.values()].map(({ encoded, verified }) => [encoded, verified]),
    [...state.accepted.values()].map(({ text }) => text),
    state.issued,
    state.ledger.items(),
    state.sessions.map(({ nonce, sessionHash, begun }) => [nonce, sessionHash, begun]),
    state.signedList,
    state.notices,
  ]);
  return encode([STATE, ...headerOf(state), body, await tagOf(state, body, keys)]);
}

type Header = Pick<LockedState, "deploymentId" | "memberId" | "name" | "enrolments">;

function headerOf({ deploymentId, memberId, name, enrolments }: Header): Value[] {
  return [deploymentId, memberId, name, enrolments.map(({ raw }) => raw)];
}

function tagOf(header: Header, body: Bytes, keys: MemberKeys): Promise<Bytes> {
  return hmac(keys.state, encode([STATE, headerOf(header), body]));
}

async function takeGroup(value: Value): Promise<KnownGroup> {
  const [raw, verified] = takeItems(value, 2);
  return knownGroup(await decodeState(takeBytes(raw)), takeBool(verified));
}

function takeSession(value: Value): AgentSession {
  const [nonce, sessionHash, begun] = takeItems(value, 3);
  return {
    nonce: takeBytes(nonce, 32),
    sessionHash: takeBytes(sessionHash, 32),
    begun: takeNumber(begun),
  };
}
