// One of several ways in, and the fields that it needs.

import type { Entering } from "../opening.ts";
import { isUsable, nameOf, WayFields } from "./fields.ts";
import { part } from "./page.ts";

/** A list to choose from, which shows only where there is a choice, and the fields under it. */
export class WayChooser {
  readonly #line: HTMLElement;
  readonly #select: HTMLSelectElement;
  readonly #fields: WayFields;
  #ways: readonly (readonly string[])[] = [];
  #hasDeviceKey = false;

  /** The page has `#NAME-line` around `#NAME`, and `#NAME-fields`. */
  constructor(name: string, prefix = `${name}-`) {
    this.#line = part(`${name}-line`, HTMLElement);
    this.#select = part(name, HTMLSelectElement);
    this.#fields = new WayFields(`${name}-fields`, prefix);
    this.#select.addEventListener("change", () => {
      this.#show();
      this.focus();
    });
  }

  /** Offer these ways in, each its kinds of factors; those that a browser cannot give are left out. */
  offer(ways: readonly (readonly string[])[], hasDeviceKey: boolean): void {
    const named = new Map(ways.filter(isUsable).map((kinds) => [nameOf(kinds), kinds]));
    this.#ways = [...named.values()];
    this.#hasDeviceKey = hasDeviceKey;
    this.#select.replaceChildren(...[...named.keys()].map((name, at) => new Option(name, `${at}`)));
    this.#line.hidden = this.#ways.length < 2;
    this.#show();
  }

  /** Whether there is a way at all. */
  get isEmpty(): boolean {
    return this.#ways.length === 0;
  }

  /** The chosen way's kinds. */
  get kinds(): readonly string[] {
    return this.#ways[Number(this.#select.value)] ?? [];
  }

  async read(): Promise<Entering> {
    return { kinds: this.kinds, secrets: await this.#fields.read() };
  }

  focus(): boolean {
    return this.#fields.focus();
  }

  select(): void {
    this.#fields.select();
  }

  clear(): void {
    this.#fields.clear();
  }

  #show(): void {
    this.#fields.show(this.kinds, this.#hasDeviceKey);
  }
}
