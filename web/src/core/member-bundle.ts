/** What a server hands out of a member: before unlocking one enrolment, afterwards all (SPEC 28). */
import { equal, type Bytes } from "./bytes.ts";
import { decodeLabelled, encode, takeBytes, takeList, takeText } from "./cbor.ts";
import { decodeEnrolment, type Enrolment, type MemberKeys } from "./enrolment.ts";
import { MAX_ENROLMENTS } from "./enrolment-list.ts";
import { TwinlockError } from "./errors.ts";
import { signMessage } from "./release.ts";

const BUNDLE = "twinlock/v1/member-bundle";
const REQUEST = "twinlock/v1/member-bundle-request";
export const MAX_MEMBER_BUNDLE = 4 << 20;

/** Enrolments of one member of a deployment, and the signed list. Nothing in it is verified. */
export interface MemberBundle {
  readonly deploymentId: Bytes;
  readonly memberId: Bytes;
  readonly name: string;
  /** Empty before unlocking. */
  readonly signedList: Bytes;
  readonly enrolments: readonly Enrolment[];
}

/**
 * Decode a bundle, whose enrolments are all of one member of this deployment.
 *
 * Throws `format.*` or `member.other-deployment`.
 */
export function decodeMemberBundle(raw: Bytes, deploymentId: Bytes): MemberBundle {
  const items = decodeLabelled(raw, BUNDLE, 7, MAX_MEMBER_BUNDLE);
  const [deployment, member, name, signedList, blobs, statements] = items;
  takeList(statements);
  const enrolments = takeList(blobs, 0, MAX_ENROLMENTS).map((blob) => decodeEnrolment(takeBytes(blob)));
  const ids = { deploymentId: takeBytes(deployment, 16), memberId: takeBytes(member, 16) };
  const isOurs = [ids, ...enrolments].every(
    (each) => equal(each.deploymentId, deploymentId) && equal(each.memberId, ids.memberId),
  );
  if (!isOurs) {
    throw new TwinlockError(
      "member.other-deployment",
      "The server sent enrolments of another deployment, or of several members.",
      "Check that the deployment's card is the right one.",
    );
  }
  return { ...ids, name: takeText(name), signedList: takeBytes(signedList), enrolments };
}

/** What proves to the server that an unlocked member asks for all of its enrolments. */
export function requestOfBundle(
  { deploymentId, memberId }: Pick<MemberBundle, "deploymentId" | "memberId">,
  { signing }: MemberKeys,
  now: number,
): Promise<Bytes> {
  return signMessage(encode([REQUEST, deploymentId, memberId, now]), signing);
}
