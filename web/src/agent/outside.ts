// The worker's way out: it asks the window, which asks a page of the application (carriers.ts).

import type { Told, Want, WantName } from "./carrying.ts";
import { Failure } from "./failure.ts";
import type { FromWorker, ToWorker } from "./worker-messages.ts";

/** Asks for what lies outside of the worker. */
export class Outside {
  /** The deployment's card as text; empty where the agent's server names none. */
  card = "";
  readonly #post: (message: FromWorker) => void;
  readonly #waiting = new Map<number, { resolve(value: unknown): void; reject(error: Failure): void }>();
  #asked = 0;

  constructor(post: (message: FromWorker) => void) {
    this.#post = post;
  }

  /** Have something fetched. Fails with `agent.no-page`, `agent.page-silent`, or what the application says. */
  fetch<K extends WantName>(want: Extract<Want, { want: K }>): Promise<Told<K>> {
    const wants = ++this.#asked;
    return new Promise((resolve, reject) => {
      this.#waiting.set(wants, { resolve: resolve as (value: unknown) => void, reject });
      this.#post({ wants, want });
    });
  }

  /** Take what came of it. */
  told(message: Extract<ToWorker, { told: number }>): void {
    const waiting = this.#waiting.get(message.told);
    this.#waiting.delete(message.told);
    if ("failed" in message) {
      const { code, message: text, hint } = message.failed;
      waiting?.reject(new Failure(code, text, hint));
    } else waiting?.resolve(message.value);
  }
}
