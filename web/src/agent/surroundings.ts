// Where the agent's page stands, and what its server wrote into it.

import { DEFAULT_LOCK_AFTER, LOCK_AFTER } from "./idle.ts";
import type { Store } from "./store.ts";

/** Why this page must not be an agent, or null. */
export function unfit(origins: ReadonlySet<string>): string | null {
  if (window.top !== window) return "It stands in a frame of another page.";
  if (!isSecureContext) return "This page did not come over https.";
  if (origins.size === 0) return "Its server names no application, or one on this page's own origin.";
  const needed = [navigator.locks, globalThis.indexedDB, globalThis.BroadcastChannel, globalThis.Worker];
  return needed.every(Boolean) ? null : "This browser is too old.";
}

/** What the agent's server wrote into the page under a name; empty where it wrote nothing. */
export function meta(name: string): string {
  return document.querySelector(`meta[name="${name}"]`)?.getAttribute("content") ?? "";
}

/** Minutes without use that lock the agent: this device's setting, else the server's. */
export async function lockAfter(store: Store): Promise<number> {
  const stored = await store.lockAfter().catch(() => null);
  const fromServer = Number(meta("twinlock-lock-after"));
  const known = (minutes: number | null): minutes is number => LOCK_AFTER.some((each) => each === minutes);
  return [stored, fromServer].find(known) ?? DEFAULT_LOCK_AFTER;
}
