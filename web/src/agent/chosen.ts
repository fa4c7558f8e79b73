// The two files that a member chooses at first use. They are told apart by content, not by name.

import { Failure } from "./failure.ts";

const KEY_HEADER = "twinlock-device-key-1";
const MOST_KEY = 4096;
const MOST_STATE = 64 << 20;

/** What was chosen so far; `said` has a line per file. */
export interface Chosen {
  readonly deviceKeyFile: Uint8Array | null;
  readonly state: Uint8Array | null;
  readonly name: string;
  readonly said: readonly { readonly text: string; readonly good: boolean }[];
}

export const NOTHING_CHOSEN: Chosen = { deviceKeyFile: null, state: null, name: "", said: [] };

/** Add files to what was chosen: a later device key or member file replaces an earlier one. */
export async function choose(before: Chosen, files: Iterable<File>): Promise<Chosen> {
  let { deviceKeyFile, state, name } = before;
  const refused: { text: string; good: boolean }[] = [];
  for (const file of files) {
    if (file.size > MOST_STATE) {
      refused.push({ text: `${file.name} is too large`, good: false });
      continue;
    }
    const bytes = new Uint8Array(await file.arrayBuffer());
    if (isKeyFile(bytes)) deviceKeyFile = bytes;
    else if (isState(bytes)) {
      state = bytes;
      name = file.name.replace(/\.member$/, "");
    } else refused.push({ text: `${file.name} is neither a device key nor a member file`, good: false });
  }
  const said = [
    ...(deviceKeyFile ? [{ text: "device key", good: true }] : []),
    ...(state ? [{ text: `member file of ${name}`, good: true }] : []),
    ...refused,
  ];
  return { deviceKeyFile, state, name, said };
}

/** Return both files. Fails with `agent.files` if one is missing. */
export function complete(chosen: Chosen): { deviceKeyFile: Uint8Array; state: Uint8Array } {
  const { deviceKeyFile, state } = chosen;
  if (deviceKeyFile && state) return { deviceKeyFile, state };
  const missing = [deviceKeyFile ? "" : "NAME.key", state ? "" : "NAME.member"].filter(Boolean).join(" and ");
  throw new Failure("agent.files", `Please choose ${missing} first.`, "Both were made by `twinlock member`.");
}

function isKeyFile(bytes: Uint8Array): boolean {
  if (bytes.byteLength > MOST_KEY) return false;
  return new TextDecoder().decode(bytes.subarray(0, KEY_HEADER.length)) === KEY_HEADER;
}

/** A state file is a CBOR array of 7 whose first item is the text "twinlock/v1/agent-state". */
function isState(bytes: Uint8Array): boolean {
  const label = "twinlock/v1/agent-state";
  const head = new TextDecoder("latin1").decode(bytes.subarray(0, label.length + 2));
  return head === `\x87${String.fromCharCode(0x60 + label.length)}${label}`;
}
