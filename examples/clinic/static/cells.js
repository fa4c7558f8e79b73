// How a field is shown, whatever became of it. Text goes in as text: nothing here makes HTML.

const SAID = {
  "no-lock": "sealed for another group",
  "not-authentic": "not authentic",
  failed: "could not be opened",
  empty: "nothing written",
};

/** Show a field's answer ({state, text, reason}) in an element. */
export function show(element, field, { withReason = true } = {}) {
  element.dataset.state = field.state;
  if (field.state === "open") {
    element.replaceChildren(field.text);
    return;
  }
  const said = document.createElement("span");
  said.className = field.state === "not-authentic" || field.state === "failed" ? "forged" : "no-lock";
  said.textContent = SAID[field.state] ?? field.state;
  element.replaceChildren(said);
  if (withReason && field.reason) {
    const why = document.createElement("span");
    why.className = "why";
    why.textContent = field.reason;
    element.append(why);
  }
}

/** Show a field as sealed, as it was before anything was released. */
export function showSealed(element) {
  const said = document.createElement("span");
  said.className = "sealed";
  said.textContent = "sealed";
  delete element.dataset.state;
  element.replaceChildren(said);
}
