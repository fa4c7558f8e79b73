// What the decoders of the membership formats share (SPEC Membership log).

import type { Bytes } from "../bytes.ts";
import { takeText, takeUint, type Value } from "../cbor.ts";
import { malformed } from "../errors.ts";
import { DHKEM_P256, MLKEM768_X25519, type Kem } from "../points.ts";
import { isPrintable, lengthOf } from "../text.ts";

export const ID_SIZE = 16;
export const HASH_SIZE = 32;
export const SIGNATURE_SIZE = 64;
export const MAX_ADMINS = 1024;

const MAX_NAME = 200;

/** A name that people read, as R-LOG-33 has it, else throws `format.malformed`. */
export function takeName(value: Value | undefined): string {
  const name = takeText(value);
  const length = lengthOf(name);
  const trimmed = !name.startsWith(" ") && !name.endsWith(" ");
  if (!trimmed || !isPrintable(name) || length < 1 || length > MAX_NAME) {
    throw malformed("a name in it is out of range");
  }
  return name;
}

/** The KEM of this number, else throws `format.malformed`. */
export function takeKem(value: Value | undefined): Kem {
  const kem = takeUint(value);
  if (kem !== DHKEM_P256 && kem !== MLKEM768_X25519) throw malformed("it names an unknown KEM");
  return kem;
}

/** One of these words, else throws `format.malformed`. */
export function takeWord<W extends string>(value: Value | undefined, words: readonly W[]): W {
  const text = takeText(value);
  const found = words.find((word) => word === text);
  if (found === undefined) throw malformed("it holds an unknown word");
  return found;
}

/** Whether `left` comes before `right`, byte by byte. */
export function isBefore(left: Bytes, right: Bytes): boolean {
  for (let at = 0; at < Math.min(left.length, right.length); at++) {
    if (left[at] !== right[at]) return left[at]! < right[at]!;
  }
  return left.length < right.length;
}
