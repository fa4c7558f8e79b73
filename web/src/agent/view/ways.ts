// The member's ways in, while the agent is unlocked: the list, and the dialog that adds, changes and removes.

import type { NewWay } from "../enrolling.ts";
import { Failure } from "../failure.ts";
import type { Entering } from "../opening.ts";
import type { WayShown } from "../types.ts";
import { WayChooser } from "./chooser.ts";
import { nameOf } from "./fields.ts";
import { foreign, made, part, say } from "./page.ts";

/** What the list needs of the window. Each fails with what the member should read. */
export interface WaysOptions {
  enrol(present: Entering, way: NewWay): Promise<void>;
  drop(way: string): Promise<void>;
  recoveryCode(): Promise<string>;
  /** Whether this device has the member's device key file. */
  hasDeviceKey(): boolean;
  /** The application that fetches for the agent, or null. */
  through(): string | null;
  onError(thrown: unknown): Failure;
}

type Task =
  | { readonly task: "passkey" }
  | { readonly task: "password" }
  | { readonly task: "code"; readonly code: string }
  | { readonly task: "change"; readonly way: WayShown }
  | { readonly task: "remove"; readonly way: WayShown };

const TEXTS: Readonly<Record<Task["task"], { title: string; text: string; go: string }>> = {
  passkey: {
    title: "Add a passkey",
    text: "This computer, your phone or a security key will sign you in and unlock this agent with one touch.",
    go: "Add it",
  },
  password: {
    title: "Add a password",
    text: "It opens your agent on any computer. Your server's token has a part in every try, so that nobody who steals its database can guess it.",
    go: "Add it",
  },
  code: {
    title: "Make a recovery code",
    text: "Write it down, and keep it where neither fire nor a thief finds it together with your computer. It is shown this once.",
    go: "I have written it down",
  },
  change: { title: "Change it", text: "The new one takes the place of the old, which no longer counts.", go: "Change it" },
  remove: {
    title: "Remove this way in?",
    text: "It no longer counts. If it was lost or somebody else may have it, that is not enough: run `twinlock member revoke`.",
    go: "Remove it",
  },
};

/** Kinds that are typed, and so can be changed. */
const CHANGEABLE = ["password", "passphrase"] as const;

/** The list of ways in, and its dialog. */
export class WaysCard {
  readonly #options: WaysOptions;
  readonly #dialog = part("way-dialog", HTMLDialogElement);
  readonly #present = new WayChooser("present");
  readonly #label = part("way-label", HTMLInputElement);
  readonly #secret = part("new-secret", HTMLInputElement);
  readonly #again = part("new-secret-again", HTMLInputElement);
  readonly #go = part("way-go", HTMLButtonElement);
  #ways: readonly WayShown[] = [];
  #task: Task | null = null;
  #busy = false;

