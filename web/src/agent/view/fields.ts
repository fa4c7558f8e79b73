// The fields of a way in: what its factors need, and what was entered.

import type { Secrets } from "../types.ts";
import { made, part } from "./page.ts";

interface Field {
  readonly label: string;
  readonly hint: string;
  readonly secret: keyof Secrets;
  readonly autocomplete: AutoFill;
  readonly isShown?: boolean;
}

/** What is typed for a kind of factor. */
const TYPED: Readonly<Record<string, Field>> = {
  passphrase: {
    label: "Passphrase",
    hint: "It never leaves this window and is stored nowhere.",
    secret: "passphrase",
    autocomplete: "current-password",
  },
  password: {
    label: "Password",
    hint: "It never leaves this window. Your application's server has a part in checking it, and learns nothing of it.",
    secret: "password",
    autocomplete: "current-password",
  },
  scram: {
    label: "Password of your account",
    hint: "It never leaves this window; the server sees what SCRAM shows it.",
    secret: "scram",
    autocomplete: "current-password",
  },
  "recovery-code": {
    label: "Recovery code",
    hint: "Seven groups of five, as they are printed. Small letters and spaces will do.",
    secret: "recoveryCode",
    autocomplete: "off",
    isShown: true,
  },
};

/** What people call each kind of factor. */
const NAMES: Readonly<Record<string, string>> = {
  passphrase: "passphrase",
  password: "password",
  scram: "account password",
  "device-key": "device key",
  "recovery-code": "recovery code",
  "smart-card": "smart card",
  passkey: "passkey",
  contacts: "contacts",
};

/** Whether a browser can give all that these kinds need. */
export function isUsable(kinds: readonly string[]): boolean {
  return kinds.every((kind) => kind in TYPED || kind === "device-key" || kind === "passkey");
}

/** What people call a way in, as in "Passphrase and device key". */
export function nameOf(kinds: readonly string[]): string {
  const names = kinds.map((kind) => NAMES[kind] ?? "another factor").join(" and ");
  return names.charAt(0).toUpperCase() + names.slice(1);
}

/** The fields in one element of the page. `prefix` begins their ids. */
export class WayFields {
  readonly #place: HTMLElement;
  readonly #prefix: string;
  #inputs = new Map<keyof Secrets, HTMLInputElement>();
  #shown = "";
  #file: HTMLInputElement | null = null;

  constructor(place: string, prefix: string) {
    this.#place = part(place, HTMLElement);
    this.#prefix = prefix;
  }

  /**
   * Show what these kinds need; `hasDeviceKey`: the file is here already. Where that is shown already,
   * what was typed stays: somebody may type before it is known what a file opens with.
   */
  show(kinds: readonly string[], hasDeviceKey: boolean): void {
    const shown = [...kinds, hasDeviceKey].join();
    if (shown === this.#shown) return;
    this.#shown = shown;
    this.#inputs = new Map();
    this.#file = null;
    const rows = kinds.flatMap((kind) => {
      const field = TYPED[kind];
      if (field !== undefined) return this.#typed(kind, field);
      if (kind === "passkey") return [made("p", "Your browser asks for your passkey next.", "hint")];
      return kind === "device-key" && !hasDeviceKey ? this.#chooser() : [];
    });
    this.#place.replaceChildren(...rows);
  }

  /** Put the focus on the first field; returns whether there is one. */
  focus(): boolean {
    const [first] = this.#inputs.values();
    (first ?? this.#file)?.focus();
    return first !== undefined || this.#file !== null;
  }

  /** What was entered. */
  async read(): Promise<Secrets> {
    const typed = [...this.#inputs].map(([secret, input]) => [secret, input.value]);
    const file = this.#file?.files?.[0];
    const deviceKeyFile = file && file.size < 4096 ? new Uint8Array(await file.arrayBuffer()) : undefined;
    return { ...Object.fromEntries(typed), ...(deviceKeyFile && { deviceKeyFile }) };
  }

  /** Select what was typed, to be typed again. */
  select(): void {
    const [first] = this.#inputs.values();
    first?.select();
  }

  /** Forget what was entered. */
  clear(): void {
    for (const input of this.#inputs.values()) input.value = "";
    if (this.#file !== null) this.#file.value = "";
  }

  #typed(kind: string, field: Field): HTMLElement[] {
    const input = made("input");
    input.id = `${this.#prefix}${kind}`;
    input.type = field.isShown ? "text" : "password";
    input.autocomplete = field.autocomplete;
    input.autocapitalize = "none";
    input.spellcheck = false;
    input.maxLength = 1024;
    input.required = true;
    this.#inputs.set(field.secret, input);
    return this.#labelled(input, field.label, field.hint);
  }

  #chooser(): HTMLElement[] {
    const input = made("input");
    input.id = `${this.#prefix}device-key`;
    input.type = "file";
    input.accept = ".key";
    input.required = true;
    this.#file = input;
    return this.#labelled(input, "Device key file", "NAME.key, as `twinlock member create` made it.");
  }

  #labelled(input: HTMLInputElement, text: string, said: string): HTMLElement[] {
    const label = made("label", text);
    label.htmlFor = input.id;
    const hint = made("p", said, "hint");
    hint.id = `${input.id}-hint`;
    input.setAttribute("aria-describedby", hint.id);
    return [label, input, hint];
  }
}
