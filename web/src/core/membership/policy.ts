// A group's policy: the floors below which no agent of the group goes.

import {
  takeBool,
  takeItems,
  takeList,
  takeNumber,
  takeUint,
  type Uint,
  type Value,
} from "../cbor.ts";
import { malformed } from "../errors.ts";
import { EXCEPTIONS, takeWords, unexcepted } from "./traits.ts";
import { takeWord } from "./wire.ts";

/** Where a member's agent may run, strictest first. Each allows those before it as well. */
export const PLACEMENTS = ["own-origin-or-program", "application-page", "server"] as const;
export type Placement = (typeof PLACEMENTS)[number];

const AUTHORS = ["signature"] as const;
const OUTER_SUITES = 3;
const MAX_BUDGET = 2 ** 31 - 1;

/**
 * `budgetPerHour`: DEKs that an agent releases by itself within an hour; null is no limit.
 * `exceptions`: the traits, of those that need one, with which members are taken all the same.
 */
export interface Policy {
  readonly outerSuites: readonly Uint[];
  readonly author: (typeof AUTHORS)[number];
  readonly placement: Placement;
  readonly budgetPerHour: number | null;
  readonly clickEach: boolean;
  readonly pqAtRest: boolean;
  readonly exceptions: readonly (typeof EXCEPTIONS)[number][];
}

/** Read a policy. Throws `format.malformed`. */
export function takePolicy(value: Value | undefined): Policy {
  const [suites, author, placement, budget, clickEach, pqAtRest, exceptions] = takeItems(value, 7);
  return {
    outerSuites: takeSuites(suites),
    author: takeWord(author, AUTHORS),
    placement: takeWord(placement, PLACEMENTS),
    budgetPerHour: budget === null ? null : takeNumber(budget, MAX_BUDGET),
    clickEach: takeBool(clickEach),
    pqAtRest: takeBool(pqAtRest),
    exceptions: takeWords(exceptions, EXCEPTIONS),
  };
}

function takeSuites(value: Value | undefined): Uint[] {
  const numbers = takeList(value, 1, OUTER_SUITES).map((item) => takeUint(item));
  const known = numbers.every((number) => number >= 1 && number <= OUTER_SUITES);
  const ascending = numbers.every((number, at) => at === 0 || numbers[at - 1]! < number);
  if (!known || !ascending) {
    throw malformed("its outer suites are not known ones in ascending order");
  }
  return numbers;
}

export function policyItems(policy: Policy): Value[] {
  const { outerSuites, author, placement, budgetPerHour, clickEach, pqAtRest } = policy;
  return [outerSuites, author, placement, budgetPerHour, clickEach, pqAtRest, policy.exceptions];
}

/** The floors that going from one policy to another would lower (R-LOG-13). */
export function loweredFloors(from: Policy, to: Policy): string[] {
  const lowered = {
    agent_placement: PLACEMENTS.indexOf(to.placement) > PLACEMENTS.indexOf(from.placement),
    budget_per_hour: (to.budgetPerHour ?? Infinity) > (from.budgetPerHour ?? Infinity),
    click_each: from.clickEach && !to.clickEach,
    exceptions: unexcepted(to.exceptions, from.exceptions).length > 0,
    outer_suites: !to.outerSuites.every((suite) => from.outerSuites.includes(suite)),
    pq_at_rest: from.pqAtRest && !to.pqAtRest,
  };
  return Object.entries(lowered).flatMap(([name, lower]) => (lower ? [name] : []));
}

/** Whether an agent that runs there may release records of the group. */
export function allowsAgent(policy: Policy, placement: Placement): boolean {
  return PLACEMENTS.indexOf(placement) <= PLACEMENTS.indexOf(policy.placement);
}
