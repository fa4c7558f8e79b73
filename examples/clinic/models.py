"""The clinic's tables. What is sealed stands in `Patient`; everything else is an ordinary row."""

from __future__ import annotations

from datetime import date, datetime
from typing import Final

from sqlalchemy import Date, DateTime, ForeignKey, LargeBinary, String
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from examples.clinic.wards import EMERGENCY
from twinlock.integrations.sqlalchemy import Sealed, SealedTable, sealed_column

SEALED_FIELDS: Final = ("diagnosis", "allergies", "note", "letter")


class Base(DeclarativeBase):
    """The clinic's metadata."""


def _ways_in(patient: Patient) -> tuple[str, str]:
    """Who may open a patient's fields: the ward, or the emergency group."""
    return (patient.ward, EMERGENCY)


class Patient(Base):
    """A patient. Names stay in clear, so that the list sorts and filters in the database.

    ``case`` is known before the row is written, since it stands in what the fields are sealed for.
    ``revision`` counts changes, so that two people do not overwrite each other.
    """

    __tablename__ = "clinic_patient"
    __twinlock__ = SealedTable(table="patient", to=_ways_in)

    case: Mapped[str] = mapped_column(String(20), primary_key=True)
    revision: Mapped[int] = mapped_column()
    name: Mapped[str] = mapped_column(String(120), index=True)
    born: Mapped[date] = mapped_column(Date)
    ward: Mapped[str] = mapped_column(String(40), index=True)
    bed: Mapped[str] = mapped_column(String(10))
    admitted: Mapped[date] = mapped_column(Date)
    discharged: Mapped[date | None] = mapped_column(Date)
    diagnosis: Mapped[Sealed[str]] = sealed_column()
    allergies: Mapped[Sealed[str]] = sealed_column()
    note: Mapped[Sealed[str]] = sealed_column()
    letter: Mapped[Sealed[str] | None] = sealed_column()

    __mapper_args__ = {"version_id_col": revision}  # noqa: RUF012 - as SQLAlchemy wants it


class Staff(Base):
    """Somebody who signs in. ``member_id`` says whose agent may answer for this account."""

    __tablename__ = "clinic_staff"

    username: Mapped[str] = mapped_column(String(40), primary_key=True)
    full_name: Mapped[str] = mapped_column(String(120))
    role: Mapped[str] = mapped_column(String(60))
    ward: Mapped[str | None] = mapped_column(String(40))
    admin: Mapped[bool]
    password: Mapped[bytes] = mapped_column(LargeBinary(48))
    member_id: Mapped[bytes] = mapped_column(LargeBinary(16))


class LoginSession(Base):
    """A login: only the hash of its cookie is stored, so that a copied table signs nobody in."""

    __tablename__ = "clinic_session"

    token_hash: Mapped[bytes] = mapped_column(LargeBinary(32), primary_key=True)
    username: Mapped[str] = mapped_column(ForeignKey("clinic_staff.username"))
    expires: Mapped[datetime] = mapped_column(DateTime(timezone=True))
