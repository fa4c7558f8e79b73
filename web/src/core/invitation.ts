/** Invitations that a member accepted or handed out: kept in the state (SPEC First contact). */
import { concat, equal, type Bytes } from "./bytes.ts";
import { decodeLabelled, takeBytes, takeText, takeUint, type Uint } from "./cbor.ts";
import { TwinlockError } from "./errors.ts";
import { sha256 } from "./primitives.ts";

const PREFIX = "twinlock-invite1:";
const LABEL = "twinlock/v1/invitation";
const MAX_TEXT = 4096;
const CHECK_SIZE = 8;
const ALPHABET = "abcdefghijklmnopqrstuvwxyz234567";

/** An invitation: what it pins, and its canonical text, which holds its secret. */
export interface Invitation {
  readonly groupId: Bytes;
  readonly seq: Uint;
  readonly head: Bytes;
  readonly invitationId: Bytes;
  readonly text: string;
}

/** Read the text form; case and white space do not matter. Throws `invitation.malformed`. */
export async function parseInvitation(text: string): Promise<Invitation> {
  const compact = text.slice(0, MAX_TEXT).replace(/\s+/g, "").toLowerCase();
  if (!compact.startsWith(PREFIX)) throw unreadable(`it does not begin with ${PREFIX}`);
  const data = fromBase32(compact.slice(PREFIX.length));
  const payload = data.slice(0, -CHECK_SIZE);
  const check = (await sha256(payload)).subarray(0, CHECK_SIZE);
  if (payload.length === 0 || !equal(data.subarray(-CHECK_SIZE), check)) {
    throw unreadable("it was copied incompletely or with a mistake");
  }
  try {
    return { ...takePayload(payload), text: compact };
  } catch (error) {
    throw unreadable("it comes from another version", error);
  }
}

function takePayload(payload: Bytes): Omit<Invitation, "text"> {
  const items = decodeLabelled(payload, LABEL, 10);
  const [deployment, name, groupId, seq, head, identity, invitationId, secret, expires] = items;
  takeBytes(deployment, 16);
  takeText(name);
  takeBytes(identity, 32);
  takeBytes(secret, 16);
  takeUint(expires);
  return {
    groupId: takeBytes(groupId, 32),
    seq: takeUint(seq),
    head: takeBytes(head, 32),
    invitationId: takeBytes(invitationId, 16),
  };
}

/** RFC 4648 section 6 without padding; bits that are left over are dropped. */
function fromBase32(text: string): Bytes {
  const bytes: number[] = [];
  let bits = 0;
  let count = 0;
  for (const character of text) {
    const value = ALPHABET.indexOf(character);
    if (value < 0) throw unreadable("it holds characters that do not belong there");
    bits = ((bits << 5) | value) & 0xfff;
    count += 5;
    if (count >= 8) {
      count -= 8;
      bytes.push((bits >> count) & 0xff);
    }
  }
  return concat(Uint8Array.from(bytes));
}

function unreadable(why: string, cause?: unknown): TwinlockError {
  return new TwinlockError(
    "invitation.malformed",
    `This is not a readable invitation: ${why}.`,
    "Copy it again, from the first letter to the last, or ask for a new one.",
    cause,
  );
}
