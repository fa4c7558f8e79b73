// Where requests arrive. Those within the budget are answered at once, the others wait here for the
// member's decision. Releases are made one after the other, and the state that counts a release is
// stored before the release leaves.

import { asFailure, Failure } from "./failure.ts";
import { MOST_TEXT } from "./carrying.ts";
import type { Answer, Ask } from "./messages.ts";
import type { Engine, MemberShown, RequestShown } from "./types.ts";

/** Requests that may wait for a decision, in all and of one application; more are refused. */
const MOST_WAITING = 20;
const MOST_WAITING_OF_ORIGIN = 5;

/** A question together with who asked: the relay's name, and the origin that it verified. */
export interface Asked {
  readonly relay: string;
  readonly origin: string;
  readonly message: Ask;
}

/** A request that waits for the member. `settle` is called once, with the decision. */
export interface Decision {
  readonly origin: string;
  readonly request: RequestShown;
  settle(released: boolean): void;
}

/** What was answered, for the list in the window. `at` is in milliseconds since 1970. */
export interface Done {
  readonly at: number;
  readonly origin: string;
  readonly request: RequestShown;
  readonly outcome: "released" | "approved" | "refused" | "expired";
}

/** What the desk needs of the window. */
export interface DeskOptions {
  readonly engine: Engine;
  readonly origins: ReadonlySet<string>;
  store(state: Uint8Array): Promise<void>;
  send(relay: string, answer: Answer): void;
  now(): number;
  /** The first decision that waits, or null; and how many wait. */
  decide(first: Decision | null, waiting: number): void;
  done(entry: Done): void;
  counted(member: MemberShown): void;
  /** The state could not be stored: nothing more may be released. */
  stuck(error: Failure): void;
}

interface Waiting extends Decision {
  readonly relay: string;
  readonly id: string;
  readonly timer: ReturnType<typeof setTimeout>;
}

/** Answers the questions of all applications; one for each unlocking. */
export class Desk {
  readonly #options: DeskOptions;
  readonly #waiting: Waiting[] = [];
  readonly #live = new Set<string>();
  #queue: Promise<void> = Promise.resolve();
  #closed = false;

  constructor(options: DeskOptions) {
    this.#options = options;
  }

  /** Take a question. Whatever happens, its asker gets one answer, unless it withdraws. */
  take(asked: Asked): void {
    const { message, origin } = asked;
    if (!this.#options.origins.has(origin)) {
      this.#fail(asked, new Failure("agent.origin", "This agent does not serve this application."));
    } else if (message.ask === "cancel") {
      this.#withdraw(key(asked.relay, message.of));
    } else if (message.ask === "hello") {
      this.#enqueue(asked, () => this.#hello(asked, message.session));
    } else if (message.ask === "release") {
      this.#enqueue(asked, () => this.#consider(asked, message.bundle));
    }
  }

