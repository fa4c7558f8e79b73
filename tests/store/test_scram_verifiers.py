"""Verifiers that a real PostgreSQL made are read, and sign in."""

from __future__ import annotations

import uuid

import pytest
from sqlalchemy import Engine, text

from twinlock.core.scram.keys import scram_keys
from twinlock.core.scram.verifier import ScramVerifier, parse_verifier


@pytest.mark.parametrize(
    "password", ["correct horse", "Zu\u0308rich,\u00a0correct", "I\u00adX \u00aa"]
)
def test_a_verifier_of_postgresql_is_that_of_its_password(
    postgres_admin: Engine, password: str
) -> None:
    """R-SCRAM-1: SASLprep, PBKDF2 and the text's form are PostgreSQL's."""
    role = f"scram_{uuid.uuid4().hex}"
    with postgres_admin.connect() as connection:
        connection.execute(text("SET password_encryption = 'scram-sha-256'"))
        connection.execute(text(f"CREATE ROLE {role} PASSWORD '{password}'"))
        try:
            query = text("SELECT rolpassword FROM pg_authid WHERE rolname = :role")
            stored: str = connection.execute(query, {"role": role}).scalar_one()
        finally:
            connection.execute(text(f"DROP ROLE {role}"))
    found = parse_verifier(stored)
    keys = scram_keys(password, found.salt, found.iterations)
    made = ScramVerifier.of(keys, found.salt, found.iterations)
    assert made.to_text().reveal().decode() == stored
