/** What a member's ways in come to: what is kept where, and what has to be stated in logs (SPEC 18, 28). */
import { FULL_STRENGTH } from "./factors/factor.ts";
import { TRAITS, unexcepted } from "./membership/traits.ts";
import type { Policy } from "./membership/policy.ts";

type Trait = (typeof TRAITS)[number];

/** Kinds of full strength with no classical public-key step that a stored value could be broken by. */
const SYMMETRIC = ["device-key", "recovery-code", "passkey"];

/** Whether a stolen enrolment of these factors can be tested offline with guesses. */
export function isGuessable(kinds: readonly string[]): boolean {
  return !kinds.some((kind) => kind === "password" || FULL_STRENGTH.has(kind));
}

/** What a member with these enrolments, each a list of kinds, has to state; ascending. */
export function traitsOf(ways: readonly (readonly string[])[]): Trait[] {
  const holds: Record<Trait, boolean> = {
    "pq-at-rest": ways.every((kinds) => kinds.some((kind) => SYMMETRIC.includes(kind))),
    "scram-alone": ways.some((kinds) => kinds.includes("scram") && !kinds.some((kind) => FULL_STRENGTH.has(kind))),
    "sole-passkey": ways.every((kinds) => kinds.includes("passkey")),
  };
  return ways.length === 0 ? [] : TRAITS.filter((trait) => holds[trait]);
}

/** What of a member's traits, or which missing one, a group's policy refuses. */
export function refusedTraits(policy: Policy, traits: readonly Trait[]): string[] {
  const missing = policy.pqAtRest && !traits.includes("pq-at-rest") ? ["pq-at-rest"] : [];
  return [...unexcepted(traits, policy.exceptions), ...missing];
}
