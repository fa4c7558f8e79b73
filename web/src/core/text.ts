/** What text may be, and how foreign text is shown. */

/** Unicode normalization form C without lone surrogates, which have no UTF-8. */
export function isNfc(text: string): boolean {
  return !/\p{Cs}/u.test(text) && text.normalize("NFC") === text;
}

/** Neither control, formatting, unassigned nor space characters other than U+0020. */
export function isPrintable(text: string): boolean {
  return /^(?:[^\p{C}\p{Z}]| )*$/u.test(text);
}

/** The number of characters (code points). */
export function lengthOf(text: string): number {
  let length = 0;
  for (const _ of text) length++;
  return length;
}

/** Escape what could add a line to a description, hide in it or turn its direction (R-CTX-8). */
export function harmless(text: string): string {
  return text.replace(/[^\P{C}]|[^\P{Z} ]/gu, (character) => {
    return `\\u${character.codePointAt(0)!.toString(16).padStart(4, "0")}`;
  });
}
