// One patient: every field opens with one release. Saving needs none, since sealing takes no member;
// the discharge reads what it writes, so it asks the agent on its own.

import { Sealed, openSealed, problemText } from "./agent.js";
import { show, showSealed } from "./cells.js";

const patient = document.body.dataset.patient;
const address = `/api/patients/${encodeURIComponent(patient)}`;
const fields = new Map(
  [...document.querySelectorAll("section[data-field]")].map((part) => [part.dataset.field, part]),
);
const problem = document.querySelector("[data-record-problem]");
let revision = 0;

function fillIn(record) {
  revision = record.revision;
  const forged = Object.values(record.fields).find((field) => field.state === "not-authentic");
  problem.hidden = forged === undefined;
  if (forged) {
    const said = document.createElement("strong");
    said.textContent = forged.reason;
    problem.replaceChildren(said, "Nothing of it is shown, and it cannot be used to discharge anybody.");
  }
  for (const [name, part] of fields) {
    const field = record.fields[name];
    show(part.querySelector("[data-value]"), field, { withReason: false });
    const edit = part.querySelector('[data-do="edit"]');
    if (edit) edit.hidden = field.state !== "open";
  }
  const discharge = document.querySelector('[data-do="discharge"]');
  discharge.disabled = forged !== undefined;
}

function fillWith(draw) {
  problem.hidden = true;
  for (const part of fields.values()) {
    draw(part.querySelector("[data-value]"));
    const edit = part.querySelector('[data-do="edit"]');
    if (edit) edit.hidden = true;
  }
}

const sealed = new Sealed({
  address,
  opened: fillIn,
  closed: () => fillWith(showSealed),
  noWayIn: () => fillWith((value) => show(value, { state: "no-lock" })),
});

function say(what, text) {
  document.querySelector(`[data-said="${what}"]`).textContent = text;
}

function editing(part, on) {
  const form = part.querySelector("form");
  form.hidden = !on;
  part.querySelector("[data-value]").hidden = on;
  part.querySelector('[data-do="edit"]').hidden = on;
  if (on) {
    form.elements.text.value = part.querySelector("[data-value]").textContent;
    form.elements.text.focus();
  } else {
    part.querySelector('[data-do="edit"]').focus();
  }
}

async function save(part, name) {
  const form = part.querySelector("form");
  const button = form.querySelector("button.primary");
  button.disabled = true;
  say(name, "Sealing …");
  try {
    const answer = await fetch(address, {
      method: "PATCH",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ field: name, text: form.elements.text.value, revision }),
    });
    if (!answer.ok) throw new Error((await answer.json()).detail);
    const { rewritten, revision: next } = await answer.json();
    revision = next;
    show(part.querySelector("[data-value]"), { state: "open", text: form.elements.text.value });
    editing(part, false);
    say(name, `Saved. Sealed anew: ${rewritten.join(", ")}; everything else is as it was.`);
  } catch (error) {
    say(name, `Not saved. ${error.message}`);
  } finally {
    button.disabled = false;
  }
}

async function discharge(button) {
  button.disabled = true;
  say("discharge", "Your agent is asked for diagnosis and allergies …");
  try {
    const answer = await openSealed(`${address}/discharge`, { method: "POST" });
    if (!answer.ok) throw new Error((await answer.json()).detail);
    location.reload();
  } catch (error) {
    say("discharge", `Not discharged. ${problemText(error)}`);
    button.disabled = false;
  }
}

for (const [name, part] of fields) {
  const form = part.querySelector("form");
  if (form === null) continue;
  part.querySelector('[data-do="edit"]').addEventListener("click", () => editing(part, true));
  form.querySelector('[data-do="cancel"]').addEventListener("click", () => editing(part, false));
  form.addEventListener("keydown", (event) => {
    if (event.key === "Escape") editing(part, false);
  });
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    void save(part, name);
  });
}
const button = document.querySelector('[data-do="discharge"]');
button.addEventListener("click", () => void discharge(button));
sealed.start();
