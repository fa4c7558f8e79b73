/** A member's ways in: enrolling, changing and dropping them (SPEC 28). The member's keys stay. */
import { equal, hex, type Bytes } from "./bytes.ts";
import { encode } from "./cbor.ts";
import { kindsOf, unlockAny, type Enrolment, type MemberKeys } from "./enrolment.ts";
import {
  damagedList,
  encodeList,
  MAX_ENROLMENTS,
  MAX_LABEL,
  sameList,
  verifyList,
  type EnrolmentList,
  type Listed,
} from "./enrolment-list.ts";
import { decodeMemberBundle } from "./member-bundle.ts";
import { enrol } from "./enrol.ts";
import { TwinlockError } from "./errors.ts";
import type { EnrollableFactor, Factor } from "./factors/factor.ts";
import { ENTRY, SIGNED as SIGNED_ENTRY } from "./membership/entry.ts";
import { loginSecret, loginVerifier } from "./login.ts";
import { headOf } from "./membership/log.ts";
import type { GroupState } from "./membership/state.ts";
import { signMessage } from "./release.ts";
import { listedWays, takeSignedList, type MemberState } from "./state.ts";
import { isPrintable, lengthOf } from "./text.ts";
import { isGuessable, refusedTraits, traitsOf } from "./traits.ts";

const CHANGE = "twinlock/v1/member-change";
const PROPOSAL = "twinlock/v2/proposal";

/** An unlocked member's state and keys, and the time in seconds since 1970. */
export interface Inside {
  readonly state: MemberState;
  readonly keys: MemberKeys;
  readonly now: number;
}

/** A way in to be made: its factors, all of them needed, and what the member calls it. */
export interface NewWay {
  readonly factors: readonly EnrollableFactor[];
  readonly label: string;
  /** What the server compares sign-ins with, by kind. */
  readonly logins?: readonly Login[];
}

/** `split` or `passkey`, and the value; what a change does not name stays. */
export type Login = readonly [kind: string, value: Bytes];

/** A change that is ready for the server; nothing happened here before `apply`. */
export interface PreparedChange {
  readonly change: Bytes;
  apply(): void;
}

/**
 * Make a way in, unlocking the seed anew with `present`, the factors of one that counts already.
 * `insteadOf`, an enrolment's id, makes it a change.
 *
 * Throws `factor.*` or `enrolment.*`.
 */
export async function prepareEnrolment(
  inside: Inside,
  present: readonly Factor[],
  way: NewWay,
  { insteadOf = null, solePasskey = false }: { insteadOf?: Bytes | null; solePasskey?: boolean } = {},
): Promise<PreparedChange> {
  const { state, now } = inside;
  if (lengthOf(way.label) > MAX_LABEL || !isPrintable(way.label)) {
    throw new TwinlockError(
      "enrolment.label",
      `A label has at most ${MAX_LABEL} printable characters.`,
      "Call it what you will know it by, such as 'laptop'.",
    );
  }
  const { seed, enrolment } = await unlockAny(state.enrolments, present);
  const { deploymentId, memberId } = state;
  const made = await enrol({ seed, deploymentId, memberId, kem: enrolment.kem }, way.factors);
  const kinds = kindsOf(made);
  const { enrolmentId } = made;
  const listed: Listed = { enrolmentId, kinds, label: way.label, made: now, atServer: !isGuessable(kinds) };
  const kept = insteadOf === null ? listedWays(state) : without(listedWays(state), insteadOf);
  const logins = [...(way.logins ?? []), ...(await changedLogins(state, made, way, insteadOf))];
  return prepare(inside, [...kept, listed], [made], logins, solePasskey);
}

/** Let a way in no longer count, without a new one. Throws `enrolment.unknown` or `enrolment.last`. */
export function prepareDrop(inside: Inside, enrolmentId: Bytes, solePasskey = false): Promise<PreparedChange> {
  return prepare(inside, without(listedWays(inside.state), enrolmentId), [], [], solePasskey);
}

/**
 * Take the server's list of a member's ways in, with the enrolments that are kept there.
 *
 * Throws `enrolment.list-damaged`, `enrolment.list-rolled-back` or `enrolment.list-forked`.
 */
export async function takeBundle({ state, keys }: Inside, raw: Bytes): Promise<void> {
  const bundle = decodeMemberBundle(raw, state.deploymentId);
  const listed = await verifyList(bundle.signedList, keys.signing.public);
  if (!equal(listed.memberId, state.memberId) || !equal(listed.deploymentId, state.deploymentId)) {
    throw damagedList("The list of ways in is another member's.");
  }
  const known = state.listed?.counter ?? 0;
  if (listed.counter < known) {
    throw new TwinlockError(
      "enrolment.list-rolled-back",
      "The server shows an older list of this member's ways in than this agent knows.",
      "Do not sign in; tell an admin. The server's database may have been set back.",
    );
  }
  if (listed.counter === known && state.listed !== null && !sameList(listed, state.listed)) {
    throw new TwinlockError(
      "enrolment.list-forked",
      "This agent and the server know two lists of this member's ways in, equally old.",
      "Two devices changed them at once: repeat one device's change.",
    );
  }
  if (listed.counter > known) takeSignedList(state, bundle.signedList, listed, bundle.enrolments);
}

