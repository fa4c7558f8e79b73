// The list: names are on the page already, sealed cells are filled in once the agent has released.

import { Sealed } from "./agent.js";
import { show, showSealed } from "./cells.js";

const FIELDS = ["diagnosis", "allergies"];
const address = `/api/patients?ward=${encodeURIComponent(document.body.dataset.ward)}`;
const rows = new Map(
  [...document.querySelectorAll("tr[data-patient]")].map((row) => [row.dataset.patient, row]),
);

function cells(row) {
  return FIELDS.map((field) => [field, row.querySelector(`[data-field="${field}"]`)]);
}

function fillIn({ patients }) {
  for (const patient of patients) {
    const row = rows.get(patient.case);
    if (row === undefined) continue;
    const forged = patient.fields.diagnosis.state === "not-authentic";
    row.toggleAttribute("data-forged", forged);
    for (const [field, cell] of cells(row)) {
      // A whole row that is not authentic says why once.
      show(cell, patient.fields[field], { withReason: field === "diagnosis" });
    }
  }
}

function fillWith(draw) {
  for (const row of rows.values()) for (const [, cell] of cells(row)) draw(cell);
}

new Sealed({
  address,
  opened: fillIn,
  closed: () => fillWith(showSealed),
  noWayIn: () => fillWith((cell) => show(cell, { state: "no-lock" })),
}).start();
