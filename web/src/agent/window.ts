// The agent's window: a page of its own, on an origin of its own, where the member unlocks, sees what
// is asked, and decides. Applications reach it through relays only.

import { Carriers } from "./carriers.ts";
import type { Want } from "./carrying.ts";
import { Desk } from "./desk.ts";
import { WorkerEngine } from "./engine.ts";
import { enrolWay } from "./enrolling.ts";
import { enter, type Unlocking } from "./entrance.ts";
import { asFailure, Failure } from "./failure.ts";
import { Idle } from "./idle.ts";
import { type Answer, CHANNEL, posted, readChannelled } from "./messages.ts";
import { complete, type Complete, type Entering, type SignInTo } from "./opening.ts";
import { allowedOrigins } from "./origins.ts";
import { Place } from "./place.ts";
import { Settings } from "./settings.ts";
import { type SignInAsked, SignIns } from "./sign-ins.ts";
import { type Kept, Store } from "./store.ts";
import { lockAfter, meta, unfit } from "./surroundings.ts";
import type { MemberShown, NextState } from "./types.ts";
import { DecisionCard } from "./view/decision.ts";
import { clearDone, showDone, showMember } from "./view/open.ts";
import { part, say } from "./view/page.ts";
import { SignInCard, type SignInWays } from "./view/sign-in.ts";
import { UnlockForm } from "./view/unlock.ts";
import { WaysCard } from "./view/ways.ts";

const VIEWS = ["broken", "elsewhere", "unlock", "open"] as const;
const CHECK_EVERY = 5_000;
const COUNT_EVERY = 30_000;

/** While it is `starting`, nothing is shown yet. */
type View = (typeof VIEWS)[number] | "starting";

class AgentWindow {
  readonly #store = new Store();
  readonly #place = new Place();
  readonly #channel = new BroadcastChannel(CHANNEL);
  readonly #card = new DecisionCard();
  readonly #title = document.title;
  readonly #carriers: Carriers;
  readonly #engine: WorkerEngine;
  readonly #signIns: SignIns;
  readonly #form: UnlockForm;
  readonly #signIn: SignInCard;
  readonly #ways: WaysCard;
  readonly #idle: Idle;
  readonly #origins: ReadonlySet<string>;
  #desk: Desk | null = null;
  #member: MemberShown | null = null;
  #kept: Kept | null = null;
  #view: View = "starting";

