/**
 * The library for pages of an application whose records are sealed. It asks the member's agent, which
 * lives on an origin of its own, for releases, and repeats requests with them.
 *
 *     const twinlock = createTwinlock({ agentUrl: "https://agent.example.org/" });
 *     const patients = await (await twinlock.fetch("/patients")).json();
 */

import type { Status } from "../agent/messages.ts";
import { Bridge } from "./bridge.ts";
import { TwinlockError } from "./errors.ts";
import { Flow } from "./flow.ts";
import { MemberRoutes } from "./member.ts";
import { type State, Waits } from "./state.ts";

export { defineBanner } from "./banner.ts";
export { NeedsExplicitOpen, TwinlockError } from "./errors.ts";
export type { State, Status };

/** How to reach the agent, and how long to wait for a person. */
export interface TwinlockOptions {
  /** The folder of agent.html and relay.html: an origin of the same site that serves nothing else. */
  readonly agentUrl: string | URL;
  /** Milliseconds that a request waits for the person to unlock, and to decide; 2 minutes by default. */
  readonly patience?: number;
  /**
   * The folder of the application's routes for ways in, such as "/twinlock/member/". With it the page can
   * sign in with a passkey, and fetches for the agent what passwords and new ways in need.
   */
  readonly member?: string | URL;
  /** What to make requests with; the page's own `fetch` by default. */
  readonly fetch?: typeof fetch;
}

const PATIENCE = 120_000;
/** Milliseconds between looks for a window that is opening. */
const LOOK_EVERY = 300;

/** Whom to sign in, where the page knows the name, and a way to give up. */
export interface SignIn {
  readonly name?: string | null;
  readonly signal?: AbortSignal;
}

/**
 * A client. It dispatches `statechange` when what its requests wait for changes (see `state`), and
 * `agentchange` when the agent is opened, unlocked, locked or closed (see `agent`). It keeps no data
 * of any response.
 */
export class Twinlock extends EventTarget {
  readonly #agentUrl: URL;
  readonly #bridge: Bridge;
  readonly #flow: Flow;
  readonly #routes: MemberRoutes | null;
  readonly #patience: number;
  readonly #waits = new Waits(
    () => this.dispatchEvent(new Event("statechange")),
    () => this.dispatchEvent(new Event("agentchange")),
  );

  constructor({ agentUrl, patience = PATIENCE, member, fetch: given }: TwinlockOptions) {
    super();
    const plainFetch = given ?? ((request) => fetch(request));
    this.#patience = patience;
    this.#routes = member === undefined ? null : new MemberRoutes(new URL(member, document.baseURI), plainFetch);
    this.#agentUrl = new URL(agentUrl, document.baseURI);
    if (this.#agentUrl.origin === location.origin) {
      throw new TwinlockError(
        "client.agent-origin",
        "The agent must not share the application's origin.",
        "Serve it from a host of its own on the same site, as in agent.example.org.",
      );
    }
    this.#bridge = new Bridge(this.#agentUrl, {
      status: (status) => this.#waits.agent(status),
      waiting: (begins) => this.#waits.person(begins),
      carry: this.#routes === null ? null : (want, signal) => this.#routes!.carry(want, signal),
    });
    this.#flow = new Flow(this.#bridge, this.#waits, plainFetch, patience);
  }

  /** What requests wait for now. */
  get state(): State {
    return this.#waits.state;
  }

  /** Where the agent was when last heard of; null before it was asked for anything. */
  get agent(): Status | null {
    return this.#waits.status;
  }

  /**
   * Like `window.fetch`. A GET or HEAD that needs a release waits for the agent and gives the final
   * answer. Any other method that needs one fails with `NeedsExplicitOpen`, and was not carried out.
   * Fails with a `TwinlockError` where the agent or its member does not release, or the signal's reason.
   */
  readonly fetch = async (input: RequestInfo | URL, init?: RequestInit): Promise<Response> =>
    this.#flow.run(new Request(input, init), false);

  /** Like `fetch`, for any method: gets the release, then makes the request once more with it. */
  readonly open = async (input: RequestInfo | URL, init?: RequestInit): Promise<Response> =>
    this.#flow.run(new Request(input, init), true);

  /**
   * Sign in: the agent's window says which application asks, and one touch of a passkey signs in here and
   * unlocks there. Call it from a click, so that the agent can be opened where it is not.
   *
   * Returns the application's answer; a response of 204 where the agent signed in by an exchange (SCRAM).
   * Fails with a `TwinlockError`, such as `agent.refused`, or the signal's reason.
   */
  async signIn({ name = null, signal = new AbortController().signal }: SignIn = {}): Promise<Response> {
    const routes = this.#routes;
    if (routes === null) {
      throw new TwinlockError("client.no-routes", "This page names no routes for ways in.", "Give createTwinlock `member`.");
    }
    this.#waits.refused(false);
    // Opened before anything is awaited: later the browser would not take it for the click's.
    if (this.#waits.status === null || this.#waits.status === "no-agent") this.openAgent();
    try {
      const { session, nonce, allow } = await routes.beginSignIn(name, signal);
      const limit = AbortSignal.any([signal, AbortSignal.timeout(this.#patience)]);
      while ((await this.status(limit)) === "no-agent") await new Promise((resolve) => setTimeout(resolve, LOOK_EVERY));
      const assertion = await this.#bridge.signIn(nonce, allow, signal, this.#patience);
      if (assertion === null) return new Response(null, { status: 204 });
      return await routes.finishSignIn(session, assertion, signal);
    } catch (error) {
      if (error instanceof TwinlockError && error.code === "agent.refused") this.#waits.refused(true);
      throw error;
    }
  }

  /** Ask where the agent is. Fails with `agent.silent`. */
  async status(signal: AbortSignal = new AbortController().signal): Promise<Status> {
    const status = await this.#bridge.status(signal);
    this.#waits.agent(status);
    return status;
  }

  /** Open the agent's window. Call it from a click; returns false if the browser blocked it. */
  openAgent(): boolean {
    const address = new URL("agent.html", this.#agentUrl).href;
    return window.open(address, "_blank", "popup,width=520,height=760") !== null;
  }
}

/** Make a client. Fails with `client.agent-origin`. */
export function createTwinlock(options: TwinlockOptions): Twinlock {
  return new Twinlock(options);
}
