// The unlocked agent in a worker of its own: Argon2id does not freeze the window, and locking ends
// the worker, so that the keys go with its memory.

import { asFailure, Failure } from "./failure.ts";
import type { Engine, MemberFiles, MemberShown, RequestShown } from "./types.ts";
import type { Call, Results, Returned } from "./worker-messages.ts";

const WORKER = "agent-worker.js";

interface Waiting {
  resolve(value: never): void;
  reject(error: Failure): void;
}

type Unnumbered<C> = C extends Call ? Omit<C, "number"> : never;

/** An `Engine` whose code runs in a worker, which starts at `unlock` and ends at `lock`. */
export class WorkerEngine implements Engine {
  #worker: Worker | null = null;
  #calls = 0;
  readonly #waiting = new Map<number, Waiting>();

  async unlock(files: MemberFiles, passphrase: string): Promise<MemberShown> {
    this.lock();
    this.#worker = this.#started();
    try {
      return await this.#call<"unlock">({ call: "unlock", files, passphrase });
    } catch (error) {
      this.lock();
      throw error;
    }
  }

  hello(session: Uint8Array): Promise<Uint8Array> {
    return this.#call<"hello">({ call: "hello", session });
  }

  examine(bundle: Uint8Array): Promise<RequestShown> {
    return this.#call<"examine">({ call: "examine", bundle });
  }

  release(bundle: Uint8Array, approved: boolean): Promise<Results["release"]> {
    return this.#call<"release">({ call: "release", bundle, approved });
  }

  status(): Promise<MemberShown> {
    return this.#call<"status">({ call: "status" });
  }

  lock(): void {
    this.#worker?.terminate();
    this.#worker = null;
    for (const call of this.#waiting.values()) call.reject(locked());
    this.#waiting.clear();
  }

  #call<K extends keyof Results>(call: Unnumbered<Call>): Promise<Results[K]> {
    const worker = this.#worker;
    if (worker === null) return Promise.reject(locked());
    const number = ++this.#calls;
    return new Promise((resolve, reject) => {
      this.#waiting.set(number, { resolve: resolve as (value: never) => void, reject });
      worker.postMessage({ ...call, number });
    });
  }

  #started(): Worker {
    const worker = new Worker(workerAddress(), { type: "module", name: "twinlock-agent" });
    worker.onmessage = (event: MessageEvent<Returned>) => {
      const returned = event.data;
      const call = this.#waiting.get(returned.number);
      this.#waiting.delete(returned.number);
      if ("failed" in returned) call?.reject(asFailure(Object.assign(new Error(), returned.failed)));
      else call?.resolve(returned.value as never);
    };
    worker.onerror = (event) => {
      event.preventDefault();
      if (this.#worker !== worker) return;
      const error = new Failure("agent.worker", "The agent's code did not start.", "Reload this page.");
      for (const call of this.#waiting.values()) call.reject(error);
      this.#waiting.clear();
      this.lock();
    };
    return worker;
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
