/**
 * Deterministic CBOR, decoded strictly (RFC 8949 section 4.2.1; R-CBOR-1 to R-CBOR-6).
 *
 * One value has exactly one encoding. Only what Twinlock's formats use is taken: integers of 64
 * bits, byte strings, text, arrays, booleans and null. Everything else is refused before anybody
 * interprets or allocates what it claims, which general decoders do not promise; so this reader is
 * our own. The encoder is too: it is shorter than what it would take to restrain a general one.
 */
import { copy, join, textOf, utf8, type Bytes } from "./bytes.ts";
import { malformed, TwinlockError } from "./errors.ts";
import { isNfc } from "./text.ts";

/** A whole number: `number` where that is exact, `bigint` only beyond 2^53 - 1. */
export type Uint = number | bigint;
export type Value = Uint | boolean | null | string | Bytes | readonly Value[];

const MAX_DEPTH = 6;
const FREE_ITEMS = 1 << 16;
const BYTES_PER_ITEM = 16;
const MAX_UINT = (1n << 63n) - 1n;

/** Default cap in bytes; callers that expect more say so. */
export const MAX_SIZE = 1 << 20;

// --- encoding --------------------------------------------------------------------------------

/** Encode an array. The value is ours: a wrong type is a bug and throws TypeError. */
export function encode(value: readonly Value[]): Bytes {
  const parts: Uint8Array[] = [];
  write(value, parts);
  return join(parts);
}

function write(value: Value, parts: Uint8Array[]): void {
  if (typeof value === "number" || typeof value === "bigint") return writeNumber(value, parts);
  if (typeof value === "boolean") return void parts.push(Uint8Array.of(value ? 0xf5 : 0xf4));
  if (value === null) return void parts.push(Uint8Array.of(0xf6));
  if (typeof value === "string") return writeString(3, utf8(value), parts);
  if (value instanceof Uint8Array) return writeString(2, value, parts);
  if (!Array.isArray(value)) throw new TypeError("not a value of these formats");
  parts.push(head(4, value.length));
  for (const item of value) write(item, parts);
}

function writeNumber(value: Uint, parts: Uint8Array[]): void {
  if (typeof value === "number" && !Number.isSafeInteger(value)) throw new TypeError("not exact");
  parts.push(value >= 0 ? head(0, value) : head(1, -1n - BigInt(value)));
}

function writeString(major: number, bytes: Uint8Array, parts: Uint8Array[]): void {
  parts.push(head(major, bytes.length), bytes);
}

function head(major: number, argument: Uint): Uint8Array {
  const top = major << 5;
  if (argument < 24) return Uint8Array.of(top | Number(argument));
  if (argument < 0x100) return Uint8Array.of(top | 24, Number(argument));
  const wide = argument < 0x1_0000 ? 2 : argument < 0x1_0000_0000 ? 4 : 8;
  const bytes = new Uint8Array(1 + wide);
  bytes[0] = top | (wide === 2 ? 25 : wide === 4 ? 26 : 27);
  const view = new DataView(bytes.buffer);
  if (wide === 2) view.setUint16(1, Number(argument));
  else if (wide === 4) view.setUint32(1, Number(argument));
  else view.setBigUint64(1, BigInt(argument));
  return bytes;
}

// --- decoding --------------------------------------------------------------------------------

/**
 * Decode one array, strictly. Byte strings in the result are copies.
 *
 * Throws `format.too-large` or `format.malformed`.
 */
export function decode(data: Uint8Array, maxSize = MAX_SIZE): Value[] {
  if (data.length > maxSize) {
    throw new TwinlockError(
      "format.too-large",
      `This message has ${data.length} bytes; at most ${maxSize} are accepted.`,
      "Check that it is a Twinlock message and was not concatenated with others.",
    );
  }
  const reader = new Reader(data);
  const value = reader.item(0);
  if (reader.at !== data.length) throw malformed("something follows after its end");
  if (!Array.isArray(value)) throw malformed("its outermost item is not an array");
  return value;
}

/** Reads one item after another; `at` is the offset of the next. */
class Reader {
  at = 0;
  private readonly view: DataView;
  private itemsLeft: number;

  constructor(private readonly data: Uint8Array) {
    this.view = new DataView(data.buffer, data.byteOffset, data.byteLength);
    this.itemsLeft = Math.max(FREE_ITEMS, Math.floor(data.length / BYTES_PER_ITEM));
  }

  item(depth: number): Value {
    const initial = this.data[this.take(1)]!;
    const major = initial >> 5;
    const low = initial & 31;
    const argument = low < 24 ? low : this.longArgument(major, low);
    if (major === 2) return copy(this.string(argument));
    if (major === 4) return this.array(argument, depth + 1);
    if (major === 0) return argument;
    if (major === 3) return this.text(argument);
    if (major === 1) return exact(-1n - BigInt(argument));
    if (major === 7 && low === 20) return false;
    if (major === 7 && low === 21) return true;
    if (major === 7 && low === 22) return null;
    throw malformed("it holds a type that these formats do not use");
  }

