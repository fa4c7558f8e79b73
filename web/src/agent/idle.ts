// When an unlocked agent locks itself.

/** Minutes to choose from, and the most that a member's absence from this window may last. */
export const LOCK_AFTER = [5, 15, 30, 60] as const;
export const DEFAULT_LOCK_AFTER = 15;
export const MOST_HOURS_AWAY = 8;

const MINUTE = 60_000;

/**
 * Counts the time without use. A request of an application is use, so that nobody who works there is
 * locked out; but a page that asks for ever keeps the agent open for 8 hours after the member was
 * last in this window, and no longer. `now` is in milliseconds.
 */
export class Idle {
  readonly #now: () => number;
  #minutes: number;
  #used: number;
  #present: number;

  constructor(now: () => number, minutes: number) {
    this.#now = now;
    this.#minutes = minutes;
    this.#used = this.#present = now();
  }

  /** The member did something in this window. */
  present(): void {
    this.#used = this.#present = this.#now();
  }

  /** An application asked. */
  asked(): void {
    this.#used = this.#now();
  }

  /** Lock after so many minutes without use. */
  set minutes(minutes: number) {
    this.#minutes = minutes;
  }

  /** Whether it is time to lock. */
  isOver(): boolean {
    const now = this.#now();
    return now >= this.#used + this.#minutes * MINUTE || now >= this.#present + MOST_HOURS_AWAY * 60 * MINUTE;
  }
}
