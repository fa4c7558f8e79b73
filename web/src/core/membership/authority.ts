// Who may say it: signatures of an entry, and how many admins it needs.

import { equal, hex, type Bytes } from "../bytes.ts";
import { keyId, verify } from "../primitives.ts";
import type { EntrySignature, SignedEntry } from "./entry.ts";
import type { Found, MemberRekey, Op } from "./ops.ts";
import { loweredFloors } from "./policy.ts";
import { badSignature, NotAllowedError, policyLowered } from "./refused.ts";
import { columnKey, type GroupState } from "./state.ts";

/** What one member says alone, with one signature. */
const OWN_OPS: ReadonlySet<Op["name"]> = new Set([
  "found",
  "leave",
  "restate",
  "recovery-begin",
  "recovery-cancel",
]);

/** The floors that an operation lowers: those of a policy, and a column's cut-over (R-LOG-13). */
function floorsLowered(group: GroupState, op: Op): string[] {
  if (op.name === "set-policy") return loweredFloors(group.policy, op.policy);
  if (op.name === "set-column" && op.state === 1) {
    const cutOver = group.columns.get(columnKey(op.table, op.column))?.state === 2;
    return cutOver ? ["cut_over"] : [];
  }
  return [];
}

/** Check that a founding admin, alone, signed entry 0 (R-LOG-10). */
export async function checkFounder(signed: SignedEntry, op: Found): Promise<void> {
  const { actorId } = signed.entry;
  // Of two rows with one id the last would count; `effects` refuses such an entry anyway.
  const founder = op.members.findLast(({ member }) => equal(member.memberId, actorId));
  if (founder === undefined) throw new NotAllowedError("not-a-member");
  await checkActor(signed, founder.member.signingPublic);
  if (founder.role !== "admin") throw new NotAllowedError("not-an-admin");
  if (signed.signatures.length > 1) throw new NotAllowedError("stray-signature");
}

/**
 * Check every signature, and that those who signed may do this together (R-LOG-6, R-LOG-11).
 *
 * Throws `log.bad-signature`, `log.not-allowed` or `log.policy-lowered`.
 */
export async function checkAuthority(group: GroupState, signed: SignedEntry): Promise<void> {
  const { op, actorId } = signed.entry;
  await checkActor(signed, signingKeyOf(group, actorId));
  if (op.name === "member-rekey") return checkNewKey(signed, op);
  if (OWN_OPS.has(op.name)) {
    if (signed.signatures.length > 1) throw new NotAllowedError("stray-signature");
    return;
  }
  await checkAdmins(group, signed);
}

async function checkActor(signed: SignedEntry, signingPublic: Bytes): Promise<void> {
  const first = signed.signatures[0]!;
  const { actorId, actorKid } = signed.entry;
  if (!equal(first.memberId, actorId) || !equal(first.kid, actorKid)) throw badSignature(actorId);
  await checkSignature(signingPublic, signed, first);
}

async function checkNewKey(signed: SignedEntry, op: MemberRekey): Promise<void> {
  const [, second, ...more] = signed.signatures;
  const theirs =
    second !== undefined &&
    equal(second.memberId, signed.entry.actorId) &&
    equal(second.kid, op.keys.signingKid);
  if (!theirs || more.length > 0) throw new NotAllowedError("new-key-signature");
  await checkSignature(op.keys.signingPublic, signed, second);
}

async function checkAdmins(group: GroupState, signed: SignedEntry): Promise<void> {
  const { op, actorId } = signed.entry;
  const { admins } = group;
  if (!admins.has(hex(actorId))) throw new NotAllowedError("not-an-admin");
  const signers = new Set([hex(actorId)]);
  for (const signature of signed.signatures.slice(1)) {
    const id = hex(signature.memberId);
    if (signers.has(id) || !admins.has(id)) throw new NotAllowedError("stray-signature");
    await checkSignature(signingKeyOf(group, signature.memberId), signed, signature);
    signers.add(id);
  }
  const lowered = floorsLowered(group, op);
  const { adminK } = group.founding;
  const required = lowered.length > 0 && adminK < 2 ? admins.size : adminK;
  if (signers.size >= required) return;
  throw lowered.length > 0 ? policyLowered(lowered) : new NotAllowedError("too-few-admins");
}

function signingKeyOf(group: GroupState, memberId: Bytes): Bytes {
  const membership = group.membership(memberId);
  if (membership !== undefined) return membership.member.signingPublic;
  const gone = group.removed.has(hex(memberId));
  throw new NotAllowedError(gone ? "removed-member" : "not-a-member");
}

async function checkSignature(
  signingPublic: Bytes,
  signed: SignedEntry,
  signature: EntrySignature,
): Promise<void> {
  if (!equal(signature.kid, await keyId(signingPublic))) throw new NotAllowedError("other-key");
  await verify(signingPublic, signed.entryBytes, signature.signature).catch((error: unknown) => {
    throw badSignature(signature.memberId, error);
  });
}
