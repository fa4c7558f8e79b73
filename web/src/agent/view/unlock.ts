// The form that unlocks: with what this device keeps, with the member's files at first use, or with a
// name, for a member whose ways in are kept at the server.

import { choose, type Chosen, NOTHING_CHOSEN } from "../chosen.ts";
import type { Unlocking } from "../entrance.ts";
import { Failure } from "../failure.ts";
import type { Kept } from "../store.ts";
import type { LockedWay } from "../types.ts";
import { WayChooser } from "./chooser.ts";
import { foreign, made, part } from "./page.ts";

/** What the form needs of the window. */
export interface UnlockOptions {
  /** Fails with what the member should read. */
  submit(unlocking: Unlocking): Promise<void>;
  /** What opens a state. */
  look(state: Uint8Array): Promise<readonly LockedWay[]>;
  onError(thrown: unknown): Failure;
  /** Whether members can arrive with their name: the agent's site knows its deployment. */
  readonly hasDeployment: boolean;
}

/** Ways in that a member may have elsewhere, the usual ones first. */
const ELSEWHERE = [
  ["password"],
  ["passkey"],
  ["password", "device-key"],
  ["device-key", "passphrase"],
  ["recovery-code"],
  ["scram", "device-key"],
];

/** The unlock form. */
export class UnlockForm {
  readonly #ways = new WayChooser("way", "");
  readonly #button = part("unlock-button", HTMLButtonElement);
  readonly #input = part("chosen", HTMLInputElement);
  readonly #drop = part("files", HTMLElement);
  readonly #name = part("arrive-name", HTMLInputElement);
  readonly #options: UnlockOptions;
  #chosen: Chosen = NOTHING_CHOSEN;
  #kept: Kept | null = null;
  #byName = false;
  #busy = false;

  constructor(options: UnlockOptions) {
    this.#options = options;
    part("unlock-form", HTMLFormElement).addEventListener("submit", (event) => {
      event.preventDefault();
      void this.#submit();
    });
    this.#input.addEventListener("change", () => void this.#add(this.#input.files));
    part("other-start", HTMLElement).addEventListener("click", () => {
      this.#byName = !this.#byName;
      this.#start();
    });
    this.#listenForDrops();
  }

  /** Show the form for this device, whose state `ways` open; `said` tells what happened before. */
  show(kept: Kept | null, ways: readonly LockedWay[], said = ""): void {
    this.#kept = kept;
    const greeting = part("greeting", HTMLElement);
    greeting.hidden = kept === null;
    if (kept) greeting.replaceChildren(made("span", "Welcome back, "), foreign(kept.name), made("span", "."));
    // For password managers, which keep a passphrase by name.
    part("username", HTMLInputElement).value = kept?.name ?? "";
    part("forget-line", HTMLElement).hidden = kept === null;
    part("unlock-title", HTMLElement).textContent = kept ? "Unlock your agent" : "Set up this device";
    part("unlock-error", HTMLElement).textContent = "";
    part("unlock-note", HTMLElement).textContent = said;
    if (kept === null) return this.#start();
    this.#byName = false;
    for (const id of ["arrive", "other-start"]) part(id, HTMLElement).hidden = true;
    this.#drop.hidden = true;
    this.#offer(ways, kept.deviceKeyFile !== null);
    if (!this.#ways.focus()) this.#button.focus();
  }

  /** Forget what was entered. */
  clear(): void {
    this.#ways.clear();
    this.#input.value = "";
    this.#chosen = NOTHING_CHOSEN;
    this.#list();
  }

  /** A device that keeps nobody: begin with files, or with a name. */
  #start(): void {
    part("other-start", HTMLElement).hidden = !this.#options.hasDeployment;
    part("other-start", HTMLElement).textContent = this.#byName ? "Use my files instead" : "Use my name instead of files";
    part("arrive", HTMLElement).hidden = !this.#byName;
    this.#name.required = this.#byName;
    this.#drop.hidden = this.#byName;
    if (this.#byName) this.#ways.offer(ELSEWHERE, false);
    else void this.#look();
    (this.#byName ? this.#name : this.#input).focus();
  }

  async #submit(): Promise<void> {
    if (this.#busy) return;
    this.#setBusy(true);
    for (const id of ["unlock-error", "unlock-note"]) part(id, HTMLElement).textContent = "";
    try {
      const entered = await this.#ways.read();
      const name = this.#byName ? this.#name.value.trim() : null;
      await this.#options.submit({ ...entered, name, files: this.#kept || this.#byName ? null : this.#files(entered.kinds) });
    } catch (thrown) {
      const { message, hint } = this.#options.onError(thrown);
      part("unlock-error", HTMLElement).textContent = `${message} ${hint}`;
      this.#ways.select();
    } finally {
      this.#setBusy(false);
    }
  }

  #files(kinds: readonly string[]): Omit<Kept, "name"> {
    const { state, deviceKeyFile } = this.#chosen;
    const needsKey = kinds.includes("device-key") && deviceKeyFile === null;
    if (state !== null && !needsKey) return { state, deviceKeyFile };
    const missing = [needsKey ? "NAME.key" : "", state ? "" : "NAME.member"].filter(Boolean).join(" and ");
    throw new Failure("agent.files", `Please choose ${missing} first.`, "Both were made by `twinlock member`.");
  }

  #setBusy(busy: boolean): void {
    this.#busy = busy;
    this.#button.disabled = busy;
    this.#button.textContent = busy ? "Unlocking…" : "Unlock";
    part("unlocking", HTMLElement).hidden = !busy;
  }

  async #add(files: FileList | null | undefined): Promise<void> {
    if (!files || this.#kept || this.#byName) return;
    this.#chosen = await choose(this.#chosen, files);
    this.#list();
    await this.#look();
    if (this.#chosen.state) this.#ways.focus();
  }

  /** What the chosen state opens with; before there is one, what most members have. */
  async #look(): Promise<void> {
    const { state } = this.#chosen;
    if (state === null) return this.#ways.offer([["device-key", "passphrase"]], true);
    try {
      this.#offer(await this.#options.look(state), true);
    } catch (thrown) {
      part("unlock-error", HTMLElement).textContent = this.#options.onError(thrown).message;
    }
  }

  #offer(ways: readonly LockedWay[], hasDeviceKey: boolean): void {
    this.#ways.offer(ways.map(({ kinds }) => kinds), hasDeviceKey);
    if (this.#ways.isEmpty) {
      part("unlock-error", HTMLElement).textContent = "This member has no way in that a browser can use. Use the program.";
    }
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
