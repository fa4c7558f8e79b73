// What people see, and what they compare by phone.

import "./webcrypto.ts";
import assert from "node:assert/strict";
import { test } from "node:test";
import { bigEndian, copy, fromHex, utf8 } from "../../src/core/bytes.ts";
import { shownRecord } from "../../src/core/context.ts";
import { logFingerprint } from "../../src/core/membership/fingerprint.ts";
import { harmless, isNfc, isPrintable } from "../../src/core/text.ts";

/** R-CTX-8 */
test("a record id is shown as text, number or UUID where it looks like one, else in hexadecimal", () => {
  const uuid = "6ba7b810-9dad-11d1-80b4-00c04fd430c8";
  for (const [recordId, shown] of [
    [utf8("4711"), "4711"],
    [utf8("Zürich"), "Zürich"],
    [bigEndian(17, 8), "17"],
    [bigEndian(2n ** 56n - 1n, 8), "72057594037927935"],
    [fromHex(uuid.replace(/-/g, "")), uuid],
    [utf8("sixteen letters!"), "sixteen letters!"],
    [utf8("a\nb"), "610a62"],
    [utf8("a\u202eb"), "61e280ae62"],
    [utf8("a\u00a0b"), "61c2a062"],
    [fromHex("ff"), "ff"],
  ] as const) {
    assert.equal(shownRecord(copy(recordId)), shown);
  }
});

/** R-AGENT-5 */
test("text that could add a line, move or hide something is escaped", () => {
  assert.equal(harmless("ward round ü 病"), "ward round ü 病");
  assert.equal(harmless("a\nb\u2028c\u200bd\u{e0001}"), "a\\u000ab\\u2028c\\u200bd\\ue0001");
  assert.equal(harmless("\ud800"), "\\ud800");
  assert.ok(isPrintable(harmless("\u0000\u00ad\u3000\ue000")));
});

test("text in another form, or without UTF-8, is not NFC", () => {
  assert.deepEqual(["ü", "u\u0308", "\ud800", "a\udc00", "\u{1f511}"].map(isNfc), [true, false, false, false, true]);
});

/** R-LOG-32 */
test("a fingerprint is 8 groups of 5 digits", async () => {
  const pin = { groupId: new Uint8Array(32), seq: 7, head: new Uint8Array(32) };
  assert.match(await logFingerprint(pin), /^(\d{5} ){7}\d{5}$/);
});