  private longArgument(major: number, low: number): Uint {
    if (low > 27 || major === 7) {
      throw malformed("it has an indefinite length, a float or a reserved byte");
    }
    const at = this.take(1 << (low - 24));
    const argument = this.argumentAt(at, low);
    const smallest = low === 24 ? 24 : low === 25 ? 0x100 : low === 26 ? 0x1_0000 : 0x1_0000_0000;
    if (argument < smallest) throw malformed("it is not deterministic CBOR");
    return argument;
  }

  private argumentAt(at: number, low: number): Uint {
    if (low === 24) return this.view.getUint8(at);
    if (low === 25) return this.view.getUint16(at);
    if (low === 26) return this.view.getUint32(at);
    return exact(this.view.getBigUint64(at));
  }

  /** Step over `size` bytes that must be there; returns where they begin. */
  private take(size: Uint): number {
    const begin = this.at;
    if (size > this.data.length - begin) throw malformed("it ends too early");
    this.at = begin + Number(size);
    return begin;
  }

  private string(size: Uint): Uint8Array {
    const begin = this.take(size);
    return this.data.subarray(begin, this.at);
  }

  private text(size: Uint): string {
    const text = textOf(this.string(size));
    if (text === undefined) throw malformed("its text is not UTF-8");
    return text;
  }

  private array(length: Uint, depth: number): Value[] {
    if (depth > MAX_DEPTH) throw malformed("its arrays are nested too deeply");
    if (length > this.itemsLeft) throw malformed("it has too many items for its size");
    this.itemsLeft -= Number(length);
    const items: Value[] = [];
    for (let count = 0; count < length; count++) items.push(this.item(depth));
    return items;
  }
}

function exact(value: bigint): Uint {
  const near = Number(value);
  return Number.isSafeInteger(near) ? near : value;
}

/**
 * Decode an array of `length` items whose first is `label`, and return the others.
 *
 * Throws like `decode`, and `format.version` for another label: no reader guesses at a version.
 */
export function decodeLabelled(
  data: Uint8Array,
  label: string,
  length: number,
  maxSize = MAX_SIZE,
): Value[] {
  const value = decode(data, maxSize);
  if (value[0] !== label) {
    throw new TwinlockError(
      "format.version",
      `This is not a ${label} message.`,
      "It may come from a newer version of Twinlock, or be another kind of file.",
    );
  }
  if (value.length !== length) throw malformed(`a ${label} message has ${length} items`);
  return value.slice(1);
}

// --- taking what must be there ---------------------------------------------------------------

/** `value` if it is a byte string (of `size` bytes), else throws `format.malformed`. */
export function takeBytes(value: Value | undefined, size?: number): Bytes {
  if (!(value instanceof Uint8Array) || (size !== undefined && value.length !== size)) {
    throw malformed("a byte string of the right length is missing");
  }
  return value as Bytes;
}

/** `value` if it is text in NFC, else throws `format.malformed`. */
export function takeText(value: Value | undefined): string {
  if (typeof value !== "string" || !isNfc(value)) {
    throw malformed("a text in Unicode normalization form C is missing");
  }
  return value;
}

/** `value` if it is a number of 0..`maximum`, else throws `format.malformed`. */
export function takeUint(value: Value | undefined, maximum: Uint = MAX_UINT): Uint {
  if ((typeof value !== "number" && typeof value !== "bigint") || value < 0 || value > maximum) {
    throw malformed("a number in range is missing");
  }
  return value;
}

/** Like `takeUint`, for numbers that are calculated with: at most 2^53 - 1. */
export function takeNumber(value: Value | undefined, maximum = Number.MAX_SAFE_INTEGER): number {
  return Number(takeUint(value, maximum));
}

/** `value` if it is a boolean, else throws `format.malformed`. */
export function takeBool(value: Value | undefined): boolean {
  if (typeof value !== "boolean") throw malformed("a boolean is missing");
  return value;
}

/** `value` if it is an array of `minimum` to `maximum` items, else throws `format.malformed`. */
export function takeList(value: Value | undefined, minimum = 0, maximum = 100_000): Value[] {
  if (!Array.isArray(value) || value.length < minimum || value.length > maximum) {
    throw malformed("an array of the right length is missing");
  }
  return value;
}

/** `value` if it is an array of `length` items, else throws `format.malformed`. */
export function takeItems(value: Value | undefined, length: number): Value[] {
  return takeList(value, length, length);
}
