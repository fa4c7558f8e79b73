"""What is sealed, as JSON: the list, one patient, an edited field, the discharge.

The first two are safe requests: Twinlock's middleware asks the member's agent when the handler
wants plaintext, and runs it again with the release. Who may read is up to the groups alone. Editing
needs no release, since sealing needs nobody's key, so the clinic itself says who may write. The
discharge reads what it writes, so it names what it opens before its body runs.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import Annotated, Any, Final, Literal

from fastapi import APIRouter, Depends, HTTPException
from pydantic import BaseModel, Field
from sqlalchemy import select
from sqlalchemy.orm import defer
from sqlalchemy.orm.exc import StaleDataError

from examples.clinic.models import SEALED_FIELDS, Patient
from examples.clinic.parts import Database, Who, require_sign_in
from examples.clinic.wards import EMERGENCY, WARDS
from twinlock.errors import DataError, TwinlockError
from twinlock.integrations.fastapi import Releases, releases
from twinlock.integrations.sqlalchemy import Sealed

_OURS: Final = (*WARDS, EMERGENCY)
"""Whose records the clinic shows: a group that it did not name can author nothing here."""
_IN_LIST: Final = ("diagnosis", "allergies")

router = APIRouter(prefix="/api/patients", dependencies=[Depends(require_sign_in)])


@router.get("")
async def list_patients(
    db: Database,
    release: Annotated[Releases, Depends(releases(purpose="ward list", groups=_OURS))],
    ward: str = "",
) -> dict[str, Any]:
    """Return the sealed fields of the list's rows; one round for all of them."""
    # What the list does not show is not loaded, and so not opened either.
    rows = await of_ward(db, ward or None, _IN_LIST)
    views = await release.opened(rows)
    return {
        "patients": [
            {"case": row.case, "fields": shown(view, _IN_LIST)}
            for row, view in zip(rows, views, strict=True)
        ]
    }


@router.get("/{case}")
async def show_patient(
    case: str,
    db: Database,
    release: Annotated[Releases, Depends(releases(purpose="patient record", groups=_OURS))],
) -> dict[str, Any]:
    """Return all sealed fields of one patient."""
    row = await find(db, case)
    [view] = await release.opened([row])
    return {"case": row.case, "revision": row.revision, "fields": shown(view, SEALED_FIELDS)}


async def to_change(case: str, db: Database, who: Who) -> Patient:
    """Load a patient that is about to be changed. Raises 403, 404 and 409."""
    row = await find(db, case)
    if who.ward not in (None, row.ward):
        raise HTTPException(403, f"Only {row.ward} and the emergency physician change this.")
    if row.discharged is not None:
        raise HTTPException(409, "This patient was discharged already.")
    return row


class Edit(BaseModel):
    """A field's new text, and the revision that it was written on top of."""

    field: Literal["allergies", "note"]
    text: Annotated[str, Field(min_length=1, max_length=2000)]
    revision: int


@router.patch("/{case}")
async def edit_patient(case: str, edit: Edit, db: Database, who: Who) -> dict[str, Any]:
    """Seal one field anew. The others are not opened and not written."""
    row = await to_change(case, db, who)
    if row.revision != edit.revision:
        raise _overtaken()
    setattr(row, edit.field, edit.text)
    await _commit(db)
    return {"rewritten": [edit.field], "revision": row.revision}


@router.post("/{case}/discharge")
async def discharge_patient(
    row: Annotated[Patient, Depends(to_change)],
    db: Database,
    who: Who,
    release: Annotated[
        Releases, Depends(releases(purpose="discharge letter", items=to_change, groups=_OURS))
    ],
) -> dict[str, Any]:
    """Write the letter from what the member released, seal it, and close the case."""
    [view] = release.loaded
    today = date.today()
    row.letter = Sealed(_letter(row, view.diagnosis, view.allergies, who.full_name, today))
    row.discharged = today
    await _commit(db)
    return {"discharged": today.isoformat()}


async def of_ward(
    db: Database, ward: str | None, sealed: tuple[str, ...] = ()
) -> Sequence[Patient]:
    """Return the patients of a ward, or of all, by name; of the sealed fields only ``sealed``."""
    left_out = [getattr(Patient, name) for name in SEALED_FIELDS if name not in sealed]
    query = select(Patient).options(*map(defer, left_out)).order_by(Patient.name)
    if ward is not None:
        query = query.where(Patient.ward == ward)
    return (await db.scalars(query)).all()


async def find(db: Database, case: str) -> Patient:
    """Return a patient by case number. Raises 404."""
    row = await db.get(Patient, case)
    if row is None:
        raise HTTPException(404, "There is no such patient.")
    return row


def shown(view: Any, fields: tuple[str, ...]) -> dict[str, dict[str, str]]:
    """Return what became of each field: its state, and its text or the reason why there is none."""
    return {field: _shown(view, field) for field in fields}


def _shown(view: Any, field: str) -> dict[str, str]:
    try:
        text = getattr(view, field)
    except TwinlockError as error:
        return {"state": _state(error), "reason": error.message, "code": error.code}
    return {"state": "empty"} if text is None else {"state": "open", "text": text}


def _state(error: TwinlockError) -> str:
    if error.code == "record.no-lock":
        return "no-lock"
    # Bytes that are not what the clinic wrote, whichever check they failed.
    return "not-authentic" if isinstance(error, DataError) else "failed"


async def _commit(db: Database) -> None:
    try:
        await db.commit()
    except StaleDataError as error:
        raise _overtaken() from error


def _overtaken() -> HTTPException:
    return HTTPException(409, "Somebody else changed this patient meanwhile. Load the page again.")


def _letter(row: Patient, diagnosis: str, allergies: str, author: str, today: date) -> str:
    return (
        f"{row.name}, born {row.born}, was in our care from {row.admitted} to {today}.\n"
        f"Diagnosis: {diagnosis}\nAllergies: {allergies}\n{author}"
    )
