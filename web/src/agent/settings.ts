// The window's settings: when it locks, a copy of the member's file, and forgetting this device.

import { LOCK_AFTER } from "./idle.ts";
import type { Store } from "./store.ts";
import { part } from "./view/page.ts";

/** What the settings do beyond the store. */
export interface SettingsActions {
  lockAfter(minutes: number): void;
  forget(): Promise<void>;
}

/** Listens to the settings' parts of the page. */
export class Settings {
  readonly #store: Store;

  constructor(store: Store, minutes: number, actions: SettingsActions) {
    this.#store = store;
    const lockAfter = part("lock-after", HTMLSelectElement);
    lockAfter.append(...LOCK_AFTER.map((each) => new Option(`${each} minutes`, `${each}`, false, each === minutes)));
    lockAfter.addEventListener("change", () => {
      actions.lockAfter(Number(lockAfter.value));
      void store.setLockAfter(Number(lockAfter.value));
    });
    part("export", HTMLElement).addEventListener("click", () => void this.#export());
    const dialog = part("forget-dialog", HTMLDialogElement);
    part("forget", HTMLElement).addEventListener("click", () => dialog.showModal());
    part("forget-no", HTMLElement).addEventListener("click", () => dialog.close());
    part("forget-yes", HTMLElement).addEventListener("click", () => {
      dialog.close();
      void actions.forget();
    });
  }

  /** Save the member file as it is now: counters and pins of this browser are in it alone. */
  async #export(): Promise<void> {
    const kept = await this.#store.load();
    if (kept === null) return;
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([new Uint8Array(kept.state)]));
    link.download = `${kept.name}.member`;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
  }
}
