// The agent's own brake: how many DEKs it releases by itself. Counts stay in the member's own state,
// so a server cannot talk an agent into more by asking in small pieces (R-AGENT-6).

import { fromHex, hex } from "./bytes.ts";
import { takeBytes, takeItems, takeList, takeNumber, type Value } from "./cbor.ts";

const HOUR = 3600;

/** DEKs released per group (its id in hexadecimal), by minute since 1970, for the last hour. */
export class Ledger {
  readonly #spent = new Map<string, Map<number, number>>();

  /** Read what `items` returned. Throws `format.malformed`. */
  static fromItems(value: Value | undefined): Ledger {
    const ledger = new Ledger();
    for (const row of takeList(value)) {
      const [groupId, minutes] = takeItems(row, 2);
      const counted = takeList(minutes).map((entry) => takeItems(entry, 2));
      const byMinute = counted.map(([minute, n]) => [takeNumber(minute), takeNumber(n)] as const);
      ledger.#spent.set(hex(takeBytes(groupId, 32)), new Map(byMinute));
    }
    return ledger;
  }

  /** How many DEKs of a group were released in the hour before `now`, in seconds since 1970. */
  withinHour(groupId: string, now: number): number {
    // A clock that was set back does not free anything: later minutes still count.
    const first = firstMinute(now);
    let sum = 0;
    for (const [minute, count] of this.#spent.get(groupId) ?? []) {
      if (minute > first) sum += count;
    }
    return sum;
  }

  /** Book a release, and forget what is older than an hour. */
  spend(counts: ReadonlyMap<string, number>, now: number): void {
    const minute = Math.floor(now / 60);
    const first = firstMinute(now);
    for (const [groupId, count] of counts) {
      const kept = [...(this.#spent.get(groupId) ?? [])].filter(([at]) => at > first);
      const byMinute = new Map(kept);
      byMinute.set(minute, (byMinute.get(minute) ?? 0) + count);
      this.#spent.set(groupId, byMinute);
    }
  }

  items(): Value[] {
    return [...this.#spent].map(([groupId, byMinute]) => [
      fromHex(groupId),
      [...byMinute].sort(([left], [right]) => left - right).map((entry) => [...entry]),
    ]);
  }
}

function firstMinute(now: number): number {
  return Math.floor((now - HOUR) / 60);
}
