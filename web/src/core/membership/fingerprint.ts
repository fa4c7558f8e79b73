// Fingerprints for people: 40 digits in 8 groups of 5, to compare by phone (R-LOG-32).

import { toBigInt } from "../bytes.ts";
import { encode } from "../cbor.ts";
import { sha256 } from "../primitives.ts";
import type { PinnedHead } from "./refused.ts";

const LABEL = "twinlock/v1/fingerprint";
const DIGITS = 40;

/**
 * The fingerprint of a group's whole history up to `pin.seq`. Two people compare it at the same
 * seq; it covers members, keys, policy and writers.
 */
export async function logFingerprint(pin: PinnedHead): Promise<string> {
  const digest = await sha256(encode([LABEL, "log", pin.groupId, pin.seq, pin.head]));
  const digits = (toBigInt(digest) % 10n ** BigInt(DIGITS)).toString().padStart(DIGITS, "0");
  return digits.match(/.{5}/g)!.join(" ");
}
