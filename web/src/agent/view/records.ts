// The records of a request as a table: which row, which column, through which group.

import type { RecordShown } from "../types.ts";
import { counted, foreign, made } from "./page.ts";

const MOST_ROWS = 50;

/** Return a table of the first 50 records, and how many more there are of each table. */
export function recordsTable(records: readonly RecordShown[]): readonly HTMLElement[] {
  const table = made("table", [heading(records), made("tbody", records.slice(0, MOST_ROWS).map(row))]);
  const rest = records.slice(MOST_ROWS);
  if (rest.length === 0) return [table];
  const parts = [...countedBy(rest, tableOf)].flatMap(([name, count], at) => [
    made("span", `${at > 0 ? ", " : ""}${count} of `),
    foreign(name),
  ]);
  return [table, made("p", [made("span", `and ${counted(rest.length, "more record")}: `), ...parts], "rest")];
}

/** Return one line on the records: how many of which table. */
export function recordsLine(records: readonly RecordShown[]): readonly HTMLElement[] {
  return [...countedBy(records, tableOf)].flatMap(([name, count], at) => [
    made("span", `${at > 0 ? ", " : ""}${counted(count, "record")} of `),
    foreign(name),
  ]);
}

function heading(records: readonly RecordShown[]): HTMLElement {
  const names = ["Table", "Record", "Column", "Group"];
  const cells = names.map((name) => {
    const cell = made("th", name);
    cell.scope = "col";
    return cell;
  });
  const caption = made("caption", counted(records.length, "record"), "unseen");
  return made("thead", [caption, made("tr", cells)]);
}

function row(record: RecordShown): HTMLElement {
  const version = record.version === null ? "" : `, version ${record.version}`;
  const id = made("td", [foreign(record.record), made("span", version)]);
  const column = record.scope === "*row" ? made("td", "whole row") : made("td", [foreign(record.scope)]);
  return made("tr", [made("td", [foreign(tableOf(record))]), id, column, made("td", [foreign(record.group ?? "none of yours")])]);
}

function tableOf(record: RecordShown): string {
  return record.tenant === "" ? record.table : `${record.tenant}: ${record.table}`;
}

function countedBy<T>(items: readonly T[], name: (item: T) => string): Map<string, number> {
  const counts = new Map<string, number>();
  for (const item of items) counts.set(name(item), (counts.get(name(item)) ?? 0) + 1);
  return counts;
}
