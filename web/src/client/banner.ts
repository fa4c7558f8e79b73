// A small banner for applications that do not want to draw one: says what a request waits for.

import type { State } from "./state.ts";
import type { Twinlock } from "./index.ts";

interface Shown {
  readonly text: string;
  readonly button?: string;
}

const TEXTS: Readonly<Record<Exclude<State, "idle">, Shown>> = {
  "no-agent": { text: "Sealed records: open your agent to see them.", button: "Open the agent" },
  locked: { text: "Sealed records: unlock your agent, in its own window.", button: "Open another window" },
  deciding: { text: "Your agent asks you something, in its own window." },
  refused: { text: "You refused this request in your agent." },
};

const STYLE = `
:host { display: block; font: inherit; }
:host([hidden]) { display: none; }
div { display: flex; flex-wrap: wrap; align-items: center; gap: 0.75rem; padding: 0.7rem 1rem; border-radius: 0.6rem;
  border: 1px solid var(--twinlock-line, #b9cfc6); background: var(--twinlock-back, #e7f1ed); color: var(--twinlock-ink, #173a30); }
p { flex: 1; margin: 0; }
button { min-height: 2.4rem; padding: 0.3rem 1rem; border: 0; border-radius: 0.5rem; font: inherit; font-weight: 600;
  background: var(--twinlock-accent, #1f6f5c); color: var(--twinlock-on-accent, #fff); cursor: pointer; }
button:focus-visible { outline: 3px solid currentColor; outline-offset: 2px; }
@media (prefers-color-scheme: dark) {
  div { border-color: var(--twinlock-line, #2f4a41); background: var(--twinlock-back, #1d2f29); color: var(--twinlock-ink, #d9ebe4); }
  button { background: var(--twinlock-accent, #72c9ae); color: var(--twinlock-on-accent, #0c1f19); }
}`;

/**
 * Define `<twinlock-banner>` and bind those of the page, present and future, to a client. They show
 * nothing while nothing waits. Colours: `--twinlock-back`, `-ink`, `-line`, `-accent`, `-on-accent`.
 */
export function defineBanner(client: Twinlock): void {
  class TwinlockBanner extends HTMLElement {
    readonly #text = document.createElement("p");
    readonly #button = document.createElement("button");
    readonly #show = (): void => this.#render(client.state);

    constructor() {
      super();
      const box = document.createElement("div");
      this.#text.setAttribute("role", "status");
      this.#button.type = "button";
      this.#button.addEventListener("click", () => client.openAgent());
      box.append(this.#text, this.#button);
      const root = this.attachShadow({ mode: "open" });
      // A constructed sheet needs no 'unsafe-inline' in the application's style-src.
      const sheet = new CSSStyleSheet();
      sheet.replaceSync(STYLE);
      root.adoptedStyleSheets = [sheet];
      root.append(box);
    }

    connectedCallback(): void {
      client.addEventListener("statechange", this.#show);
      this.#show();
    }

    disconnectedCallback(): void {
      client.removeEventListener("statechange", this.#show);
    }

    #render(state: State): void {
      this.hidden = state === "idle";
      if (state === "idle") return;
      const { text, button } = TEXTS[state];
      this.#text.textContent = text;
      this.#button.hidden = button === undefined;
      this.#button.textContent = button ?? "";
    }
  }
  customElements.define("twinlock-banner", TwinlockBanner);
}
