// What the member sees while the agent is unlocked: groups with their budgets, and what was released.

import type { Done } from "../desk.ts";
import type { GroupShown, MemberShown } from "../types.ts";
import { counted, foreign, made, part } from "./page.ts";
import { recordsLine, recordsTable } from "./records.ts";

/** Entries kept in the list; it ends with the unlocking, as it names records. */
const MOST_DONE = 200;

const OUTCOMES: Readonly<Record<Done["outcome"], string>> = {
  released: "Released within the budget",
  approved: "Released as you decided",
  refused: "You refused",
  expired: "Expired, nothing was released",
};

/** Show the member's name, groups and budgets. */
export function showMember(member: MemberShown): void {
  part("open-title", HTMLElement).replaceChildren(made("span", "Open for "), foreign(member.name));
  const groups = member.groups.map(group);
  const none = made("li", "You are in no group that this agent follows yet.");
  part("groups", HTMLElement).replaceChildren(...(groups.length > 0 ? groups : [none]));
}

function group(shown: GroupShown): HTMLElement {
  const { used, limit } = shown.budget;
  const row = made("li", [made("span", [foreign(shown.name)]), made("span", budgetLine(shown), "used")]);
  if (!shown.policy.clickEach) {
    const bar = made("progress");
    bar.max = Math.max(1, limit);
    bar.value = Math.min(used, limit);
    bar.setAttribute("aria-label", `Budget used of group ${shown.name}`);
    row.append(bar);
  }
  const standing = shown.role === null ? "you are no member now" : counted(shown.members, "member");
  const renewal = shown.needsNewEpoch ? ", an admin should begin a new epoch" : "";
  const summary = made("summary", `${standing}${shown.verified ? "" : ", not verified"}${renewal}`);
  const compare = made("p", `Fingerprint at entry ${shown.seq}, to compare by phone: ${shown.fingerprint}`);
  row.append(made("details", [summary, compare]));
  return row;
}

function budgetLine({ budget: { used, limit }, policy }: GroupShown): string {
  return policy.clickEach ? `${used} this hour, asks each time` : `${used} of ${limit} this hour`;
}

/** Add to the list of what was answered; the newest comes first. */
export function showDone(entry: Done): void {
  const when = made("time", new Date(entry.at).toLocaleTimeString(), "when");
  when.dateTime = new Date(entry.at).toISOString();
  const purpose = entry.request.purpose === "" ? [] : [made("span", " · "), foreign(entry.request.purpose)];
  const said = made("div", OUTCOMES[entry.outcome], "said");
  said.append(made("span", entry.origin, "origin"));
  const line = [when, made("span", " · "), ...recordsLine(entry.request.records), ...purpose];
  const records = made("div", recordsTable(entry.request.records), "records");
  const item = made("li", [made("details", [made("summary", line), records]), said], entry.outcome);
  const list = part("done", HTMLElement);
  list.prepend(item);
  while (list.children.length > MOST_DONE) list.lastElementChild?.remove();
  part("done-none", HTMLElement).hidden = true;
}

/** Forget the list: it names records, and a locked window must not. */
export function clearDone(): void {
  part("done", HTMLElement).replaceChildren();
  part("done-none", HTMLElement).hidden = false;
}
