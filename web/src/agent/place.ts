// Of all windows of the agent one at a time is the holder: it alone reads the member's state, so the
// counter in it cannot fork, and the budget counts over all tabs.

import { HOLDER_LOCK, READY_LOCK, WINDOW_LOCK } from "./messages.ts";

/** A lock that this window holds: how to let go of it, and when it is gone. */
interface Held {
  drop(): void;
  readonly gone: Promise<unknown>;
}

/** This window's place among the agent's windows, kept by locks that end with the window. */
export class Place {
  #held: Held[] = [];
  #holds = false;

  /** Say that this window is open, until it closes. */
  open(): Promise<void> {
    return new Promise((said, failed) => {
      const untilClosed = (): Promise<never> => {
        said();
        return new Promise(() => undefined);
      };
      navigator.locks.request(WINDOW_LOCK, { mode: "shared" }, untilClosed).catch(failed);
    });
  }

  /** Become the holder. Returns false if another window is. */
  async hold(): Promise<boolean> {
    this.#holds = await this.#take(HOLDER_LOCK, true);
    return this.#holds;
  }

  /** Say that the holder answers from now on. */
  async ready(): Promise<void> {
    await this.#take(READY_LOCK, false);
  }

  /** Stop answering, and let another window be the holder: it can be when this resolves. */
  async leave(): Promise<void> {
    const held = this.#held.splice(0).reverse();
    this.#holds = false;
    for (const lock of held) lock.drop();
    await Promise.all(held.map((lock) => lock.gone));
  }

  /** Whether another window is the holder now. */
  async isTaken(): Promise<boolean> {
    const { held } = await navigator.locks.query();
    return !this.#holds && (held?.some((lock) => lock.name === HOLDER_LOCK) ?? false);
  }

  /** Wait until no window is the holder. */
  async whenFree(): Promise<void> {
    await navigator.locks.request(HOLDER_LOCK, { mode: "shared" }, () => undefined);
  }

  #take(name: string, ifAvailable: boolean): Promise<boolean> {
    return new Promise((resolve, reject) => {
      let drop = (): void => undefined;
      const held = new Promise<void>((done) => {
        drop = done;
      });
      const gone = navigator.locks.request(name, { ifAvailable }, (lock) => {
        resolve(lock !== null);
        if (lock === null) return undefined;
        this.#held.push({ drop, gone });
        return held;
      });
      gone.catch(reject);
    });
  }
}
