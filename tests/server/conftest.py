"""The server's tests run on SoftHSM with SQLite, and in memory where the token does not matter."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.server.factor_scene import deployment, unlocked_keyring
from tests.server.factor_things import Scene
from tests.server.world import World, world_in_memory, world_on_softhsm
from tests.token.rigs import init_softhsm


@pytest.fixture(scope="session")
def softhsm_uri(softhsm_folder: Path) -> str:
    """A SoftHSM token that all deployments of this run share; each has keys of its own."""
    return init_softhsm("server tests")


@pytest.fixture(scope="session")
def softhsm(softhsm_uri: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A deployment on SoftHSM for tests that leave its groups as they are."""
    with world_on_softhsm(tmp_path_factory.mktemp("deployment"), softhsm_uri) as world:
        yield world


@pytest.fixture
def memory() -> Iterator[World]:
    """A deployment in memory, fresh for each test."""
    with world_in_memory() as world:
        yield world


@pytest.fixture(params=["softhsm", "memory"])
def world(request: pytest.FixtureRequest) -> World:
    """Both, for tests that leave the groups as they are."""
    found: World = request.getfixturevalue(request.param)
    return found


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory, softhsm_folder: Path) -> Iterator[Scene]:
    """One deployment for the lives of all factors of a module; each makes members of its own."""
    with deployment(tmp_path_factory.mktemp("deployment")) as made:
        yield made


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A desktop session whose keyring this process uses."""
    with unlocked_keyring(tmp_path_factory.mktemp("desktop")):
        yield