  /** A relay is gone: nobody waits for its answers any more. */
  gone(relay: string): void {
    for (const name of this.#live) if (name.startsWith(key(relay, ""))) this.#withdraw(name);
  }

  /** Refuse everything that waits, and everything that comes. */
  close(): void {
    this.#closed = true;
    for (const one of this.#waiting.splice(0)) {
      clearTimeout(one.timer);
      this.#fail(asAsked(one), new Failure("agent.locked", "The agent was locked."));
    }
    this.#options.decide(null, 0);
  }

  /** Do one thing after the other; what was withdrawn meanwhile is not done. */
  #enqueue(asked: Asked, work: () => Promise<void>): void {
    this.#live.add(keyOf(asked));
    this.#queue = this.#queue.then(async () => {
      try {
        if (this.#live.has(keyOf(asked))) await work();
      } catch (error) {
        this.#fail(asked, asFailure(error));
      }
    });
  }

  async #hello(asked: Asked, session: Uint8Array): Promise<void> {
    const hello = await this.#options.engine.hello(session);
    this.#answer(asked, { answer: "hello", id: asked.message.id, hello });
  }

  async #consider(asked: Asked, bundle: Uint8Array): Promise<void> {
    const request = await this.#options.engine.examine(bundle);
    if (!this.#live.has(keyOf(asked))) return;
    if (request.reasons.length === 0) await this.#release(asked, bundle, request, false);
    else this.#ask(asked, bundle, request);
  }

  #ask(asked: Asked, bundle: Uint8Array, request: RequestShown): void {
    const ofOrigin = this.#waiting.filter((one) => one.origin === asked.origin).length;
    if (this.#waiting.length >= MOST_WAITING || ofOrigin >= MOST_WAITING_OF_ORIGIN) {
      throw new Failure("agent.busy", "Too many requests wait for the member's decision already.");
    }
    const { origin, relay, message } = asked;
    const left = Math.max(0, request.expires * 1000 - this.#options.now());
    const settle = (released: boolean): void => {
      if (!this.#remove(one)) return;
      if (released) this.#enqueue(asked, () => this.#release(asked, bundle, request, true));
      else this.#end(one, "refused", new Failure("agent.refused", "The member refused.", "If it was a slip, ask again."));
    };
    const timer = setTimeout(() => {
      if (this.#remove(one)) {
        this.#end(one, "expired", new Failure("agent.expired", "Nobody decided in time.", "Ask again."));
      }
    }, left);
    const one: Waiting = { origin, relay, id: message.id, request, settle, timer };
    this.#waiting.push(one);
    this.#options.send(relay, { answer: "waiting", id: message.id });
    this.#show();
  }

  async #release(asked: Asked, bundle: Uint8Array, request: RequestShown, approved: boolean): Promise<void> {
    const { engine } = this.#options;
    let made: Awaited<ReturnType<Engine["release"]>>;
    try {
      made = await engine.release(bundle, approved);
    } catch (error) {
      // Another release used the budget up between looking and answering.
      if (approved || asFailure(error).code !== "release.needs-approval") throw error;
      return this.#ask(asked, bundle, await engine.examine(bundle));
    }
    try {
      await this.#options.store(made.state);
    } catch (error) {
      this.#fail(asked, asFailure(error));
      this.#options.stuck(asFailure(error));
      return;
    }
    if (this.#closed) throw new Failure("agent.locked", "The agent was locked.");
    this.#answer(asked, { answer: "release", id: asked.message.id, release: made.release });
    this.#note(asked.origin, request, approved ? "approved" : "released");
    this.#options.counted(await engine.status());
  }

  #remove(one: Waiting): boolean {
    const at = this.#waiting.indexOf(one);
    if (at < 0) return false;
    clearTimeout(one.timer);
    this.#waiting.splice(at, 1);
    this.#show();
    return true;
  }

  #withdraw(name: string): void {
    this.#live.delete(name);
    for (const one of this.#waiting.filter((each) => key(each.relay, each.id) === name)) this.#remove(one);
  }

  #end(one: Waiting, outcome: Done["outcome"], error: Failure): void {
    this.#fail(asAsked(one), error);
    this.#note(one.origin, one.request, outcome);
  }

  #note(origin: string, request: RequestShown, outcome: Done["outcome"]): void {
    this.#options.done({ at: this.#options.now(), origin, request, outcome });
  }

  #show(): void {
    this.#options.decide(this.#waiting[0] ?? null, this.#waiting.length);
  }

  #fail(asked: Asked, { code, message, hint }: Failure): void {
    const id = asked.message.id;
    this.#answer(asked, { answer: "failed", id, code, message: message.slice(0, MOST_TEXT), hint: hint.slice(0, MOST_TEXT) });
  }

  #answer(asked: Asked, answer: Answer): void {
    this.#live.delete(keyOf(asked));
    this.#options.send(asked.relay, answer);
  }
}

function key(relay: string, id: string): string {
  return `${relay} ${id}`;
}

function keyOf(asked: Asked): string {
  return key(asked.relay, asked.message.id);
}

function asAsked({ relay, origin, id }: Waiting): Asked {
  return { relay, origin, message: { ask: "status", id } };
}
