/** The release: a member's signed answer to one request (SPEC Release). */
import type { Bytes } from "./bytes.ts";
import { decodeLabelled, encode, takeBytes } from "./cbor.ts";
import type { SigningKey } from "./keys.ts";

const RELEASE = "twinlock/v1/release";
const SIGNED = "twinlock/v1/signed";

/** One record's release key; its place in the list is its position in the request. */
export interface ReleaseItem {
  readonly dekId: Bytes;
  readonly lockDigest: Bytes;
  readonly wrapped: Bytes;
}

/** What the member signs. */
export interface Release {
  readonly deploymentId: Bytes;
  readonly requestDigest: Bytes;
  readonly memberId: Bytes;
  readonly signingKid: Bytes;
  readonly transportKid: Bytes;
  readonly transportDigest: Bytes;
  readonly time: number;
  readonly counter: number;
  readonly previous: Bytes;
  readonly auditHead: Bytes;
  readonly block: Bytes;
  readonly items: readonly ReleaseItem[];
}

export function encodeRelease(release: Release): Bytes {
  return encode([
    RELEASE,
    release.deploymentId,
    release.requestDigest,
    release.memberId,
    release.signingKid,
    release.transportKid,
    release.transportDigest,
    release.time,
    release.counter,
    release.previous,
    release.auditHead,
    release.block,
    release.items.map((item, position) => [position, item.dekId, item.lockDigest, item.wrapped]),
  ]);
}

/** Sign and encode a message as it is sent. */
export async function signMessage(message: Bytes, key: SigningKey): Promise<Bytes> {
  return encode([SIGNED, message, await key.sign(message)]);
}

/** Take a signed message apart; nobody has verified it. Throws `format.*`. */
export function splitSigned(signed: Bytes, maxSize: number): { message: Bytes; signature: Bytes } {
  const [message, signature] = decodeLabelled(signed, SIGNED, 3, maxSize);
  return { message: takeBytes(message), signature: takeBytes(signature, 64) };
}
