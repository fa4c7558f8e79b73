// When a press on Release counts: not within the first moments in which a person could have meant
// another thing (a card that just appeared, a window that just came to the front), never in a window
// without focus. So no page can place this window under a click that was meant for itself.

/** How long the window must have been steady and in front, in milliseconds. */
export const STEADY = 600;

/** Knows since when the window is steady. `now` is a clock in milliseconds that never goes back. */
export class Guard {
  readonly #now: () => number;
  #since: number | null = null;

  constructor(now: () => number) {
    this.#now = now;
  }

  /** What is shown changed, or the window came to the front, moved or was resized. */
  disturbed(hasFocus: boolean): void {
    this.#since = hasFocus ? this.#now() : null;
  }

  /** Milliseconds until a press counts; null if it never will without the window in front. */
  left(): number | null {
    return this.#since === null ? null : Math.max(0, this.#since + STEADY - this.#now());
  }
}
