// What the member and the group, not the server, limit (R-AGENT-6).

import type { Ledger } from "./budget.ts";
import { TwinlockError } from "./errors.ts";
import { allowsAgent, type Placement, type Policy } from "./membership/policy.ts";
import type { KnownGroup } from "./state.ts";

const DEFAULT_BUDGET_PER_HOUR = 10_000;

/** Why the member has to decide about the records of one group (its id in hexadecimal). */
export interface Reason {
  readonly groupId: string;
  readonly text: string;
}

/** Compares what is asked for with where the agent runs, its own budget and its groups' policies. */
export class Limits {
  readonly #ledger: Ledger;
  readonly placement: Placement;
  readonly #budget: number;

  constructor(
    ledger: Ledger,
    placement: Placement = "own-origin-or-program",
    budgetPerHour = DEFAULT_BUDGET_PER_HOUR,
  ) {
    this.#ledger = ledger;
    this.placement = placement;
    this.#budget = budgetPerHour;
  }

  /** DEKs of one group that are released within an hour without a decision. */
  limit({ budgetPerHour }: Policy): number {
    return Math.min(this.#budget, budgetPerHour ?? Infinity);
  }

  /** Why the member has to decide; `counts` are by group. Throws `release.placement`. */
  reasons(
    groups: ReadonlyMap<string, KnownGroup>,
    counts: ReadonlyMap<string, number>,
    now: number,
  ): Reason[] {
    return [...counts].flatMap(([groupId, count]) => {
      const { policy, name } = groups.get(groupId)!.state;
      const used = this.#ledger.withinHour(groupId, now);
      const text = this.#reason(policy, name, used, count);
      return text === null ? [] : [{ groupId, text }];
    });
  }

  #reason(policy: Policy, name: string, used: number, count: number): string | null {
    if (!allowsAgent(policy, this.placement)) {
      throw new TwinlockError(
        "release.placement",
        `Group ${name} allows no agent that runs here (${this.placement}).`,
        "Use the agent as a program or on its own origin.",
      );
    }
    if (policy.clickEach) return `group ${name} wants a click for every release`;
    const limit = this.limit(policy);
    if (used + count <= limit) return null;
    return `${used + count} records of group ${name} in an hour, budget ${limit}`;
  }
}

export function textOf(reason: Reason): string {
  return reason.text;
}
