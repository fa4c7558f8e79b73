// The server's and the token's part of opening, in software, for vectors that open whole values. The
// member's part is the agent's own code.

import { constants, createDecipheriv, createHash, privateDecrypt } from "node:crypto";
import { concat, copy, equal, hex, utf8, type Bytes } from "../../src/core/bytes.ts";
import { decode, encode, takeBytes, takeItems, takeList, takeText } from "../../src/core/cbor.ts";
import { decodeCore, decodeHeader, type GroupLock } from "../../src/core/envelope.ts";
import { malformed, notAuthentic, unknownSuite } from "../../src/core/errors.ts";
import { KemKey } from "../../src/core/keys.ts";
import { openLock } from "../../src/core/locks.ts";
import { verify } from "../../src/core/primitives.ts";
import { bytesOf, type Given } from "./vectors.ts";

const SEGMENT = 16384;
const TAG = 16;
const MAX_HEAD = 192 << 10;
const MAX_VALUE = (16 << 20) + MAX_HEAD;

interface Field {
  readonly column: string;
  readonly prefix: Bytes;
  readonly ciphertext: Bytes;
  readonly signature: Bytes;
}

interface Head {
  readonly core: Bytes;
  readonly header: Bytes;
  readonly outer: Bytes;
}

export async function openValue(given: Given): Promise<Given> {
  const [core, header, outer, ...rest] = magic(bytesOf(given.sealed), "TWL", 6, MAX_VALUE);
  const head = takeHead([core, header, outer], 1);
  const field = takeField(given.column, rest);
  return { plaintext: hex(await openField(given, head, field)) };
}

export async function openRow(given: Given): Promise<Given> {
  const head = takeHead(magic(bytesOf(given.head), "TWH", 3, MAX_HEAD), 2);
  const fields = Object.entries<string>(given.cells).map(([column, cell]) => {
    const [dekId, ...rest] = magic(bytesOf(cell), "TWC", 4, MAX_VALUE);
    if (hex(takeBytes(dekId)) !== hex(dekIdOf(head))) throw malformed("another wrapped DEK");
    return takeField(column, rest);
  });
  const plaintexts: Given = {};
  for (const field of fields) plaintexts[field.column] = hex(await openField(given, head, field));
  return { plaintexts };
}

export async function openFile(given: Given): Promise<Given> {
  const sealed = bytesOf(given.sealed);
  if (sealed[3] !== 1) throw unknownSuite("envelope version", sealed[3]);
  const size = new DataView(sealed.buffer).getUint32(4);
  const [core, header, outer, prefix] = takeItems(decode(sealed.slice(8, 8 + size), MAX_HEAD), 4);
  const field = {
    column: given.column as string,
    prefix: takeBytes(prefix, 7),
    ciphertext: sealed.slice(8 + size, -64),
    signature: sealed.slice(-64),
  };
  return { plaintext: hex(await openField(given, takeHead([core, header, outer], 3), field)) };
}

export async function openAdopted(given: Given): Promise<Given> {
  const [core, header, outer, origin, rows] = magic(bytesOf(given.head), "TWA", 5, 2 * MAX_HEAD);
  if (origin !== 1 && origin !== 2) throw malformed("an unknown origin");
  const signatures = new Map<string, Bytes>();
  let before: Buffer | undefined;
  for (const row of takeList(rows, 1, 256)) {
    const [column, signature] = takeItems(row, 2);
    const name = Buffer.from(takeText(column));
    if (name.length === 0 || (before && Buffer.compare(before, name) >= 0)) throw malformed("order");
    before = name;
    signatures.set(takeText(column), takeBytes(signature, 64));
  }
  const head = takeHead([core, header, outer], 4);
  const writer = bytesOf(given.writer);
  const cells = Object.entries<Given>(given.cells);
  for (const [column, cell] of cells) {
    const old = [cell.nonce, cell.aad, cell.ciphertext].map(bytesOf);
    const place = [writerKidOf(head), head.core, bytesOf(given.context), column, origin];
    const message = encode(["twinlock/v1/adopted-sig", ...place, digest(encode(old))]);
    await verify(writer, message, signatures.get(column) ?? new Uint8Array(0));
  }
  const dek = await openDek(given, head);
  const opened = cells.map(([column, cell]) => {
    const [nonce, aad, ciphertext] = [cell.nonce, cell.aad, cell.ciphertext].map(bytesOf);
    return [column, hex(gcm(dek, nonce!, ciphertext!, aad!))];
  });
  return { plaintexts: Object.fromEntries(opened) };
}

async function openField(given: Given, head: Head, field: Field): Promise<Bytes> {
  const { column, prefix, ciphertext, signature } = field;
  const count = countParts(ciphertext.length);
  const place = [head.core, bytesOf(given.context), column];
  const whole = digest(prefix, ciphertext);
  const signed = encode(["twinlock/v1/data-sig", writerKidOf(head), ...place, count, whole]);
  await verify(bytesOf(given.writer), signed, signature);
  const dek = await openDek(given, head);
  const parts = Array.from({ length: count }, (_, part) => {
    const last = part === count - 1;
    const nonce = concat(prefix, fourBytes(part), Uint8Array.of(last ? 1 : 0));
    const aad = encode(["twinlock/v1/data", ...place, part, last]);
    const at = part * (SEGMENT + TAG);
    return gcm(dek, nonce, ciphertext.slice(at, at + SEGMENT + TAG), aad);
  });
  const plaintext = concat(...parts);
  if (!equal(plaintext.slice(0, 32), new Uint8Array(32))) throw notAuthentic("no zero bytes");
  return plaintext.slice(32);
}

