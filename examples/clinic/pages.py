"""The pages: templates filled in, with every value escaped unless it came from a template."""

from __future__ import annotations

import html
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from string import Template
from typing import Final

from examples.clinic.models import Patient
from examples.clinic.sign_in import SignedIn
from examples.clinic.wards import WARDS

_FOLDER: Final = Path(__file__).parent / "templates"
_EDITABLE: Final = ("allergies", "note")
_LABELS: Final = {
    "diagnosis": "Diagnosis",
    "allergies": "Allergies",
    "note": "Note",
    "letter": "Discharge letter",
}


class Html(str):
    """Text that is HTML already."""


@cache
def _template(name: str) -> Template:
    return Template((_FOLDER / f"{name}.html").read_text(encoding="utf-8"))


def fill(name: str, /, **values: object) -> Html:
    """Fill a template in. Raises KeyError when a value is missing."""
    escaped = {
        key: value if isinstance(value, Html) else html.escape(str(value))
        for key, value in values.items()
    }
    return Html(_template(name).substitute(escaped).rstrip("\n"))


def _joined(parts: Iterable[Html]) -> Html:
    return Html("\n".join(parts))


def page(
    title: str,
    content: Html,
    *,
    agent_origin: str = "",
    name: str = "plain",
    who: SignedIn | None = None,
    data: Mapping[str, object] | None = None,
) -> str:
    """Return a whole page. `name` says which script runs on it; `plain` pages run none."""
    header = banner = scripts = Html("")
    if who is not None:
        here = Html('aria-current="page"')
        header = fill(
            "header",
            full_name=who.full_name,
            role=who.role,
            patients_current=here if name in ("patients", "patient") else "",
            audit_current=here if name == "audit" else "",
        )
    if name in ("patients", "patient"):
        banner = fill("banner")
    if name in ("patients", "patient", "login"):
        scripts = Html(f'<script type="module" src="/static/{name}.js"></script>')
    attributes = Html(
        " ".join(f'data-{k}="{html.escape(str(v))}"' for k, v in (data or {}).items())
    )
    return fill(
        "layout",
        title=title,
        agent_origin=agent_origin,
        scripts=scripts,
        page=name,
        data=attributes,
        header=header,
        banner=banner,
        content=content,
    )


def login_page(agent_origin: str, username: str = "", problem: str = "") -> str:
    """Return the page to sign in; its script offers a passkey first."""
    said = Html(f'<p class="problem" role="alert">{html.escape(problem)}</p>' if problem else "")
    content = fill("login", username=username, problem=said)
    return page("Sign in", content, agent_origin=agent_origin, name="login")


def message_page(heading: str, text: str, who: SignedIn | None = None) -> str:
    """Return a page that says one thing."""
    return page(heading, fill("message", heading=heading, text=text), who=who)


def patients_page(
    patients: Iterable[Patient], ward: str | None, who: SignedIn, agent_origin: str
) -> str:
    """Return the list; its sealed cells are filled in by patients.js."""
    tabs = _joined(_tab(name, ward) for name in (None, *WARDS))
    rows = [
        fill(
            "patient_row",
            case=patient.case,
            name=patient.name,
            born=patient.born,
            ward=patient.ward,
            bed=patient.bed if patient.discharged is None else "discharged",
            gone=Html("" if patient.discharged is None else "data-gone"),
        )
        for patient in patients
    ]
    caption = f"{len(rows)} patients{f' of {ward}' if ward else ''}, by name"
    content = fill("patients", tabs=tabs, caption=caption, rows=_joined(rows))
    data = {"ward": ward or ""}
    return page("Patients", content, agent_origin=agent_origin, name="patients", who=who, data=data)


def _tab(ward: str | None, chosen: str | None) -> Html:
    address = f"/patients?ward={ward}" if ward else "/patients?ward="
    current = ' aria-current="page"' if ward == chosen else ""
    return Html(f'<a href="{address}"{current}>{html.escape(ward or "all wards")}</a>')


def patient_page(patient: Patient, who: SignedIn, agent_origin: str) -> str:
    """Return one patient's page; its sealed fields are filled in by patient.js."""
    names = [name for name in _LABELS if name != "letter" or patient.discharged is not None]
    content = fill(
        "patient",
        name=patient.name,
        ward=patient.ward,
        born=patient.born,
        bed=patient.bed,
        admitted=patient.admitted,
        discharged=patient.discharged or "not yet",
        discharge_hidden=Html("" if patient.discharged is None else "hidden"),
        fields=_joined(_field(name, patient) for name in names),
    )
    data = {"patient": patient.case, "ward": patient.ward}
    return page(
        patient.name, content, agent_origin=agent_origin, name="patient", who=who, data=data
    )


def _field(name: str, patient: Patient) -> Html:
    editable = name in _EDITABLE and patient.discharged is None
    label = _LABELS[name]
    button = f'<button type="button" data-do="edit" hidden>Edit {label.lower()}</button>'
    return fill(
        "field",
        field=name,
        label=label,
        button=Html(button if editable else ""),
        editor=fill("editor", field=name, label=label) if editable else "",
    )


def audit_page(lines: Iterable[Mapping[str, object]], explanation: str, who: SignedIn) -> str:
    """Return the page of who released what; each line has the fields of audit_row.html."""
    rows = [fill("audit_row", **line) for line in lines]
    content = fill(
        "audit",
        explanation=explanation,
        caption=f"The newest {len(rows)} lines, newest first",
        rows=_joined(rows),
    )
    return page("Audit", content, name="audit", who=who)
