// The agent's window: a page of its own, on an origin of its own, where the member unlocks, sees what
// is asked, and decides. Applications reach it through relays only.

import { Desk } from "./desk.ts";
import { WorkerEngine } from "./engine.ts";
import { asFailure, Failure } from "./failure.ts";
import { DEFAULT_LOCK_AFTER, Idle, LOCK_AFTER } from "./idle.ts";
import { type Answer, CHANNEL, posted, readChannelled } from "./messages.ts";
import { allowedOrigins } from "./origins.ts";
import { Place } from "./place.ts";
import { type Kept, Store } from "./store.ts";
import type { MemberShown } from "./types.ts";
import { DecisionCard } from "./view/decision.ts";
import { clearDone, showDone, showMember } from "./view/open.ts";
import { part, say } from "./view/page.ts";
import { UnlockForm } from "./view/unlock.ts";

const VIEWS = ["broken", "elsewhere", "unlock", "open"] as const;
const CHECK_EVERY = 5_000;
const COUNT_EVERY = 30_000;

type View = (typeof VIEWS)[number];

class AgentWindow {
  readonly #store = new Store();
  readonly #engine = new WorkerEngine();
  readonly #place = new Place();
  readonly #channel = new BroadcastChannel(CHANNEL);
  readonly #card = new DecisionCard();
  readonly #title = document.title;
  readonly #form = new UnlockForm((passphrase, files) => this.#unlock(passphrase, files), asFailure);
  readonly #idle: Idle;
  readonly #origins: ReadonlySet<string>;
  #desk: Desk | null = null;
  #view: View = "unlock";

  constructor(origins: ReadonlySet<string>, lockAfter: number) {
    this.#origins = origins;
    this.#idle = new Idle(Date.now, lockAfter);
    part("lock-after", HTMLSelectElement).append(
      ...LOCK_AFTER.map((minutes) => new Option(`${minutes} minutes`, `${minutes}`, false, minutes === lockAfter)),
    );
    this.#listen();
  }

  /** Begin: say that a window is open, and show how to go on. */
  async start(): Promise<void> {
    await this.#place.open();
    this.#changed();
    await this.#toUnlock();
    await this.#standByIfTaken();
  }

  // --- unlocking and locking ---------------------------------------------------------------------

