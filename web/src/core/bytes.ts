/** Byte strings. What comes from outside is copied once, so that nobody changes it meanwhile. */

export type Bytes = Uint8Array<ArrayBuffer>;

const encoder = new TextEncoder();
// A byte order mark is text like any other here: bytes and text stand for each other one to one.
const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** A copy that nobody else holds. */
export function copy(input: Uint8Array): Bytes {
  return new Uint8Array(input);
}

export function concat(...parts: readonly Uint8Array[]): Bytes {
  return join(parts);
}

/** Like `concat`, for any number of parts. */
export function join(parts: readonly Uint8Array[]): Bytes {
  const whole = new Uint8Array(parts.reduce((size, part) => size + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

/** Compare in time that depends on the length only. */
export function equal(left: Uint8Array, right: Uint8Array): boolean {
  let difference = left.length ^ right.length;
  for (let at = 0; at < left.length; at++) difference |= left[at]! ^ (right[at] ?? 0);
  return difference === 0;
}

export function hex(bytes: Uint8Array): string {
  let text = "";
  for (const byte of bytes) text += byte.toString(16).padStart(2, "0");
  return text;
}

/** Reverse `hex`, for text that this package made itself. */
export function fromHex(text: string): Bytes {
  const bytes = new Uint8Array(text.length / 2);
  for (let at = 0; at < bytes.length; at++) bytes[at] = parseInt(text.slice(2 * at, 2 * at + 2), 16);
  return bytes;
}

export function utf8(text: string): Bytes {
  return new Uint8Array(encoder.encode(text));
}

/** Text of UTF-8, or undefined for anything else. */
export function textOf(bytes: Uint8Array): string | undefined {
  try {
    return decoder.decode(bytes);
  } catch {
    return undefined;
  }
}

/** `value` as `size` bytes, big-endian. */
export function bigEndian(value: number | bigint, size: number): Bytes {
  const bytes = new Uint8Array(size);
  let rest = BigInt(value);
  for (let at = size - 1; at >= 0; at--) {
    bytes[at] = Number(rest & 0xffn);
    rest >>= 8n;
  }
  return bytes;
}

/** A big-endian number. */
export function toBigInt(bytes: Uint8Array): bigint {
  return bytes.length === 0 ? 0n : BigInt(`0x${hex(bytes)}`);
}
