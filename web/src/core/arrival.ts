/** Arriving in a browser that knows nothing of a member yet (SPEC 28). */
import { equal, type Bytes } from "./bytes.ts";
import type { Deployment } from "./deployment.ts";
import { memberKeys, unlockAny, type MemberKeys } from "./enrolment.ts";
import { damagedList, verifyList } from "./enrolment-list.ts";
import { TwinlockError } from "./errors.ts";
import type { Factor } from "./factors/factor.ts";
import { decodeMemberBundle, requestOfBundle, type MemberBundle } from "./member-bundle.ts";
import { newState, takeSignedList, type MemberState } from "./state.ts";

/** A member whose enrolment was just unlocked; nothing is kept yet. */
export interface Arrived {
  readonly state: MemberState;
  readonly keys: MemberKeys;
}

/**
 * Unlock one of a bundle's enrolments with all of its factors, then fetch and verify the rest.
 *
 * The card pins the token, the member's own signed list the groups; nothing else is believed. Throws
 * `format.*`, `factor.*`, `member.other-deployment`, `enrolment.list-damaged`,
 * `enrolment.not-listed`, `directory.identity`, and what `fetchAll` throws.
 */
export async function arrive(
  first: MemberBundle,
  factors: readonly Factor[],
  { deployment, now, fetchAll }: { deployment: Deployment; now: number; fetchAll(request: Bytes): Promise<Bytes> },
): Promise<Arrived> {
  const { seed, enrolment } = await unlockAny(first.enrolments, factors);
  const keys = await memberKeys(seed, enrolment.kem);
  const all = decodeMemberBundle(await fetchAll(await requestOfBundle(first, keys, now)), deployment.deploymentId);
  const listed = await verifyList(all.signedList, keys.signing.public);
  if (!equal(listed.deploymentId, first.deploymentId) || !equal(listed.memberId, first.memberId)) {
    throw damagedList("The list of ways in is another member's.");
  }
  if (!equal(listed.identity, deployment.identity)) {
    throw new TwinlockError(
      "directory.identity",
      "The member's own list names another token than the deployment's card.",
      "Compare the token's fingerprint with an admin before you go on.",
    );
  }
  if (!listed.enrolments.some(({ enrolmentId }) => equal(enrolmentId, enrolment.enrolmentId))) {
    throw new TwinlockError(
      "enrolment.not-listed",
      "This way in does not count any more: the member ended it.",
      "Use a present one. If you did not end it, tell an admin: it was put back.",
    );
  }
  const state = newState(first, deployment.identity);
  takeSignedList(state, all.signedList, listed, all.enrolments);
  return { state, keys };
}