  constructor(origins: ReadonlySet<string>, minutes: number) {
    const send = (relay: string, answer: Answer): void => this.#send(relay, answer);
    this.#origins = origins;
    this.#idle = new Idle(Date.now, minutes);
    this.#carriers = new Carriers(origins, send);
    const card = meta("twinlock-deployment");
    this.#engine = new WorkerEngine(card, (want: Want) => this.#carriers.fetch(want));
    this.#signIns = new SignIns({ origins, send, show: (first) => void this.#showSignIn(first) });
    this.#form = new UnlockForm({
      submit: async (unlocking) => void (await this.#unlock(unlocking)),
      look: (state) => this.#engine.look(state),
      onError: asFailure,
      hasDeployment: card !== "",
    });
    this.#signIn = new SignInCard({
      ways: () => this.#signInWays(card !== ""),
      submit: (asked, entered, name) => this.#signInTo(asked, { ...entered, name, files: null }),
      refuse: (asked) => this.#signIns.fail(asked, new Failure("agent.refused", "The member refused.", "If it was a slip, ask again.")),
      onError: asFailure,
    });
    this.#ways = new WaysCard({
      enrol: async (present, way) => {
        const { secrets } = await this.#completed(present, null);
        const asked = way.make === "secrets" ? { ...way, ...(await this.#completed(way, null)) } : way;
        await this.#changed(await enrolWay(this.#engine, this.#carriers, this.#member!, secrets, asked));
      },
      drop: async (way) => this.#changed(await this.#engine.drop(way)),
      recoveryCode: () => this.#engine.recoveryCode(),
      hasDeviceKey: () => this.#kept?.deviceKeyFile != null,
      through: () => this.#carriers.origin,
      onError: asFailure,
    });
    this.#listen(minutes);
  }

  /** Begin: say that a window is open, and show how to go on. */
  async start(): Promise<void> {
    await this.#place.open();
    this.#tell();
    await this.#toUnlock();
    await this.#standByIfTaken();
  }

  // --- unlocking and locking ---------------------------------------------------------------------

  /** Unlock; with `signIn` one touch signs in there, too. Null where another window holds the keys. */
  async #unlock(unlocking: Unlocking, signIn: SignInTo | null = null): Promise<Complete | null> {
    if (!(await this.#place.hold())) {
      void this.#standBy();
      return null;
    }
    try {
      // Read only now, as the holder: another window may have released until a moment ago.
      const kept = await this.#store.load();
      const opened = await enter(this.#engine, kept, unlocking, signIn);
      await this.#open(opened.kept, opened.member, kept === null);
      return opened.complete;
    } catch (error) {
      this.#engine.lock();
      await this.#place.leave();
      throw error;
    }
  }

  async #open(kept: Kept, member: MemberShown, isNew: boolean): Promise<void> {
    this.#kept = kept;
    if (isNew) {
      await this.#store.save(kept);
      // Asked once; without it the browser may drop the files when space is short.
      void navigator.storage.persist();
    }
    this.#desk = new Desk({
      engine: this.#engine,
      origins: this.#origins,
      store: (state) => this.#save(state),
      send: (relay, answer) => this.#send(relay, answer),
      now: Date.now,
      decide: (first, waiting) => {
        document.title = waiting > 0 ? `(${waiting}) Decision needed – ${this.#title}` : this.#title;
        this.#card.show(first, waiting);
      },
      done: showDone,
      counted: (after) => this.#showMember(after),
      stuck: (error) => void this.#lock(`${error.message} ${error.hint}`),
    });
    this.#form.clear();
    this.#idle.present();
    this.#showMember(member);
    this.#show("open");
    part("open-title", HTMLElement).focus();
    say(`Unlocked as ${member.name}`);
    await this.#place.ready();
    this.#tell();
  }

  /** Forget the keys and what was shown; `said` tells the member why. */
  async #lock(said = ""): Promise<void> {
    this.#desk?.close();
    this.#desk = null;
    this.#member = null;
    this.#engine.lock();
    clearDone();
    this.#ways.clear();
    this.#form.clear();
    await this.#place.leave();
    this.#tell();
    say("Locked");
    await this.#toUnlock(said);
  }

  async #toUnlock(said = ""): Promise<void> {
    this.#show("starting");
    try {
      this.#kept = await this.#store.load();
      const ways = this.#kept === null ? [] : await this.#engine.look(this.#kept.state);
      if (this.#view !== "starting") return;
      this.#show("unlock");
      this.#form.show(this.#kept, ways, said);
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

  // --- ways in -----------------------------------------------------------------------------------

  /** What opens a way in of the member who is unlocked here, completed. */
  async #completed(entered: Entering, signIn: SignInTo | null): Promise<Complete> {
    const { state, deviceKeyFile } = this.#kept!;
    return complete(entered, await this.#engine.look(state), deviceKeyFile, signIn);
  }

  /** The ways in were changed, and the server knows: keep the state, or release nothing more. */
  async #changed({ member, state }: NextState): Promise<void> {
    try {
      await this.#save(state);
      this.#showMember(member);
    } catch (error) {
      const { message, hint } = asFailure(error);
      await this.#lock(`${message} ${hint}`);
    }
  }

  async #save(state: Uint8Array): Promise<void> {
    this.#kept = { ...this.#kept!, state };
    await this.#store.save(this.#kept);
  }

  // --- signing in --------------------------------------------------------------------------------

  async #showSignIn(first: SignInAsked | null): Promise<void> {
    await this.#signIn.show(first);
    this.#show(this.#view);
  }

  async #signInWays(hasDeployment: boolean): Promise<SignInWays> {
    const kept = await this.#store.load();
    if (kept === null) return { needsName: hasDeployment, ways: hasDeployment ? [["passkey"]] : [], hasDeviceKey: false };
    const ways = (await this.#engine.look(kept.state)).map(({ kinds }) => kinds);
    const signing = ways.filter((kinds) => kinds.includes("passkey") || kinds.includes("scram"));
    return { needsName: false, ways: signing, hasDeviceKey: kept.deviceKeyFile !== null };
  }

  /** Sign in to an application, unlocking where the agent is locked. */
  async #signInTo(asked: SignInAsked, unlocking: Unlocking): Promise<void> {
    const completed = this.#desk === null ? await this.#unlock(unlocking, asked) : await this.#completed(unlocking, asked);
    if (completed === null) return;
    const { id } = asked;
    if (completed.assertion !== null) {
      this.#signIns.answer(asked, { answer: "sign-in", id, ...completed.assertion });
    } else {
      await this.#engine.scram(completed.secrets);
      this.#signIns.answer(asked, { answer: "signed-in", id });
    }
    say(`Signed in to ${asked.origin}`);
  }

  // --- the channel -------------------------------------------------------------------------------

  #hear(data: unknown): void {
    const message = readChannelled(data);
    if (message?.to === "all" && ["starting", "unlock"].includes(this.#view)) void this.#standByIfTaken();
    if (message?.to !== "holder") return;
    if ("news" in message) {
      if (message.news === "step-down") return void (this.#desk !== null && this.#lock("Another window of the agent took over."));
      for (const each of [this.#carriers, this.#signIns, this.#desk]) each?.gone(message.relay);
      return;
    }
    const { relay, origin, message: ask } = message;
    if (this.#carriers.take(relay, origin, ask)) return;
    // A window beside the one that holds the keys leaves the questions to it.
    if (this.#view === "elsewhere") return;
    this.#lockIfIdle();
    if (this.#signIns.take(relay, origin, ask) || this.#desk === null) return;
    this.#idle.asked();
    this.#desk.take(message);
  }

  #send(relay: string, answer: Answer): void {
    this.#channel.postMessage({ to: "relay", relay, message: posted(answer) });
  }

  /** Relays look at the locks when they hear this. */
  #tell(): void {
    this.#channel.postMessage({ to: "all", news: "changed" });
  }

  // --- the page ----------------------------------------------------------------------------------

  #show(view: View): void {
    this.#view = view;
    for (const name of VIEWS) part(name, HTMLElement).hidden = name !== view;
    const open = view === "open";
    // Signing in unlocks, so that one form is enough.
    if (view === "unlock") part(view, HTMLElement).hidden = this.#signIn.isShown;
    part("lock", HTMLElement).hidden = !open;
    const state = part("state", HTMLElement);
    state.textContent = open ? "Unlocked" : "Locked";
    state.classList.toggle("on", open);
  }

  #showMember(member: MemberShown): void {
    this.#member = member;
    showMember(member);
    this.#ways.show(member.ways);
  }

  #listen(minutes: number): void {
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
    new Settings(this.#store, minutes, {
      lockAfter: (chosen) => (this.#idle.minutes = chosen),
      forget: () => this.#forget(),
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
    if (this.#desk === null) return;
    const member = await this.#engine.status().catch(() => null);
    if (member !== null && this.#desk !== null) this.#showMember(member);
  }
}

const origins = allowedOrigins(document, location.origin);
const why = unfit(origins);
if (why === null) {
  await new AgentWindow(origins, await lockAfter(new Store())).start();
} else {
  part("broken", HTMLElement).hidden = false;
  part("broken-why", HTMLElement).textContent = why;
}
