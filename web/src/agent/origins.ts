// The applications that may talk to this agent: a fixed list that its server writes into the page.

const META = 'meta[name="twinlock-origins"]';

/** Whether a text is an origin as browsers write it: https, or http on this machine, and no path. */
export function isOrigin(text: string): boolean {
  let url: URL;
  try {
    url = new URL(text);
  } catch {
    return false;
  }
  const local = url.hostname === "localhost" || url.hostname.endsWith(".localhost");
  return url.origin === text && (url.protocol === "https:" || (url.protocol === "http:" && local));
}

/**
 * Return the applications' origins of this page. Empty if the page names none, anything that is no
 * origin, or its own origin: an agent beside the application's scripts would protect nothing.
 */
export function allowedOrigins(page: Document, own: string): ReadonlySet<string> {
  const content = page.querySelector(META)?.getAttribute("content") ?? "";
  const listed = content.split(" ").filter((part) => part !== "");
  return new Set(listed.every((origin) => isOrigin(origin) && origin !== own) ? listed : []);
}