async function prepare(
  inside: Inside,
  ways: readonly Listed[],
  made: readonly Enrolment[],
  logins: readonly Login[],
  solePasskey: boolean,
): Promise<PreparedChange> {
  const { state, keys } = inside;
  const traits = traitsOf(ways.map(({ kinds }) => kinds));
  checkWays(ways, traits, solePasskey);
  const groups = ownGroups(state);
  for (const { policy, name } of groups) {
    const refused = refusedTraits(policy, traits);
    if (refused.length > 0) throw refusedBy(name, refused);
  }
  const listed = nextList(state, ways);
  const signed = await signMessage(encodeList(listed), keys.signing);
  const after = { ...state };
  takeSignedList(after, signed, listed, made);
  const there = new Set(ways.filter(({ atServer }) => atServer).map(({ enrolmentId }) => hex(enrolmentId)));
  const blobs = after.enrolments.filter(({ enrolmentId }) => there.has(hex(enrolmentId)));
  const outdated = groups.filter(({ members }) => {
    const stated = members.get(hex(state.memberId))!.member.traits;
    return stated.join() !== traits.join();
  });
  const proposals = await Promise.all(outdated.map((group) => restated(inside, group, traits)));
  const compared = logins.length === 0 ? null : logins.map((login) => [...login]);
  const message = encode([CHANGE, signed, blobs.map(({ raw }) => raw), compared, proposals]);
  return {
    change: await signMessage(message, keys.signing),
    apply: () => takeSignedList(state, signed, listed, made),
  };
}

/**
 * A password that takes the place of another signs in where that one did, by split login (SPEC 26): else
 * the old one would go on signing in.
 */
async function changedLogins(
  state: MemberState,
  made: Enrolment,
  { factors }: NewWay,
  insteadOf: Bytes | null,
): Promise<Login[]> {
  const before = insteadOf === null ? undefined : listedWays(state).find((way) => equal(way.enrolmentId, insteadOf));
  const at = made.factors.findIndex(({ kind }) => kind === "password");
  if (at < 0 || !before?.kinds.includes("password")) return [];
  const output = await factors[at]!.output(made.factors[at]!.parameters, made);
  return [["split", await loginVerifier(state.memberId, await loginSecret(output))]];
}

/** The list that follows a state's, with the member's pins of now. */
function nextList(state: MemberState, enrolments: readonly Listed[]): EnrolmentList {
  const { deploymentId, memberId, identity, listed } = state;
  if (identity === null) {
    throw new TwinlockError(
      "agent.no-identity",
      "This member has pinned no token yet.",
      "Accept an invitation, or create the member with the deployment's card.",
    );
  }
  const pins = new Map((listed?.groups ?? []).map((pin) => [hex(pin.groupId), pin]));
  for (const [id, known] of state.groups) {
    if (!known.verified) continue;
    if (known.state.members.has(hex(memberId))) pins.set(id, headOf(known.state));
    else pins.delete(id);
  }
  const groups = [...pins.keys()].sort().map((id) => pins.get(id)!);
  return { deploymentId, memberId, counter: (listed?.counter ?? 0) + 1, enrolments, identity, groups };
}

/** A log entry of the member that states the traits, as a proposal to the server. */
async function restated({ state, keys, now }: Inside, group: GroupState, traits: readonly string[]): Promise<Bytes> {
  const { deploymentId, memberId } = state;
  const { kid } = keys.signing;
  const place = [deploymentId, group.groupId, Number(group.seq) + 1, group.head];
  const entry = encode([ENTRY, ...place, "restate", [traits], memberId, kid, now]);
  const signatures = [[memberId, kid, await keys.signing.sign(entry)]];
  const signed = encode([SIGNED_ENTRY, entry, signatures, new Uint8Array(0)]);
  return encode([PROPOSAL, signed, []]);
}

/** The followed groups that this member is in, by id. */
function ownGroups(state: MemberState): GroupState[] {
  const mine = hex(state.memberId);
  return [...state.groups.keys()]
    .sort()
    .map((id) => state.groups.get(id)!)
    .filter(({ verified, state: group }) => verified && group.members.has(mine))
    .map((known) => known.state);
}

function without(ways: readonly Listed[], enrolmentId: Bytes): Listed[] {
  const kept = ways.filter((way) => !equal(way.enrolmentId, enrolmentId));
  if (kept.length < ways.length) return kept;
  throw new TwinlockError(
    "enrolment.unknown",
    "This member has no such way in.",
    "`twinlock member factors` lists them.",
  );
}

function checkWays(ways: readonly Listed[], traits: readonly string[], solePasskey: boolean): void {
  if (ways.length === 0) {
    throw new TwinlockError(
      "enrolment.last",
      "This is the last way in: without it everything sealed for this member alone is lost.",
      "Enrol another way in first.",
    );
  }
  if (ways.length > MAX_ENROLMENTS) {
    throw new TwinlockError(
      "enrolment.too-many",
      `A member has at most ${MAX_ENROLMENTS} ways in.`,
      "Drop one that is not used any more.",
    );
  }
  if (!solePasskey && traits.includes("sole-passkey")) {
    throw new TwinlockError(
      "enrolment.sole-passkey",
      "Every way in would need a passkey, and passkeys get lost with an account or a phone.",
      "Make another way in with it: a recovery code, a device key or a password.",
    );
  }
}

function refusedBy(group: string, traits: readonly string[]): TwinlockError {
  return new TwinlockError(
    "enrolment.policy",
    `The policy of group ${group} does not allow this: ${traits.join(", ")}.`,
    "Add a device key or recovery code to it, or ask the group's admins.",
  );
}
