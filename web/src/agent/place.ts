// Of all windows of the agent one at a time is the holder: it alone reads the member's state, so the
// counter in it cannot fork, and the budget counts over all tabs.

import { HOLDER_LOCK, READY_LOCK, WINDOW_LOCK } from "./messages.ts";

type Drop = () => void;

/** This window's place among the agent's windows, kept by locks that end with the window. */
export class Place {
  #drops: Drop[] = [];
  #holds = false;

  /** Say that this window is open, until it closes. */
  open(): void {
    void navigator.locks.request(WINDOW_LOCK, { mode: "shared" }, () => new Promise(() => undefined));
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

  /** Stop answering, and let another window be the holder. */
  leave(): void {
    for (const drop of this.#drops.reverse()) drop();
    this.#drops = [];
    this.#holds = false;
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
      const held = (lock: Lock | null): Promise<void> | undefined => {
        if (lock === null) {
          resolve(false);
          return undefined;
        }
        resolve(true);
        return new Promise((drop) => this.#drops.push(drop));
      };
      navigator.locks.request(name, { ifAvailable }, held).catch(reject);
    });
  }
}
