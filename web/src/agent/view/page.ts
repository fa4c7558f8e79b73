// The page's parts by name, and text made safe to show. Nothing here makes markup from text.

import { harmless } from "../../core/text.ts";

const MOST_SHOWN = 300;

/** Return the element of an id that agent.html has; `kind` is its class. */
export function part<T extends HTMLElement>(id: string, kind: new () => T): T {
  const found = document.getElementById(id);
  if (!(found instanceof kind)) throw new Error(`agent.html has no ${kind.name} #${id}`);
  return found;
}

/** Make an element with text or children. */
export function made<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  content: string | readonly Node[] = [],
  className = "",
): HTMLElementTagNameMap[K] {
  const element = document.createElement(tag);
  if (className !== "") element.className = className;
  element.append(...(typeof content === "string" ? [content] : content));
  return element;
}

/**
 * Return foreign text as it may be shown (SPEC R-CTX-8): what is invisible, turns the direction of
 * writing or breaks lines is escaped, and what is endless is cut.
 */
export function shown(text: string): string {
  const cut = text.length > MOST_SHOWN ? `${text.slice(0, MOST_SHOWN)}…` : text;
  return harmless(cut);
}

/** Show foreign text in an element of its own, so that it cannot reorder what stands around it. */
export function foreign(text: string): HTMLElement {
  return made("bdi", shown(text));
}

/** Say something to people who do not see the page; `urgent` interrupts what is being read. */
export function say(text: string, urgent = false): void {
  part(urgent ? "alert" : "say", HTMLElement).textContent = text;
}

/** `1 record`, `2 records`. */
export function counted(count: number, one: string): string {
  return `${count} ${one}${count === 1 ? "" : "s"}`;
}
