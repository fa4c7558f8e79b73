// A button that counts only when its press was meant (guard.ts, R-WEB-4). It is disabled until then.

import { Guard } from "../guard.ts";

/** Wraps one button. */
export class GuardedButton {
  readonly #button: HTMLButtonElement;
  readonly #guard = new Guard(() => performance.now());
  #isArmed = false;
  #waking: ReturnType<typeof setTimeout> | undefined;

  /** `pressed` is called for presses that count, of a person and no script. */
  constructor(button: HTMLButtonElement, pressed: () => void) {
    this.#button = button;
    button.addEventListener("click", (event) => {
      if (event.isTrusted && this.#isArmed && this.#guard.left() === 0) pressed();
    });
    for (const name of ["focus", "blur", "resize", "pageshow"]) window.addEventListener(name, () => this.#disturbed());
    document.addEventListener("visibilitychange", () => this.#disturbed());
  }

  /** What the button stands for is shown from now on. */
  arm(): void {
    this.#isArmed = true;
    this.#disturbed();
  }

  /** The button stands for nothing any more. */
  disarm(): void {
    this.#isArmed = false;
    this.#disturbed();
  }

  #disturbed(): void {
    this.#guard.disturbed(document.hasFocus() && document.visibilityState === "visible");
    this.#wake();
  }

  #wake(): void {
    clearTimeout(this.#waking);
    const left = this.#isArmed ? this.#guard.left() : null;
    this.#button.disabled = left !== 0;
    if (left !== null && left > 0) this.#waking = setTimeout(() => this.#wake(), left);
  }
}