  constructor(options: WaysOptions) {
    this.#options = options;
    const begins = (id: string, task: () => Task | Promise<Task>): void => {
      part(id, HTMLElement).addEventListener("click", () => void Promise.resolve(task()).then((made) => this.#begin(made)));
    };
    begins("add-passkey", () => ({ task: "passkey" }));
    begins("add-password", () => ({ task: "password" }));
    begins("add-code", async () => ({ task: "code", code: await options.recoveryCode() }));
    part("way-form", HTMLFormElement).addEventListener("submit", (event) => {
      event.preventDefault();
      void this.#finish();
    });
    part("way-no", HTMLElement).addEventListener("click", () => this.#dialog.close());
    this.#dialog.addEventListener("close", () => this.#forget());
  }

  /** Show these ways in. */
  show(ways: readonly WayShown[]): void {
    this.#ways = ways;
    part("ways", HTMLElement).replaceChildren(...ways.map((way) => this.#row(way)));
  }

  /** Forget the list and what was entered: the agent is locked. */
  clear(): void {
    this.#dialog.close();
    this.show([]);
  }

  #row(way: WayShown): HTMLElement {
    const name = way.label === "" ? made("span", nameOf(way.kinds)) : made("span", [foreign(way.label)]);
    const places = [...(way.isHere ? ["here"] : []), ...(way.atServer ? ["at your server"] : [])];
    const since = way.made > 0 ? `, since ${new Date(way.made * 1000).toLocaleDateString()}` : "";
    const kinds = way.label === "" ? "" : `${nameOf(way.kinds)}, `;
    const said = made("span", `${kinds}kept ${places.join(" and ") || "elsewhere"}${since}`, "hint");
    const buttons = made("span", [
      ...(this.#canChange(way) ? [this.#button("Change…", way, { task: "change", way })] : []),
      ...(this.#ways.length > 1 ? [this.#button("Remove…", way, { task: "remove", way })] : []),
    ]);
    return made("li", [name, buttons, said]);
  }

  #canChange({ kinds, isHere }: WayShown): boolean {
    return isHere && CHANGEABLE.some((kind) => kinds.includes(kind)) && !kinds.includes("passkey");
  }

  #button(text: string, way: WayShown, task: Task): HTMLElement {
    const button = made("button", text, "link");
    button.type = "button";
    button.setAttribute("aria-label", `${text.slice(0, -1)} ${way.label || nameOf(way.kinds)}`);
    button.addEventListener("click", () => this.#begin(task));
    return button;
  }

  #begin(task: Task): void {
    this.#task = task;
    const { title, text, go } = TEXTS[task.task];
    part("way-title", HTMLElement).textContent = title;
    part("way-text", HTMLElement).textContent = text;
    this.#go.textContent = go;
    this.#go.className = task.task === "remove" ? "danger" : "main";
    const through = this.#options.through();
    part("way-through", HTMLElement).textContent =
      through === null ? "Open your application in this browser first: its page tells its server." : `Told to your server through ${through}.`;
    part("new-code", HTMLElement).textContent = task.task === "code" ? task.code : "";
    this.#label.value = task.task === "change" ? task.way.label : "";
    part("way-label-line", HTMLElement).hidden = task.task === "remove";
    const typesSecret = task.task === "password" || task.task === "change";
    part("new-secret-lines", HTMLElement).hidden = !typesSecret;
    for (const input of [this.#secret, this.#again]) input.required = typesSecret;
    this.#offer(task);
    this.#said("");
    this.#dialog.showModal();
  }

  /** Removing needs no more than the unlocked agent; a change is opened by what it changes. */
  #offer(task: Task): void {
    const needsPresent = task.task !== "remove";
    part("present-lines", HTMLElement).hidden = !needsPresent;
    const ways = task.task === "change" ? [task.way] : this.#ways.filter(({ isHere }) => isHere);
    this.#present.offer(needsPresent ? ways.map(({ kinds }) => kinds) : [], this.#options.hasDeviceKey());
  }

  async #finish(): Promise<void> {
    const task = this.#task;
    if (task === null || this.#busy) return;
    this.#setBusy(true);
    this.#said("");
    try {
      if (task.task === "remove") await this.#options.drop(task.way.id);
      else await this.#enrol(task);
      say(`${TEXTS[task.task].title}: done`);
      this.#dialog.close();
    } catch (thrown) {
      const { message, hint } = this.#options.onError(thrown);
      this.#said(`${message} ${hint}`);
    } finally {
      this.#setBusy(false);
    }
  }

  async #enrol(task: Exclude<Task, { task: "remove" }>): Promise<void> {
    const present = await this.#present.read();
    const label = this.#label.value.trim();
    if (task.task === "passkey") return this.#options.enrol(present, { make: "passkey", label, insteadOf: null });
    const insteadOf = task.task === "change" ? task.way.id : null;
    await this.#options.enrol(present, { make: "secrets", ...this.#entered(task, present), label, insteadOf });
  }

  /** What the new way in consists of. */
  #entered(task: Exclude<Task, { task: "remove" | "passkey" }>, present: Entering): Entering {
    if (task.task === "code") return { kinds: ["recovery-code"], secrets: { recoveryCode: task.code } };
    if (this.#secret.value !== this.#again.value) {
      throw new Failure("factor.passphrase-mismatch", "The two do not agree.", "Type both again.");
    }
    if (task.task === "password") return { kinds: ["password"], secrets: { password: this.#secret.value } };
    const changed = CHANGEABLE.find((kind) => task.way.kinds.includes(kind))!;
    return { kinds: task.way.kinds, secrets: { ...present.secrets, [changed]: this.#secret.value } };
  }

  #setBusy(busy: boolean): void {
    this.#busy = this.#go.disabled = busy;
    part("way-busy", HTMLElement).hidden = !busy;
  }

  #said(text: string): void {
    part("way-error", HTMLElement).textContent = text;
  }

  #forget(): void {
    this.#task = null;
    this.#present.offer([], false);
    this.#secret.value = this.#again.value = "";
    part("new-code", HTMLElement).textContent = "";
  }
}
