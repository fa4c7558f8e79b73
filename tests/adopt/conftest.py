"""Adoption is tested on SQLite files and on PostgreSQL, with SoftHSM."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.store.conftest import postgres_admin, postgres_schema_url, postgres_url

__all__ = ["postgres_admin", "postgres_schema_url", "postgres_url"]


@pytest.fixture(params=["sqlite", "postgresql"])
def app_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of an empty database of an application."""
    if request.param == "postgresql":
        url: str = request.getfixturevalue("postgres_schema_url")
        return url
    path = tmp_path / "app.db"
    path.touch()
    return f"sqlite:///{path}"
