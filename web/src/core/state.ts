// What a member's agent remembers between runs: enrolments, pins, counters, budgets. The same bytes
// as the program's NAME.member, authenticated with a key from the member's seed (R-AGENT-8).

import { equal, hex, type Bytes } from "./bytes.ts";
import { Ledger } from "./budget.ts";
import {
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
import { decodeEnrolment, type Enrolment, type MemberKeys } from "./enrolment.ts";
import { TwinlockError } from "./errors.ts";
import { parseInvitation, type Invitation } from "./invitation.ts";
import { logFingerprint } from "./membership/fingerprint.ts";
import { headOf } from "./membership/log.ts";
import { decodeState, encodeState } from "./membership/snapshot.ts";
import type { GroupState } from "./membership/state.ts";
import { hmac } from "./primitives.ts";

const STATE = "twinlock/v1/agent-state";
const BODY = "twinlock/v1/agent-state-body";
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
  readonly enrolments: readonly Enrolment[];
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

/** Authenticate and read the rest. Throws `agent.state-damaged`. */
export async function unlockState(locked: LockedState, keys: MemberKeys): Promise<MemberState> {
  if (!equal(locked.tag, await tagOf(locked, locked.body, keys))) {
    throw new TwinlockError(
      "agent.state-damaged",
      "This member's state file was changed outside the agent.",
      "Restore the file from its backup; a fresh one needs a new invitation.",
    );
  }
  const items = decodeLabelled(locked.body, BODY, 10, MAX_SIZE);
  const [identity, counter, previous, auditHead, groups, accepted, issued, spent, sessions] = items;
  const invitations = await Promise.all(
    takeList(accepted).map((text) => parseInvitation(takeText(text))),
  );
  const known = await Promise.all(takeList(groups).map(takeGroup));
  const { deploymentId, memberId, name, enrolments } = locked;
  return {
    ...{ deploymentId, memberId, name, enrolments },
    identity: identity === null ? null : takeBytes(identity, 32),
    counter: takeNumber(counter),
    previous: takeBytes(previous, 32),
    auditHead: takeBytes(auditHead, 32),
    groups: new Map(known.map((group) => [hex(group.state.groupId), group])),
    accepted: new Map(invitations.map((invitation) => [hex(invitation.groupId), invitation])),
    issued: takeList(issued).map((text) => takeText(text)),
    ledger: Ledger.fromItems(spent),
    sessions: takeList(sessions).map(takeSession),
  };
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
