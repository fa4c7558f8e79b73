// The way to the agent: a hidden frame of the agent's origin, and one message for each question.

import { type Answer, type Ask, posted, readAnswer, type Status } from "../agent/messages.ts";
import { TwinlockError } from "./errors.ts";

/** Milliseconds that the agent may take for what needs no person. */
const AGENT_SILENT = 10_000;

type Question = Ask extends infer A ? (A extends { id: string } ? Omit<A, "id"> : never) : never;

/** What a bridge tells its owner without being asked. */
export interface BridgeEvents {
  /** The agent was opened, unlocked, locked or closed. */
  status(status: Status): void;
  /** A person has to decide in the agent's window: called with true, and with false at the end. */
  waiting(begins: boolean): void;
}

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
    if (answer.id === "0" && answer.answer === "status") this.#events.status(answer.status);
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

function unexpected(): TwinlockError {
  return new TwinlockError("agent.unexpected", "The agent gave another answer than asked for.", "Reload the page.");
}
