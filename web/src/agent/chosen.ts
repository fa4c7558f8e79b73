// The files that a member chooses at first use. They are told apart by content, not by name.

const KEY_HEADER = "twinlock-device-key-1\n";
const STATE_LABEL = "twinlock/v1/agent-state";
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

function isKeyFile(bytes: Uint8Array): boolean {
  return bytes.byteLength <= MOST_KEY && beginsWith(bytes, KEY_HEADER);
}

/** A state file is a CBOR array of 7 whose first item is its label, a text of 23 bytes. */
function isState(bytes: Uint8Array): boolean {
  return bytes[0] === 0x87 && bytes[1] === 0x60 + STATE_LABEL.length && beginsWith(bytes.subarray(2), STATE_LABEL);
}

function beginsWith(bytes: Uint8Array, text: string): boolean {
  return Array.from(text).every((letter, at) => bytes[at] === letter.charCodeAt(0));
}
