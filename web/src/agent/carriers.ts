// The pages that fetch for the agent. It asks one of them at a time, of a listed origin, and takes an
// answer only for a call of its own, from the page that it asked.

import type { Told, Want, WantName } from "./carrying.ts";
import { Failure } from "./failure.ts";
import type { Answer, Ask } from "./messages.ts";

/** Milliseconds that a page may take for one thing: the token may be behind a queue. */
const PATIENCE = 30_000;

interface Carrier {
  readonly relay: string;
  readonly id: string;
  readonly origin: string;
}

interface Call {
  readonly relay: string;
  readonly want: WantName;
  resolve(told: object): void;
  reject(error: Failure): void;
}

/** Knows which pages carry, and asks them. */
export class Carriers {
  readonly #carriers = new Map<string, Carrier>();
  readonly #calls = new Map<string, Call>();
  readonly #origins: ReadonlySet<string>;
  readonly #send: (relay: string, answer: Answer) => void;

  constructor(origins: ReadonlySet<string>, send: (relay: string, answer: Answer) => void) {
    this.#origins = origins;
    this.#send = send;
  }

  /** The application that fetches for the agent now, or null. */
  get origin(): string | null {
    return this.#first()?.origin ?? null;
  }

  /** Take a message of a page, if it is one for the carriers; returns whether it was. */
  take(relay: string, origin: string, message: Ask): boolean {
    if (message.ask === "carry") {
      if (this.#origins.has(origin)) {
        // The page that spoke last comes first: it is the one that the member uses.
        this.#carriers.delete(relay);
        this.#carriers.set(relay, { relay, id: message.id, origin });
      }
      return true;
    }
    if (message.ask !== "told" && message.ask !== "unable") return false;
    const call = this.#calls.get(message.of);
    if (call?.relay !== relay) return true;
    if (message.ask === "unable") call.reject(new Failure(message.code, message.message, message.hint));
    else if (message.want === call.want) call.resolve(message);
    return true;
  }

  /** A relay is gone, and its page with it. */
  gone(relay: string): void {
    this.#carriers.delete(relay);
    for (const call of this.#calls.values()) if (call.relay === relay) call.reject(lost());
  }

  /** Have something fetched. Fails with `agent.no-page`, `agent.page-silent`, or what the application says. */
  async fetch<K extends WantName>(want: Extract<Want, { want: K }>): Promise<Told<K>> {
    const carrier = this.#first();
    if (carrier === undefined) {
      throw new Failure(
        "agent.no-page",
        "This needs a page of your application, which fetches for the agent.",
        "Open your application in this browser, leave it open, and try again here.",
      );
    }
    const call = crypto.randomUUID();
    let timer: ReturnType<typeof setTimeout> | undefined;
    try {
      return (await new Promise<object>((resolve, reject) => {
        // A page that crashed told nobody.
        timer = setTimeout(() => this.gone(carrier.relay), PATIENCE);
        this.#calls.set(call, { relay: carrier.relay, want: want.want, resolve, reject });
        this.#send(carrier.relay, { answer: "wanted", id: carrier.id, call, ...want } as Answer);
      })) as Told<K>;
    } finally {
      clearTimeout(timer);
      this.#calls.delete(call);
    }
  }

  #first(): Carrier | undefined {
    return [...this.#carriers.values()].at(-1);
  }
}

function lost(): Failure {
  return new Failure("agent.page-silent", "The application's page did not answer.", "Reload it, and try again here.");
}
