// The calls between the window and the worker that holds the keys. Both are ours and of one build.

import type { MemberFiles, MemberShown, RequestShown } from "./types.ts";

/** A call: its number, its name and what it takes. */
export type Call = { readonly number: number } & (
  | { readonly call: "unlock"; readonly files: MemberFiles; readonly passphrase: string }
  | { readonly call: "hello"; readonly session: Uint8Array }
  | { readonly call: "examine"; readonly bundle: Uint8Array }
  | { readonly call: "release"; readonly bundle: Uint8Array; readonly approved: boolean }
  | { readonly call: "status" }
);

/** What each call gives. */
export interface Results {
  unlock: MemberShown;
  hello: Uint8Array;
  examine: RequestShown;
  release: { release: Uint8Array; state: Uint8Array };
  status: MemberShown;
}

/** The answer to the call of that number. */
export type Returned =
  | { readonly number: number; readonly value: Results[keyof Results] }
  | { readonly number: number; readonly failed: { code: string; message: string; hint: string } };
