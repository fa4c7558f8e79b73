/** Key files: a header line, and base64 of 32 bytes and a checksum (R-FACTOR-7). */
import { concat, equal, textOf, utf8, type Bytes } from "./bytes.ts";
import { TwinlockError } from "./errors.ts";
import { sha256 } from "./primitives.ts";

const KEY_SIZE = 32;
const CHECK_SIZE = 4;
/** 36 bytes are 48 characters without padding. */
const BODY = /^[A-Za-z0-9+/]{48}$/;

export type KeyFileKind = "device-key" | "writer-key";

/** Parse a key file of this kind; returns its 32 bytes. Throws `key-file.damaged`. */
export async function decodeKeyFile(kind: KeyFileKind, data: Uint8Array): Promise<Bytes> {
  const [header, body = "", ...rest] = (textOf(data) ?? "").trim().split(/\s+/);
  if (header !== `twinlock-${kind}-1` || rest.length > 0 || !BODY.test(body)) throw damaged(kind);
  const raw = Uint8Array.from(atob(body), (character) => character.charCodeAt(0));
  const key = raw.slice(0, KEY_SIZE);
  const check = await sha256(concat(utf8(`twinlock/v1/key-file/${kind}`), key));
  if (!equal(raw.subarray(KEY_SIZE), check.subarray(0, CHECK_SIZE))) throw damaged(kind);
  return key;
}

function damaged(kind: KeyFileKind): TwinlockError {
  return new TwinlockError(
    "key-file.damaged",
    `This file is not a ${kind.replace("-", " ")}, or it was damaged.`,
    "Restore it from its backup.",
  );
}
