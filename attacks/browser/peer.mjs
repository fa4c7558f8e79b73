// Answers calls of attacks/node_peer.py: one JSON line in, one out, until stdin ends.
import { createInterface } from "node:readline";

const out = (value) => {
  if (value instanceof Uint8Array) return { base64: Buffer.from(value).toString("base64") };
  if (Array.isArray(value)) return value.map(out);
  if (value instanceof Map) return out(Object.fromEntries(value));
  if (value && typeof value === "object") {
    return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, out(item)]));
  }
  return value;
};

const taken = (value) => {
  if (Array.isArray(value)) return value.map(taken);
  if (!value || typeof value !== "object") return value;
  if (typeof value.base64 === "string" && Object.keys(value).length === 1) {
    return new Uint8Array(Buffer.from(value.base64, "base64"));
  }
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, taken(item)]));
};

const answer = async (functions, line) => {
  const asked = JSON.parse(line);
  try {
    return { value: out(await functions[asked.call](taken(asked.with))) ?? null };
  } catch (error) {
    // A refusal of Twinlock's carries a stable code; anything else is a mistake of the attack.
    if (typeof error?.code === "string" && /^[a-z]+\.[a-z-]+$/.test(error.code)) {
      return { refused: { code: error.code, message: String(error.message), notes: notes(error) } };
    }
    return { failed: String(error?.stack ?? error) };
  }
};

const notes = (error) => (error.cause ? [String(error.cause?.message ?? error.cause)] : []);

export async function serve(functions) {
  for await (const line of createInterface({ input: process.stdin })) {
    process.stdout.write(`${JSON.stringify(await answer(functions, line))}\n`);
  }
}
