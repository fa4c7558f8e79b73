"""Adoption is tested on SQLite files and on PostgreSQL, with SoftHSM."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.adopt.world import Place, place_at
from tests.server.world import World, world_on_softhsm
from tests.store.conftest import postgres_admin, postgres_schema_url, postgres_url
from tests.token.rigs import init_softhsm

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


@pytest.fixture(scope="session")
def softhsm_uri(softhsm_folder: Path) -> str:
    """A SoftHSM token that all deployments of this run share."""
    return init_softhsm("adoption tests")


@pytest.fixture(scope="module")
def world(softhsm_uri: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A deployment on SoftHSM; each place has columns of its own in its log."""
    with world_on_softhsm(tmp_path_factory.mktemp("deployment"), softhsm_uri) as made:
        yield made


MakePlace = Callable[..., Place]


@pytest.fixture
def place_of(world: World, app_url: str, tmp_path: Path) -> Iterator[MakePlace]:
    """Make a place with rows; see ``place_at``."""
    with ExitStack() as stack:

        def make(rows: int = 6, **settings: Any) -> Place:
            return stack.enter_context(place_at(world, tmp_path, app_url, rows=rows, **settings))

        yield make
