// The form that unlocks: with the two files at first use, later with the passphrase alone.

import { choose, type Chosen, complete, NOTHING_CHOSEN } from "../chosen.ts";
import type { Failure } from "../failure.ts";
import type { Kept } from "../store.ts";
import { foreign, made, part } from "./page.ts";

/** Gives what the member entered; `files` are null where the device has them. */
export type Submit = (passphrase: string, files: Omit<Kept, "name"> | null) => Promise<void>;

/** The unlock form. `submit` fails with what the member should read. */
export class UnlockForm {
  readonly #passphrase = part("passphrase", HTMLInputElement);
  readonly #button = part("unlock-button", HTMLButtonElement);
  readonly #input = part("chosen", HTMLInputElement);
  readonly #drop = part("files", HTMLElement);
  #chosen: Chosen = NOTHING_CHOSEN;
  #kept = false;
  #busy = false;

  constructor(submit: Submit, onError: (thrown: unknown) => Failure) {
    part("unlock-form", HTMLFormElement).addEventListener("submit", (event) => {
      event.preventDefault();
      void this.#submit(submit, onError);
    });
    this.#input.addEventListener("change", () => void this.#add(this.#input.files));
    this.#listenForDrops();
  }

  /** Show the form for this device; `said` tells what happened before. */
  show(kept: Kept | null, said = ""): void {
    this.#kept = kept !== null;
    this.#drop.hidden = this.#kept;
    const greeting = part("greeting", HTMLElement);
    greeting.hidden = !this.#kept;
    if (kept) greeting.replaceChildren(made("span", "Welcome back, "), foreign(kept.name), made("span", "."));
    // For password managers, which keep a passphrase by name.
    part("username", HTMLInputElement).value = kept?.name ?? "";
    part("forget-line", HTMLElement).hidden = !this.#kept;
    part("unlock-title", HTMLElement).textContent = this.#kept ? "Unlock your agent" : "Set up this device";
    part("unlock-error", HTMLElement).textContent = "";
    part("unlock-note", HTMLElement).textContent = said;
    (this.#kept ? this.#passphrase : this.#input).focus();
  }

  /** Forget what was entered. */
  clear(): void {
    this.#passphrase.value = "";
    this.#input.value = "";
    this.#chosen = NOTHING_CHOSEN;
    this.#list();
  }

  async #submit(submit: Submit, onError: (thrown: unknown) => Failure): Promise<void> {
    if (this.#busy) return;
    this.#setBusy(true);
    for (const id of ["unlock-error", "unlock-note"]) part(id, HTMLElement).textContent = "";
    try {
      await submit(this.#passphrase.value, this.#kept ? null : complete(this.#chosen));
    } catch (thrown) {
      const { message, hint } = onError(thrown);
      part("unlock-error", HTMLElement).textContent = `${message} ${hint}`;
      this.#passphrase.select();
    } finally {
      this.#setBusy(false);
    }
  }

  #setBusy(busy: boolean): void {
    this.#busy = busy;
    this.#button.disabled = busy;
    this.#button.textContent = busy ? "Unlocking…" : "Unlock";
    part("unlocking", HTMLElement).hidden = !busy;
  }

  async #add(files: FileList | null | undefined): Promise<void> {
    if (!files || this.#kept) return;
    this.#chosen = await choose(this.#chosen, files);
    this.#list();
    if (this.#chosen.state && this.#chosen.deviceKeyFile) this.#passphrase.focus();
  }

  #list(): void {
    const lines = this.#chosen.said.map(({ text, good }) => made("li", [foreign(text)], good ? "" : "bad"));
    part("files-said", HTMLElement).replaceChildren(...lines);
  }

  /** Files may be dropped anywhere in the window: the browser must not open one in its place. */
  #listenForDrops(): void {
    window.addEventListener("dragover", (event) => {
      event.preventDefault();
      this.#drop.classList.add("over");
    });
    window.addEventListener("dragleave", () => this.#drop.classList.remove("over"));
    window.addEventListener("drop", (event) => {
      event.preventDefault();
      this.#drop.classList.remove("over");
      void this.#add(event.dataTransfer?.files);
    });
  }
}
