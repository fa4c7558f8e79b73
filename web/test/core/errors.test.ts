// Codes are a contract: all that the core throws are listed in docs/errors.md.

import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { resolve } from "node:path";
import { test } from "node:test";

const SOURCE = resolve("src", "core");
const CODE = /new TwinlockError\(\s*"([^"]+)"|super\(\s*"([a-z-]+\.[a-z-]+)"|new PinConflictError\(\s*"([^"]+)"/g;

test("every code is written out, and documented", () => {
  const documented = readFileSync(resolve("..", "docs", "errors.md"), "utf8");
  const files = readdirSync(SOURCE, { recursive: true }).map(String).filter((name) => name.endsWith(".ts"));
  const sources = files.map((name) => readFileSync(resolve(SOURCE, name), "utf8"));
  const made = sources.flatMap((text) => text.match(/new (TwinlockError|PinConflictError)\(/g) ?? []);
  const found = sources.flatMap((text) => [...text.matchAll(CODE)].map(([, ...codes]) => codes.find(Boolean)!));
  assert.ok(found.length >= made.length && made.length > 30);
  assert.deepEqual(found.filter((code) => !documented.includes(`\`${code}\``)), []);
});
