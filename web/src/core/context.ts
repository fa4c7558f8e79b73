/** The context of a ciphertext: what it belongs to (R-CTX-1 to R-CTX-8). */
import { bigEndian, copy, fromHex, hex, textOf, toBigInt, utf8, type Bytes } from "./bytes.ts";
import { decodeLabelled, encode, takeBytes, takeText, takeUint, type Uint } from "./cbor.ts";
import { TwinlockError } from "./errors.ts";
import { harmless, isNfc, isPrintable } from "./text.ts";

const LABEL = "twinlock/v1/ctx";
const ROW_SCOPE = "*row";
const MAX_ENCODED_SIZE = 8192;

/**
 * A primary key: text, a whole number of 0..2^64-1, bytes, a UUID, or a composite of these. Its
 * bytes depend on its type, so a table keeps one type.
 */
export type RecordId =
  | string
  | number
  | bigint
  | Uint8Array
  | { readonly uuid: string }
  | readonly RecordId[];

/** What the user opened. `column` is the DEK's scope; without it, the whole row. */
export interface Context {
  readonly table: string;
  readonly record: RecordId;
  readonly column?: string | null | undefined;
  readonly version?: number | bigint | null | undefined;
  readonly tenant?: string | undefined;
  readonly purpose?: string | undefined;
}

/** A context as a request carries it; `recordId` is not for showing, `record` is. */
export interface DecodedContext {
  readonly deploymentId: Bytes;
  readonly tenant: string;
  readonly table: string;
  readonly recordId: Bytes;
  readonly scope: string;
  readonly purpose: string;
  readonly version: Uint | null;
}

/** The deterministic encoding. Throws `context.*`. */
export function encodeContext(context: Context, deploymentId: Uint8Array): Bytes {
  const { table, column = null, tenant = "", purpose = "", version = null } = context;
  if (!table || column === "") {
    throw new TwinlockError(
      "context.incomplete",
      "A context needs a table, and a column that is not empty.",
      "Give the table, the column and the record that the value belongs to.",
    );
  }
  if (column === ROW_SCOPE) {
    throw new TwinlockError("context.reserved", `${ROW_SCOPE} is not a column.`, "Name the column.");
  }
  for (const text of [table, column ?? "", tenant, purpose]) requireNfc(text);
  if (version !== null && !isNumber(version, 63n)) {
    throw new TwinlockError(
      "context.version",
      "A record version is a number from 0 up.",
      "Count from 1.",
    );
  }
  const record = recordBytes(context.record);
  const scope = column ?? ROW_SCOPE;
  const raw = encode([LABEL, copy(deploymentId), tenant, table, record, scope, purpose, version]);
  if (raw.length > MAX_ENCODED_SIZE) {
    throw new TwinlockError(
      "context.too-large",
      `This context has ${raw.length} bytes; agents accept ${MAX_ENCODED_SIZE}.`,
      "Use a shorter record id, for instance a hash of the long one.",
    );
  }
  return raw;
}

/** Decode a context that a request carries. Throws `format.*`. */
export function decodeContext(raw: Uint8Array): DecodedContext {
  const [deploymentId, tenant, table, recordId, scope, purpose, version] = decodeLabelled(
    raw,
    LABEL,
    8,
    MAX_ENCODED_SIZE,
  );
  return {
    deploymentId: takeBytes(deploymentId, 16),
    tenant: takeText(tenant),
    table: takeText(table),
    recordId: takeBytes(recordId),
    scope: takeText(scope),
    purpose: takeText(purpose),
    version: version === null ? null : takeUint(version),
  };
}

/** The record id for people: text, a number or UUID where it looks like one, else hexadecimal. */
export function shownRecord(recordId: Bytes): string {
  const text = textOf(recordId);
  const readable = text !== undefined && isPrintable(text);
  if (recordId.length === 8 && recordId[0] === 0) return toBigInt(recordId).toString();
  if (recordId.length === 16 && !readable) {
    return hex(recordId).replace(/^(.{8})(.{4})(.{4})(.{4})/, "$1-$2-$3-$4-");
  }
  return readable ? text : hex(recordId);
}

/** One line that says what is asked for, in a form that the request cannot forge. */
export function shownLine(context: DecodedContext): string {
  const tenant = context.tenant ? `${context.tenant}: ` : "";
  const version = context.version === null ? "" : `, version ${context.version}`;
  const record = shownRecord(context.recordId);
  return harmless(`${tenant}${context.table} ${record}, ${context.scope}${version}`);
}

/** The canonical bytes of a primary key (R-CTX-2). Throws `context.record`. */
function recordBytes(record: RecordId): Bytes {
  if (typeof record === "string" && record) {
    requireNfc(record);
    return utf8(record);
  }
  if (typeof record === "number" || typeof record === "bigint") {
    if (isNumber(record, 64n)) return bigEndian(record, 8);
  } else if (record instanceof Uint8Array) {
    if (record.length > 0) return copy(record);
  } else if (Array.isArray(record)) {
    if (record.length > 0) return encode(record.map(recordBytes));
  } else if (typeof record === "object" && record !== null && "uuid" in record) {
    const digits = record.uuid.replace(/-/g, "").toLowerCase();
    if (/^[0-9a-f]{32}$/.test(digits)) return fromHex(digits);
  }
  throw new TwinlockError(
    "context.record",
    "A record id is a non-empty text, a number from 0 to 2^64-1, a UUID, bytes, or a tuple.",
    "Use the row's primary key.",
  );
}

function requireNfc(text: string): void {
  if (isNfc(text)) return;
  throw new TwinlockError(
    "context.not-nfc",
    "A name in this context is not Unicode text in normalization form C.",
    "Normalize it where it is declared, so that every reader computes the same bytes.",
  );
}

function isNumber(value: unknown, bits: bigint): boolean {
  const whole = typeof value === "bigint" || Number.isSafeInteger(value);
  return whole && (value as Uint) >= 0 && BigInt(value as Uint) < 1n << bits;
}
