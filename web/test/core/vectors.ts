// The vector files of vectors/files, which every implementation checks (vectors/README.md).

import { readdirSync, readFileSync } from "node:fs";
import { resolve } from "node:path";
import { fromHex, type Bytes } from "../../src/core/bytes.ts";

/** `npm test` runs in web/. */
const FOLDER = resolve("..", "vectors", "files");

export type Given = Record<string, any>;

/** One case: `expect` is `ok` or an error code. */
export interface Vector {
  readonly name: string;
  readonly operation: string;
  readonly expect: string;
  readonly why: string;
  readonly given: Given;
  readonly output: Given;
}

export function loadVectors(): Vector[] {
  const names = readdirSync(FOLDER).filter((name) => name.endsWith(".txt"));
  return names.sort().map((name) => {
    const text = readFileSync(resolve(FOLDER, name), "utf8");
    const end = text.indexOf("\n\n");
    const lines = text.slice(0, end).split("\n").map((line) => line.split(": "));
    const header = Object.fromEntries(lines.map(([key, ...value]) => [key, value.join(": ")]));
    const { input, output } = JSON.parse(exactNumbers(text.slice(end)));
    const { operation, expect, why } = header as Record<"operation" | "expect" | "why", string>;
    return { name: name.slice(0, -4), operation, expect, why, given: input, output: output ?? {} };
  });
}

/** JSON.parse rounds numbers beyond 2^53 - 1; they are handed on as text with a mark. */
function exactNumbers(json: string): string {
  return json.replace(/: (\d{16,})/g, ': "#$1"');
}

/** A number of a vector, as a bigint where a number would not be exact. */
export function numberOf(value: number | string | null): number | bigint | null {
  return typeof value === "string" ? BigInt(value.slice(1)) : value;
}

export function bytesOf(text: string): Bytes {
  return fromHex(text);
}
