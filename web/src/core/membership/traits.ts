// What members state about their ways in, and what of it a group's policy has to except.

import { takeList, takeText, type Value } from "../cbor.ts";
import { malformed } from "../errors.ts";

/** Traits with which a group takes a member only if its policy says so, ascending. */
export const EXCEPTIONS = ["scram-alone", "sole-passkey"] as const;

export const PQ_AT_REST = "pq-at-rest";

/** Every trait that a member can state, ascending. */
export const TRAITS = [PQ_AT_REST, ...EXCEPTIONS] as const;

/** Read known words in ascending order, each once, else throw `format.malformed` (R-LOG-36). */
export function takeWords<W extends string>(
  value: Value | undefined,
  known: readonly W[],
): readonly W[] {
  const words = takeList(value, 0, known.length).map((item) => takeText(item));
  const ordered = known.filter((word) => words.includes(word));
  if (ordered.length !== words.length || !ordered.every((word, at) => word === words[at])) {
    throw malformed("it does not list known words in ascending order");
  }
  return ordered;
}

/** Which of the traits need an exception that is not made (R-LOG-39). */
export function unexcepted(
  traits: readonly string[],
  exceptions: readonly string[],
): readonly string[] {
  return EXCEPTIONS.filter((trait) => traits.includes(trait) && !exceptions.includes(trait));
}
