// Questions of applications to sign a member in. They wait at a locked agent, too: the touch that signs in
// unlocks it.

import { Failure } from "./failure.ts";
import type { Answer, Ask } from "./messages.ts";

/** Milliseconds that a question waits: the server takes its nonce for 300 seconds, the page for less. */
const WAITS = 120_000;
/** Questions that may wait, in all; one of each page. */
const MOST_WAITING = 5;

/** An application that wants to sign the member in. `origin` is verified; `allow` is what its server knows. */
export interface SignInAsked {
  readonly origin: string;
  readonly nonce: Uint8Array;
  readonly allow: readonly Uint8Array[];
  readonly relay: string;
  readonly id: string;
}

/** What the questions need of the window. */
export interface SignInOptions {
  readonly origins: ReadonlySet<string>;
  send(relay: string, answer: Answer): void;
  /** The first question that waits, or null. */
  show(first: SignInAsked | null): void;
}

/** The questions that wait. */
export class SignIns {
  readonly #options: SignInOptions;
  readonly #waiting = new Map<SignInAsked, ReturnType<typeof setTimeout>>();

  constructor(options: SignInOptions) {
    this.#options = options;
  }

  /** Take a message of a page, if it is a question to sign in or withdraws one; returns whether it was. */
  take(relay: string, origin: string, message: Ask): boolean {
    if (message.ask === "cancel") {
      for (const one of this.#of(relay)) if (one.id === message.of) this.#remove(one);
      return false;
    }
    if (message.ask !== "sign-in") return false;
    const { id, nonce, allow } = message;
    const asked: SignInAsked = { origin, nonce, allow, relay, id };
    if (!this.#options.origins.has(origin)) {
      this.fail(asked, new Failure("agent.origin", "This agent does not serve this application."));
    } else if (this.#waiting.size >= MOST_WAITING || this.#of(relay).length > 0) {
      this.fail(asked, new Failure("agent.busy", "Too many questions wait for the member already."));
    } else {
      const expire = (): void => this.fail(asked, new Failure("agent.expired", "Nobody signed in in time.", "Ask again."));
      this.#waiting.set(asked, setTimeout(expire, WAITS));
      this.#options.send(relay, { answer: "waiting", id });
      this.#show();
    }
    return true;
  }

  /** A relay is gone, and its page with it. */
  gone(relay: string): void {
    for (const one of this.#of(relay)) this.#remove(one);
  }

  /** Answer a question, unless it was withdrawn meanwhile. */
  answer(asked: SignInAsked, answer: Answer): void {
    if (this.#remove(asked)) this.#options.send(asked.relay, answer);
  }

  /** Answer that it came to nothing. */
  fail(asked: SignInAsked, { code, message, hint }: Failure): void {
    this.#remove(asked);
    this.#options.send(asked.relay, { answer: "failed", id: asked.id, code, message, hint });
  }

  #of(relay: string): SignInAsked[] {
    return [...this.#waiting.keys()].filter((one) => one.relay === relay);
  }

  #remove(asked: SignInAsked): boolean {
    clearTimeout(this.#waiting.get(asked));
    const was = this.#waiting.delete(asked);
    if (was) this.#show();
    return was;
  }

  #show(): void {
    this.#options.show([...this.#waiting.keys()][0] ?? null);
  }
}
