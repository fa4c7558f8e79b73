// What an application can show about the agent while its requests wait.

import type { Status } from "../agent/messages.ts";

/**
 * - `idle`: nothing waits.
 * - `no-agent`, `locked`: a request waits until the person opens or unlocks the agent.
 * - `deciding`: a request waits for the person's decision in the agent's window.
 * - `refused`: the person refused the last request.
 */
export type State = "idle" | "no-agent" | "locked" | "deciding" | "refused";

/** Follows what requests wait for, and says so when it changes. */
export class Waits {
  #status: Status | null = null;
  #forAgent = 0;
  #forPerson = 0;
  #refused = false;
  #said: State = "idle";
  #ready = new Set<() => void>();
  readonly #changed: () => void;
  readonly #agentChanged: () => void;

  constructor(changed: () => void, agentChanged: () => void) {
    this.#changed = changed;
    this.#agentChanged = agentChanged;
  }

  get state(): State {
    return this.#said;
  }

  /** Whether the agent was unlocked when last heard of. */
  get isReady(): boolean {
    return this.#status === "ready";
  }

  /** Where the agent was when last heard of. */
  get status(): Status | null {
    return this.#status;
  }

  /** The agent's status, as asked or told. */
  agent(status: Status): void {
    const changed = status !== this.#status;
    this.#status = status;
    if (changed) this.#agentChanged();
    if (status === "ready") {
      for (const go of this.#ready) go();
      this.#ready.clear();
    }
    this.#say();
  }

  /** A person has to decide, or need not any more. */
  person(begins: boolean): void {
    this.#forPerson += begins ? 1 : -1;
    this.#say();
  }

  /** The person refused, or a new request begins. */
  refused(refused: boolean): void {
    this.#refused = refused;
    this.#say();
  }

  /** Wait until the agent is unlocked. Fails with the signal's reason. */
  async untilReady(signal: AbortSignal): Promise<void> {
    if (this.#status === "ready") return;
    let go = (): void => undefined;
    this.#forAgent += 1;
    this.#say();
    try {
      await new Promise<void>((resolve, reject) => {
        go = resolve;
        this.#ready.add(go);
        signal.addEventListener("abort", () => reject(signal.reason));
      });
    } finally {
      this.#ready.delete(go);
      this.#forAgent -= 1;
      this.#say();
    }
  }

  #say(): void {
    const state = this.#now();
    if (state === this.#said) return;
    this.#said = state;
    this.#changed();
  }

  #now(): State {
    if (this.#forPerson > 0) return "deciding";
    if (this.#forAgent > 0 && this.#status !== null && this.#status !== "ready") return this.#status;
    return this.#refused ? "refused" : "idle";
  }
}