  async #unlock(passphrase: string, chosen: Omit<Kept, "name"> | null): Promise<void> {
    if (!(await this.#place.hold())) return this.#standBy();
    try {
      // Read only now, as the holder: another window may have released until a moment ago.
      const kept = await this.#store.load();
      const files = kept ?? chosen;
      if (files === null) throw new Failure("agent.files", "This device was forgotten.", "Reload this page.");
      const member = await this.#engine.unlock(files, passphrase);
      await this.#open({ ...files, name: member.name }, member, kept === null);
    } catch (error) {
      this.#engine.lock();
      await this.#place.leave();
      throw error;
    }
  }

  async #open(kept: Kept, member: MemberShown, isNew: boolean): Promise<void> {
    if (isNew) {
      await this.#store.save(kept);
      // Asked once; without it the browser may drop the files when space is short.
      void navigator.storage.persist();
    }
    this.#desk = new Desk({
      engine: this.#engine,
      origins: this.#origins,
      store: (state) => this.#store.save({ ...kept, state }),
      send: (relay, answer) => this.#send(relay, answer),
      now: Date.now,
      decide: (first, waiting) => {
        document.title = waiting > 0 ? `(${waiting}) Decision needed – ${this.#title}` : this.#title;
        this.#card.show(first, waiting);
      },
      done: showDone,
      counted: showMember,
      stuck: (error) => void this.#lock(`${error.message} ${error.hint}`),
    });
    this.#form.clear();
    this.#idle.present();
    showMember(member);
    this.#show("open");
    part("open-title", HTMLElement).focus();
    say(`Unlocked as ${member.name}`);
    await this.#place.ready();
    this.#changed();
  }

  /** Forget the keys and what was shown; `said` tells the member why. */
  async #lock(said = ""): Promise<void> {
    this.#desk?.close();
    this.#desk = null;
    this.#engine.lock();
    clearDone();
    this.#form.clear();
    await this.#place.leave();
    this.#changed();
    say("Locked");
    await this.#toUnlock(said);
  }

  async #toUnlock(said = ""): Promise<void> {
    this.#show("unlock");
    try {
      this.#form.show(await this.#store.load(), said);
    } catch (error) {
      this.#broken(asFailure(error));
    }
  }

  async #standByIfTaken(): Promise<void> {
    if (await this.#place.isTaken()) await this.#standBy();
  }

  async #standBy(): Promise<void> {
    this.#show("elsewhere");
    part("take-over", HTMLElement).focus();
    await this.#place.whenFree();
    if (this.#view === "elsewhere") await this.#toUnlock();
  }

  #broken(error: Failure): void {
    part("broken-why", HTMLElement).textContent = `${error.message} ${error.hint}`;
    this.#show("broken");
  }

  // --- the channel -------------------------------------------------------------------------------

  #hear(data: unknown): void {
    const message = readChannelled(data);
    if (message?.to === "all" && this.#view === "unlock") void this.#standByIfTaken();
    if (message?.to !== "holder" || this.#desk === null) return;
    if ("news" in message) {
      if (message.news === "relay-gone") this.#desk.gone(message.relay);
      else void this.#lock("Another window of the agent took over.");
    } else {
      this.#lockIfIdle();
      this.#idle.asked();
      this.#desk?.take(message);
    }
  }

  #send(relay: string, answer: Answer): void {
    this.#channel.postMessage({ to: "relay", relay, message: posted(answer) });
  }

  /** Relays look at the locks when they hear this. */
  #changed(): void {
    this.#channel.postMessage({ to: "all", news: "changed" });
  }

  // --- the page ----------------------------------------------------------------------------------

  #show(view: View): void {
    this.#view = view;
    for (const name of VIEWS) part(name, HTMLElement).hidden = name !== view;
    const open = view === "open";
    part("lock", HTMLElement).hidden = !open;
    const state = part("state", HTMLElement);
    state.textContent = open ? "Unlocked" : "Locked";
    state.classList.toggle("on", open);
  }

  #listen(): void {
    this.#channel.addEventListener("message", (event) => this.#hear(event.data));
    part("lock", HTMLElement).addEventListener("click", () => void this.#lock());
    part("take-over", HTMLElement).addEventListener("click", () => {
      this.#channel.postMessage({ to: "holder", news: "step-down" });
    });
    for (const name of ["pointerdown", "keydown", "change"]) window.addEventListener(name, () => this.#idle.present());
    for (const name of ["beforeunload", "pagehide"]) {
      window.addEventListener(name, () => {
        if (this.#desk !== null) void this.#lock();
      });
    }
    setInterval(() => this.#lockIfIdle(), CHECK_EVERY);
    setInterval(() => void this.#count(), COUNT_EVERY);
    this.#listenForSettings();
  }

  #listenForSettings(): void {
    const lockAfter = part("lock-after", HTMLSelectElement);
    lockAfter.addEventListener("change", () => {
      this.#idle.minutes = Number(lockAfter.value);
      void this.#store.setLockAfter(Number(lockAfter.value));
    });
    part("export", HTMLElement).addEventListener("click", () => void this.#export());
    const dialog = part("forget-dialog", HTMLDialogElement);
    part("forget", HTMLElement).addEventListener("click", () => dialog.showModal());
    part("forget-no", HTMLElement).addEventListener("click", () => dialog.close());
    part("forget-yes", HTMLElement).addEventListener("click", () => {
      dialog.close();
      void this.#forget();
    });
  }

  async #forget(): Promise<void> {
    if (!(await this.#place.hold())) return this.#standBy();
    await this.#store.forget();
    await this.#place.leave();
    await this.#toUnlock("This device was forgotten.");
  }

  #lockIfIdle(): void {
    if (this.#desk !== null && this.#idle.isOver()) void this.#lock("Locked, as it was not used for a while.");
  }

  async #count(): Promise<void> {
    if (this.#desk !== null) showMember(await this.#engine.status().catch(() => ({ name: "", releases: 0, groups: [] })));
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

/** Why this page must not be an agent, or null. */
function unfit(origins: ReadonlySet<string>): string | null {
  if (window.top !== window) return "It stands in a frame of another page.";
  if (!isSecureContext) return "This page did not come over https.";
  if (origins.size === 0) return "Its server names no application, or one on this page's own origin.";
  const needed = [navigator.locks, globalThis.indexedDB, globalThis.BroadcastChannel, globalThis.Worker];
  return needed.every(Boolean) ? null : "This browser is too old.";
}

async function lockAfter(): Promise<number> {
  const stored = await new Store().lockAfter().catch(() => null);
  const fromServer = Number(document.querySelector('meta[name="twinlock-lock-after"]')?.getAttribute("content"));
  const known = (minutes: number | null): minutes is number => LOCK_AFTER.some((each) => each === minutes);
  return [stored, fromServer].find(known) ?? DEFAULT_LOCK_AFTER;
}

const origins = allowedOrigins(document, location.origin);
const why = unfit(origins);
if (why === null) {
  await new AgentWindow(origins, await lockAfter()).start();
} else {
  part("broken", HTMLElement).hidden = false;
  part("broken-why", HTMLElement).textContent = why;
}
