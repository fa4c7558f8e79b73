// The card of an application that wants to sign the member in.

import type { Failure } from "../failure.ts";
import type { Entering } from "../opening.ts";
import type { SignInAsked } from "../sign-ins.ts";
import { WayChooser } from "./chooser.ts";
import { GuardedButton } from "./guarded.ts";
import { foreign, part, say } from "./page.ts";

/** How an application can be signed in to from here. */
export interface SignInWays {
  /** Whether the member has to say the name first: this device keeps nobody. */
  readonly needsName: boolean;
  readonly ways: readonly (readonly string[])[];
  readonly hasDeviceKey: boolean;
}

/** What the card needs of the window. */
export interface SignInCardOptions {
  ways(): Promise<SignInWays>;
  /** Fails with what the member should read. */
  submit(asked: SignInAsked, entered: Entering, name: string | null): Promise<void>;
  refuse(asked: SignInAsked): void;
  onError(thrown: unknown): Failure;
}

/** Shows the first question to sign in that waits. */
export class SignInCard {
  readonly #card = part("sign-in", HTMLElement);
  readonly #name = part("sign-in-name", HTMLInputElement);
  readonly #ways = new WayChooser("sign-in-way");
  readonly #go = part("sign-in-go", HTMLButtonElement);
  readonly #guarded = new GuardedButton(this.#go, () => void this.#submit());
  readonly #options: SignInCardOptions;
  #asked: SignInAsked | null = null;
  #needsName = false;

  constructor(options: SignInCardOptions) {
    this.#options = options;
    part("sign-in-no", HTMLElement).addEventListener("click", (event) => this.#refuse(event));
    this.#card.addEventListener("keydown", (event) => {
      if (event.key === "Escape") this.#refuse(event);
    });
    part("sign-in-form", HTMLFormElement).addEventListener("submit", (event) => event.preventDefault());
  }

  /** Whether an application waits to be signed in to. */
  get isShown(): boolean {
    return this.#asked !== null;
  }

  /** Show a question, or none. */
  async show(asked: SignInAsked | null): Promise<void> {
    if (asked === this.#asked) return;
    this.#asked = asked;
    this.#card.hidden = asked === null;
    this.#ways.clear();
    this.#said("");
    if (asked === null) return this.#guarded.disarm();
    part("sign-in-origin", HTMLElement).replaceChildren(foreign(asked.origin));
    const { needsName, ways, hasDeviceKey } = await this.#options.ways();
    if (asked !== this.#asked) return;
    this.#needsName = needsName;
    for (const id of ["sign-in-name", "sign-in-name-label"]) part(id, HTMLElement).hidden = !needsName;
    this.#ways.offer(ways, hasDeviceKey);
    part("sign-in-none", HTMLElement).hidden = !this.#ways.isEmpty;
    this.#go.hidden = this.#ways.isEmpty;
    this.#guarded.arm();
    this.#focus();
    say(`${asked.origin} asks you to sign in`, true);
  }

  #focus(): void {
    if (this.#needsName) this.#name.focus();
    else if (!this.#ways.focus()) (this.#ways.isEmpty ? part("sign-in-no", HTMLElement) : this.#card).focus();
  }

  async #submit(): Promise<void> {
    const asked = this.#asked;
    const name = this.#needsName ? this.#name.value.trim() : null;
    if (asked === null || this.#ways.isEmpty) return;
    if (name === "") return this.#name.focus();
    this.#guarded.disarm();
    this.#said("");
    part("signing-in", HTMLElement).hidden = false;
    try {
      await this.#options.submit(asked, await this.#ways.read(), name);
    } catch (thrown) {
      const { message, hint } = this.#options.onError(thrown);
      this.#said(`${message} ${hint}`);
    } finally {
      part("signing-in", HTMLElement).hidden = true;
      if (this.#asked !== null) this.#guarded.arm();
    }
  }

  #refuse(event: Event): void {
    if (event.isTrusted && this.#asked !== null) this.#options.refuse(this.#asked);
  }

  #said(text: string): void {
    part("sign-in-error", HTMLElement).textContent = text;
  }
}
