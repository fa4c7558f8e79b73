// The way to the agent: a hidden frame of the agent's origin, and one message for each question.

import type { Assertion, Told, Want, WantName } from "../agent/carrying.ts";
import { type Answer, type Ask, posted, readAnswer, type Status } from "../agent/messages.ts";
import { TwinlockError } from "./errors.ts";

/** Milliseconds that the agent may take for what needs no person. */
const AGENT_SILENT = 10_000;
/** Milliseconds that the application may take for what the agent wants of it. */
const CARRY_SILENT = 25_000;

type Question = Ask extends infer A ? (A extends { id: string } ? Omit<A, "id"> : never) : never;

/** What a bridge tells its owner without being asked. */
export interface BridgeEvents {
  /** The agent was opened, unlocked, locked or closed. */
  status(status: Status): void;
  /** A person has to decide in the agent's window: called with true, and with false at the end. */
  waiting(begins: boolean): void;
  /** The agent wants something fetched; null where this page fetches nothing for it. */
  readonly carry: ((want: Want, signal: AbortSignal) => Promise<Told<WantName>>) | null;
}

/** The name of this page's offer to carry. */
const CARRY = "carry";

/** Asks the agent. One frame serves a page; it is made at the first question. */
export class Bridge {
  readonly #origin: string;
  readonly #address: string;
  readonly #events: BridgeEvents;
  readonly #takers = new Map<string, (answer: Answer) => void>();
  #relay: Promise<Window> | null = null;
  #window: Window | null = null;
  #asked = 0;

  constructor(agentUrl: URL, events: BridgeEvents) {
    this.#origin = agentUrl.origin;
    this.#address = new URL("relay.html", agentUrl).href;
    this.#events = events;
    window.addEventListener("message", (event) => this.#hear(event));
    if (events.carry !== null) void this.#offer();
  }

  /** Ask where the agent is. */
  async status(signal: AbortSignal): Promise<Status> {
    const answer = await this.#ask({ ask: "status" }, signal, AGENT_SILENT);
    if (answer.answer !== "status") throw unexpected();
    return answer.status;
  }

  /** Ask for the agent's hello for a login session, given by its 32-byte public value. */
  async hello(session: Uint8Array, signal: AbortSignal): Promise<Uint8Array> {
    const answer = await this.#ask({ ask: "hello", session }, signal, AGENT_SILENT);
    if (answer.answer !== "hello") throw unexpected();
    return answer.hello;
  }

  /** Ask for the release of a request bundle; `patience` in milliseconds bounds a person's decision. */
  async release(bundle: Uint8Array, signal: AbortSignal, patience: number): Promise<Uint8Array> {
    const answer = await this.#ask({ ask: "release", bundle }, signal, patience);
    if (answer.answer !== "release") throw unexpected();
    return answer.release;
  }

  /**
   * Ask for a passkey's assertion, which signs in here and unlocks there; null where the agent signed in
   * by an exchange instead. `patience` as in `release`.
   */
  async signIn(nonce: Uint8Array, allow: readonly Uint8Array[], signal: AbortSignal, patience: number): Promise<Assertion | null> {
    const answer = await this.#ask({ ask: "sign-in", nonce, allow }, signal, patience);
    if (answer.answer === "signed-in") return null;
    if (answer.answer !== "sign-in") throw unexpected();
    return answer;
  }

  /** Say that this page fetches for the agent, until it is left. */
  async #offer(): Promise<void> {
    (await this.#connected()).postMessage(posted({ ask: "carry", id: CARRY }), this.#origin);
  }

  /** Fetch what the agent wants, and tell what came of it. */
  async #carry({ call, ...want }: Extract<Answer, { answer: "wanted" }>): Promise<void> {
    const relay = await this.#connected();
    let told: Ask;
    try {
      const result = await this.#events.carry!(want, AbortSignal.timeout(CARRY_SILENT));
      told = { ask: "told", id: `t-${call}`, of: call, want: want.want, ...result } as Ask;
    } catch (error) {
      const known = error instanceof TwinlockError ? error : unreachable();
      const { code, message, hint } = known;
      told = { ask: "unable", id: `t-${call}`, of: call, code, message: message.slice(0, 2000), hint: hint.slice(0, 2000) };
    }
    relay.postMessage(posted(told), this.#origin);
  }

  /** Ask one question. Fails with what the agent says, with silence, or with the signal's reason. */
  async #ask(question: Question, signal: AbortSignal, patience: number): Promise<Answer> {
    const relay = await this.#connected();
    signal.throwIfAborted();
    const id = `${++this.#asked}`;
    let waited = false;
    const limit = AbortSignal.any([signal, AbortSignal.timeout(patience)]);
    try {
      return await new Promise<Answer>((resolve, reject) => {
        limit.addEventListener("abort", () => reject(signal.aborted ? signal.reason : silent(waited)));
        this.#takers.set(id, (answer) => {
          if (answer.answer === "failed") reject(new TwinlockError(answer.code, answer.message, answer.hint));
          else if (answer.answer !== "waiting") resolve(answer);
          else if (!waited) this.#events.waiting((waited = true));
        });
        relay.postMessage(posted({ ...question, id }), this.#origin);
      });
    } finally {
      this.#takers.delete(id);
      if (waited) this.#events.waiting(false);
      // A question that was given up must not be decided by anybody any more.
      if (limit.aborted) relay.postMessage(posted({ ask: "cancel", id: `${id}-`, of: id }), this.#origin);
    }
  }

  #hear(event: MessageEvent): void {
    if (event.origin !== this.#origin || event.source !== this.#window) return;
    const answer = readAnswer(event.data);
    if (answer === null) return;
    if (answer.answer === "wanted") {
      if (this.#events.carry !== null) void this.#carry(answer);
    } else if (answer.id === "0" && answer.answer === "status") this.#events.status(answer.status);
    else this.#takers.get(answer.id)?.(answer);
  }

  #connected(): Promise<Window> {
    this.#relay ??= new Promise((resolve) => {
      const frame = document.createElement("iframe");
      frame.hidden = true;
      frame.title = "Twinlock relay";
      frame.src = this.#address;
      frame.addEventListener("load", () => {
        this.#window = frame.contentWindow;
        if (frame.contentWindow) resolve(frame.contentWindow);
      });
      document.documentElement.append(frame);
    });
    return this.#relay;
  }
}

function silent(waited: boolean): TwinlockError {
  return waited
    ? new TwinlockError("agent.timeout", "Nobody decided in the agent's window in time.", "Ask again.")
    : new TwinlockError(
        "agent.silent",
        "The agent does not answer.",
        "Check the agent's address, that its list has this page's origin, and this page's frame-src.",
      );
}

function unreachable(): TwinlockError {
  return new TwinlockError("client.unreachable", "The application cannot be reached.", "Check the connection, and try again.");
}

function unexpected(): TwinlockError {
  return new TwinlockError("agent.unexpected", "The agent gave another answer than asked for.", "Reload the page.");
}