async function openDek(given: Given, head: Head): Promise<Bytes> {
  const context = bytesOf(given.context);
  const { commitment, locks } = decodeHeader(head.header);
  const core = decodeCore(head.core);
  for (const lock of locks) {
    const seed = lock.kind === "group" ? seedFor(given, lock) : undefined;
    if (lock.kind !== "group" || seed === undefined) continue;
    const key = await KemKey.fromSeed(seed.kem, bytesOf(seed.seed));
    const releaseKey = await openLock(lock, key, { core, context, commitment });
    return unwrap(releaseKey, openOuter(given, head));
  }
  throw new Error("the vector gives no whole lock");
}

function seedFor(given: Given, lock: GroupLock): Given | undefined {
  return given.groups.find(
    (group: Given) => group.group_id === hex(lock.groupId) && group.epoch === lock.epoch,
  );
}

function openOuter(given: Given, { core, header, outer }: Head): Bytes {
  const [commitment, suite, wrappingKid] = decode(header);
  const place = [core, bytesOf(given.context), commitment!, suite!, wrappingKid!];
  const binding = encode(["twinlock/v1/outer", ...place]);
  if (suite === 3) {
    return gcm(bytesOf(given.wrapping.aes), outer.slice(0, 12), outer.slice(12), binding);
  }
  const opened = rsaOpen(bytesOf(given.wrapping.rsa_pkcs8), suite === 1 ? "sha1" : "sha256", outer);
  if (opened.length !== 72 || !equal(opened.slice(40), digest(binding))) {
    throw notAuthentic("binding");
  }
  return opened.slice(0, 40);
}

function rsaOpen(pkcs8: Bytes, oaepHash: string, block: Bytes): Bytes {
  try {
    const key = { key: Buffer.from(pkcs8), format: "der", type: "pkcs8" } as const;
    const padding = constants.RSA_PKCS1_OAEP_PADDING;
    return copy(privateDecrypt({ ...key, padding, oaepHash }, block));
  } catch (error) {
    throw notAuthentic("O", error);
  }
}

/** AES-KW, RFC 3394. */
export function unwrap(kek: Bytes, wrapped: Bytes): Bytes {
  if (wrapped.length !== 40) throw notAuthentic("W: wrong length");
  try {
    const cipher = createDecipheriv("id-aes256-wrap", kek, Buffer.alloc(8, 0xa6));
    return copy(Buffer.concat([cipher.update(wrapped), cipher.final()]));
  } catch (error) {
    throw notAuthentic("W", error);
  }
}

function gcm(key: Bytes, nonce: Bytes, sealed: Bytes, aad: Bytes): Bytes {
  try {
    const cipher = createDecipheriv("aes-256-gcm", key, nonce);
    cipher.setAAD(aad);
    cipher.setAuthTag(sealed.slice(-TAG));
    return copy(Buffer.concat([cipher.update(sealed.slice(0, -TAG)), cipher.final()]));
  } catch (error) {
    throw notAuthentic("AES-GCM", error);
  }
}

function countParts(size: number): number {
  const full = SEGMENT + TAG;
  const rest = size % full;
  const count = Math.ceil(size / full);
  if (count === 0 || (rest > 0 && rest < TAG + (count === 1 ? 32 : 1))) {
    throw malformed("its ciphertext has an impossible length");
  }
  return count;
}

function magic(data: Bytes, name: string, length: number, maxSize: number) {
  const given = concat(data.slice(0, 3));
  if (equal(given, utf8(name)) && data[3] !== 1) throw unknownSuite("envelope version", data[3]);
  if (!equal(given, utf8(name))) throw malformed("it does not begin like a sealed value");
  return takeItems(decode(data.slice(4), maxSize), length);
}

function takeHead([core, header, outer]: readonly any[], layout: number): Head {
  const head = { core: takeBytes(core), header: takeBytes(header), outer: takeBytes(outer) };
  decodeCore(head.core);
  if (decode(head.core)[3] !== layout) throw malformed("its layout is another one");
  if (head.outer.length < 60 || head.outer.length > 1024) throw malformed("its outer lock");
  decodeHeader(head.header);
  return head;
}

function takeField(column: string, [prefix, ciphertext, signature]: readonly any[]): Field {
  return {
    column,
    prefix: takeBytes(prefix, 7),
    ciphertext: takeBytes(ciphertext),
    signature: takeBytes(signature, 64),
  };
}

function dekIdOf({ core }: Head): Bytes {
  return decodeCore(core).dekId;
}

function writerKidOf({ core }: Head): Bytes {
  return takeBytes(decode(core)[4]);
}

function digest(...parts: readonly Uint8Array[]): Bytes {
  return copy(createHash("sha256").update(concat(...parts)).digest());
}

function fourBytes(value: number): Bytes {
  const bytes = new Uint8Array(4);
  new DataView(bytes.buffer).setUint32(0, value);
  return bytes;
}
