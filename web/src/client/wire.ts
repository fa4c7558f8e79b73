// Names and small values of the HTTP flow (SPEC 23).

/** What the server names a request that waits for a release. */
export const REQUEST = "Twinlock-Request";
export const SESSION = "Twinlock-Session";
export const HELLO = "Twinlock-Hello";
export const RELEASE = "Twinlock-Release";

export const HELLO_TYPE = "application/twinlock-hello";
export const REQUEST_TYPE = "application/twinlock-request";
export const RELEASE_TYPE = "application/twinlock-release";
const PROBLEM_TYPE = "application/problem+json";

/** The most characters of a hello in a header. */
export const MAX_HELLO_HEADER = 8192;

/** Problems after which the original request is simply made again: its place in the flow is gone. */
const START_ANEW = new Set([
  "http.request-unknown",
  "http.request-expired",
  "http.hellos",
  "release.expired",
  "release.replayed",
  "release.key-reused",
]);

/** Whether an answer asks for a release. */
export function needsRelease(response: Response): boolean {
  return response.status === 428 && response.headers.has(REQUEST);
}

/** Whether an answer to a request that follows no redirect is one; browsers show no more of it. */
export function isRedirect(response: Response): boolean {
  return response.type === "opaqueredirect" || [301, 302, 303, 307, 308].includes(response.status);
}

/** A response's media type without parameters. */
export function mediaType(response: Response): string {
  return (response.headers.get("Content-Type") ?? "").split(";", 1)[0]?.trim().toLowerCase() ?? "";
}

/** Whether an answer says that the flow has to begin anew. Leaves the body to be read. */
export async function mustStartAnew(response: Response): Promise<boolean> {
  if (response.ok || mediaType(response) !== PROBLEM_TYPE) return false;
  const problem: unknown = await response.clone().json().catch(() => null);
  if (typeof problem !== "object" || problem === null || !("code" in problem)) return false;
  return typeof problem.code === "string" && START_ANEW.has(problem.code);
}

/** What a repetition names: the request, and the SHA-256 of the release that was posted for it. */
export async function releaseName(name: string, release: Uint8Array): Promise<string> {
  const digest = await crypto.subtle.digest("SHA-256", new Uint8Array(release));
  return `${name}.${toBase64url(new Uint8Array(digest))}`;
}

/** Encode as base64url without padding (RFC 4648 section 5). */
export function toBase64url(bytes: Uint8Array): string {
  const binary = Array.from(bytes, (byte) => String.fromCharCode(byte)).join("");
  return btoa(binary).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
}

/** Decode base64url, or return null. */
export function fromBase64url(text: string): Uint8Array | null {
  if (!/^[A-Za-z0-9_-]*$/.test(text) || text.length % 4 === 1) return null;
  const binary = atob(text.replaceAll("-", "+").replaceAll("_", "/"));
  return Uint8Array.from(binary, (c) => c.charCodeAt(0));
}

/** Decode the 32 bytes of a `Twinlock-Session`, or return null. */
export function readSession(text: string | null): Uint8Array | null {
  return text !== null && /^[A-Za-z0-9_-]{43}=?$/.test(text) ? fromBase64url(text.slice(0, 43)) : null;
}
