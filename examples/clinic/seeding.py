"""Filling the database: staff, patients, and what somebody with access to it did to them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Final

from sqlalchemy import create_engine, select, text
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine

from examples.clinic.invented import invent
from examples.clinic.models import Base, Patient, Staff
from examples.clinic.passwords import hash_password
from examples.clinic.people import PEOPLE
from examples.clinic.wards import WARDS
from examples.clinic.world import ClinicWorld, postgresql_url
from twinlock.integrations.sqlalchemy import Sealed, seal_with
from twinlock.server.asynchronous import AsyncVault
from twinlock.server.vault import Vault
from twinlock.store.schema import VERSION_TABLE
from twinlock.store.schema import metadata as store_tables

FIRST_CASE: Final = 2001
FORGED_AT: Final = 3
"""Which patient of a ward, by name, gets another's row; early enough to be seen at once."""


_SEALED: Final = ("twinlock_dek", "diagnosis", "allergies", "note", "letter")


async def seed(world: ClinicWorld, count: int) -> None:
    """Make the tables, enter staff and patients, and forge one record of each ward."""
    engine = create_async_engine(world.database)
    async with engine.begin() as connection:
        await connection.run_sync(Base.metadata.create_all)
    async with await AsyncVault.connect(world.config) as vault:
        sessions = seal_with(async_sessionmaker(engine), vault)
        async with sessions() as db:
            db.add_all(staff(_member_ids(vault.vault)))
            db.add_all(patients(count, today=date.today()))
            await db.commit()
            for ward in WARDS:
                await forge(db, ward)
            await db.commit()
    await engine.dispose()


def staff(member_ids: Mapping[str, bytes]) -> list[Staff]:
    """Return the accounts of the demo's people; ``member_ids`` are their members', by name."""
    return [
        Staff(
            username=person.username,
            full_name=person.full_name,
            role=person.role,
            ward=person.group if person.group in WARDS else None,
            admin=person.admin,
            password=hash_password(person.password),
            member_id=member_ids[person.username],
        )
        for person in PEOPLE
    ]


def patients(count: int, *, today: date) -> list[Patient]:
    """Return invented patients, with the plaintext that is sealed when they are flushed."""
    return [
        Patient(
            case=f"LH-{FIRST_CASE + number}",
            name=one.name,
            born=one.born,
            ward=one.ward,
            bed=one.bed,
            admitted=one.admitted,
            diagnosis=Sealed(one.diagnosis),
            allergies=Sealed(one.allergies),
            note=Sealed(one.note),
        )
        for number, one in enumerate(invent(count, today=today))
    ]


async def forge(db: AsyncSession, ward: str) -> str:
    """Put one patient's whole sealed row into another's, in plain SQL; return the victim's case.

    Everything in it is genuine: it was written by the clinic, for the same groups. It belongs to
    somebody else.
    """
    of_ward = select(Patient.case).where(Patient.ward == ward).order_by(Patient.name)
    cases = (await db.scalars(of_ward)).all()
    victim, other = cases[FORGED_AT], cases[FORGED_AT + 1]
    columns = ", ".join(f"{name} = other.{name}" for name in _SEALED)
    table = Patient.__tablename__
    statement = f"UPDATE {table} SET {columns} FROM {table} AS other"  # noqa: S608 - own names
    where = f' WHERE {table}."case" = :victim AND other."case" = :other'
    await db.execute(text(statement + where), {"victim": victim, "other": other})
    return victim


def drop_tables(database: str) -> None:
    """Drop the clinic's tables and Twinlock's from a database: for ``--reset`` only."""
    engine = create_engine(postgresql_url(database))
    with engine.begin() as connection:
        Base.metadata.drop_all(connection)
        store_tables.drop_all(connection)
        connection.execute(text(f"DROP TABLE IF EXISTS {VERSION_TABLE}"))
    engine.dispose()


def _member_ids(vault: Vault) -> dict[str, bytes]:
    return {
        membership.member.name: member_id
        for state in vault.group_states().values()
        for member_id, membership in state.members.items()
    }
