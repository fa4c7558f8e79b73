// The agent in a worker of its own: Argon2id does not freeze the window, and locking ends the worker, so
// that the keys go with its memory.

import type { Told, Want, WantName } from "./carrying.ts";
import { asFailure, Failure } from "./failure.ts";
import type { Engine, NextState, LockedWay, MemberShown, RequestShown, Secrets, WayAsked } from "./types.ts";
import type { CallName, FromWorker, Given, Taken, ToWorker } from "./worker-messages.ts";

const WORKER = "agent-worker.js";

interface Waiting {
  resolve(value: never): void;
  reject(error: Failure): void;
}

/** An `Engine` whose code runs in a worker, which starts at the first call and ends at `lock`. */
export class WorkerEngine implements Engine {
  #worker: Worker | null = null;
  #calls = 0;
  readonly #waiting = new Map<number, Waiting>();
  readonly #card: string;
  readonly #fetch: (want: Want) => Promise<Told<WantName>>;

  /** `card`: the deployment's, or empty. `fetch` gets what the worker wants from outside. */
  constructor(card: string, fetch: (want: Want) => Promise<Told<WantName>>) {
    this.#card = card;
    this.#fetch = fetch;
  }

  /** What opens a state, without opening it. */
  look(state: Uint8Array): Promise<readonly LockedWay[]> {
    return this.#call("look", { state });
  }

  /** Unlock with all that one way in needs; `way` is its id, where that is known. Takes a second or two. */
  unlock(state: Uint8Array, way: string | null, secrets: Secrets): Promise<MemberShown> {
    return this.#call("unlock", { state, way, secrets });
  }

  /** Fetch one enrolment of a member by name, and say what opens it. */
  meet(name: string, kinds: readonly string[]): Promise<readonly LockedWay[]> {
    return this.#call("meet", { name, kinds });
  }

  /** Unlock what `meet` fetched, and fetch the rest. */
  arrive(secrets: Secrets): Promise<NextState> {
    return this.#call("arrive", { secrets });
  }

  /** Make a way in; `present` opens one that counts already. The server has taken it when this is done. */
  enrol(present: Secrets, way: WayAsked): Promise<NextState> {
    return this.#call("enrol", { present, way });
  }

  /** Let a way in no longer count. The server has taken that when this is done. */
  drop(way: string): Promise<NextState> {
    return this.#call("drop", { way });
  }

  /** Draw a recovery code, as it is printed. */
  recoveryCode(): Promise<string> {
    return this.#call("recoveryCode", {});
  }

  /** Sign in by an exchange of SCRAM. */
  scram(secrets: Secrets): Promise<void> {
    return this.#call("scram", { secrets });
  }

  // --- see `Engine` ---

  hello(session: Uint8Array): Promise<Uint8Array> {
    return this.#call("hello", { session });
  }

  examine(bundle: Uint8Array): Promise<RequestShown> {
    return this.#call("examine", { bundle });
  }

  release(bundle: Uint8Array, approved: boolean): Promise<Given<"release">> {
    return this.#call("release", { bundle, approved });
  }

  status(): Promise<MemberShown> {
    return this.#call("status", {});
  }

  /** Forget every key at once. Calls under way fail with `agent.locked`. */
  lock(): void {
    this.#worker?.terminate();
    this.#worker = null;
    for (const call of this.#waiting.values()) call.reject(locked());
    this.#waiting.clear();
  }

  #call<K extends CallName>(call: K, takes: Taken<K>): Promise<Given<K>> {
    const worker = (this.#worker ??= this.#started());
    const number = ++this.#calls;
    return new Promise((resolve, reject) => {
      this.#waiting.set(number, { resolve: resolve as (value: never) => void, reject });
      worker.postMessage({ number, call, takes });
    });
  }

  #started(): Worker {
    const worker = new Worker(workerAddress(), { type: "module", name: "twinlock-agent" });
    worker.onmessage = (event: MessageEvent<FromWorker>) => this.#hear(worker, event.data);
    worker.onerror = (event) => {
      event.preventDefault();
      if (this.#worker !== worker) return;
      const error = new Failure("agent.worker", "The agent's code did not start.", "Reload this page.");
      for (const call of this.#waiting.values()) call.reject(error);
      this.#waiting.clear();
      this.lock();
    };
    worker.postMessage({ card: this.#card } satisfies ToWorker);
    return worker;
  }

  #hear(worker: Worker, message: FromWorker): void {
    if ("wants" in message) {
      const { wants, want } = message;
      const tell = (told: ToWorker): void => worker.postMessage(told);
      this.#fetch(want).then(
        (value) => tell({ told: wants, value }),
        (thrown: unknown) => {
          const { code, message: text, hint } = asFailure(thrown);
          tell({ told: wants, failed: { code, message: text, hint } });
        },
      );
      return;
    }
    const call = this.#waiting.get(message.number);
    this.#waiting.delete(message.number);
    if ("failed" in message) call?.reject(asFailure(Object.assign(new Error(), message.failed)));
    else call?.resolve(message.value as never);
  }
}

interface TrustedTypes {
  createPolicy(name: string, rules: { createScriptURL(text: string): string }): {
    createScriptURL(text: string): string;
  };
}

/** The worker's address as Trusted Types want it: the policy lets this one script through. */
function workerAddress(): string {
  const types = (globalThis as { trustedTypes?: TrustedTypes }).trustedTypes;
  policy ??= types?.createPolicy("twinlock", {
    createScriptURL(text) {
      if (text !== WORKER) throw new TypeError("only the agent's worker may be started");
      return text;
    },
  });
  return policy?.createScriptURL(WORKER) ?? WORKER;
}

let policy: ReturnType<TrustedTypes["createPolicy"]> | undefined;

function locked(): Failure {
  return new Failure("agent.locked", "The agent is locked.", "Unlock it, and try again.");
}
