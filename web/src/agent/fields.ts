// Field-by-field checks of what arrives: a message with an unknown field, kind or size is dropped whole.

export type Check = (value: unknown) => boolean;
export type Fields = Readonly<Record<string, Check>>;

const ID = /^[A-Za-z0-9_-]{1,64}$/;
const CODE = /^[a-z-]{1,40}\.[a-z0-9-]{1,60}$/;

export const isId: Check = (value) => typeof value === "string" && ID.test(value);

/** Whether a value is an error's code: `family.subject`. */
export function isCode(value: unknown): value is string {
  return typeof value === "string" && CODE.test(value);
}

export const isText =
  (most: number): Check =>
  (value) =>
    typeof value === "string" && value.length <= most;

export const isBytes =
  (least: number, most: number): Check =>
  (value) =>
    value instanceof Uint8Array &&
    value.buffer instanceof ArrayBuffer &&
    value.byteLength >= least &&
    value.byteLength <= most;

export const isNullOr =
  (check: Check): Check =>
  (value) =>
    value === null || check(value);

/** Whether a value is a plain list without holes or further properties. */
export const isListOf =
  (check: Check, most: number): Check =>
  (value) =>
    Array.isArray(value) && value.length <= most && Reflect.ownKeys(value).length === value.length + 1 && value.every(check);

/** A list of exactly these, one after the other. */
export const isTuple =
  (...checks: readonly Check[]): Check =>
  (value) =>
    isListOf(() => true, checks.length)(value) &&
    (value as unknown[]).length === checks.length &&
    checks.every((check, at) => check((value as unknown[])[at]));

/** Whether a value is an object of fields, as structured clones are; arrays and classes are not. */
export function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && Object.getPrototypeOf(value) === Object.prototype;
}

/** Read a posted message: version and id, its kind in `kindField`, and exactly that kind's fields; else null. */
export function readMessage<T>(data: unknown, kindField: string, kinds: Readonly<Record<string, Fields>>): T | null {
  if (!isRecord(data) || data["twinlock"] !== 1 || !isId(data["id"])) return null;
  const kind = data[kindField];
  if (typeof kind !== "string" || !Object.hasOwn(kinds, kind)) return null;
  const fields = kinds[kind] as Fields;
  const names = Object.keys(fields);
  if (Reflect.ownKeys(data).length !== names.length + 3) return null;
  if (!names.every((name) => Object.hasOwn(data, name) && fields[name]?.(data[name]))) return null;
  const { twinlock: _, ...message } = data;
  return message as T;
}
