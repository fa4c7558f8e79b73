// The card that asks the member. One at a time; Refuse has the focus, Release wakes up late.

import type { Decision } from "../desk.ts";
import { GuardedButton } from "./guarded.ts";
import { counted, foreign, made, part, say } from "./page.ts";
import { recordsTable } from "./records.ts";

const TICK = 1000;

/** Shows the first decision that waits. */
export class DecisionCard {
  readonly #card = part("decision", HTMLElement);
  readonly #release = new GuardedButton(part("release", HTMLButtonElement), () => this.#current?.settle(true));
  readonly #refuse = part("refuse", HTMLButtonElement);
  #current: Decision | null = null;
  #ticking: ReturnType<typeof setInterval> | undefined;

  constructor() {
    this.#refuse.addEventListener("click", (event) => this.#refused(event));
    document.addEventListener("keydown", (event) => {
      if (event.key === "Escape" && !document.querySelector("dialog[open]")) this.#refused(event);
    });
  }

  /** Show a decision, or none; `waiting` counts it and those behind it. */
  show(decision: Decision | null, waiting: number): void {
    part("decision-more", HTMLElement).textContent = waiting > 1 ? `· 1 of ${waiting}` : "";
    if (decision === this.#current) return;
    this.#current = decision;
    this.#card.hidden = decision === null;
    clearInterval(this.#ticking);
    if (decision === null) return this.#release.disarm();
    this.#release.arm();
    this.#fill(decision);
    this.#ticking = setInterval(() => this.#tick(decision), TICK);
    this.#tick(decision);
    this.#refuse.focus();
    say(`Decision needed: ${part("decision-title", HTMLElement).textContent}`, true);
  }

  #fill({ request, origin }: Decision): void {
    part("decision-title", HTMLElement).textContent = `Release ${counted(request.records.length, "record")}?`;
    part("decision-origin", HTMLElement).replaceChildren(foreign(origin));
    const purpose = request.purpose === "" ? made("i", "none given") : foreign(request.purpose);
    part("decision-purpose", HTMLElement).replaceChildren(purpose);
    const reasons = [...request.reasons, ...request.warnings].map((reason) => made("div", [foreign(reason)]));
    part("decision-reasons", HTMLElement).replaceChildren(...reasons);
    const records = part("decision-records", HTMLElement);
    records.replaceChildren(...recordsTable(request.records));
    records.scrollTop = 0;
  }

  #tick(decision: Decision): void {
    const left = Math.max(0, Math.round(decision.request.expires - Date.now() / 1000));
    part("decision-left", HTMLElement).textContent = `${counted(left, "second")} left`;
  }

  #refused(event: Event): void {
    if (event.isTrusted) this.#current?.settle(false);
  }
}
