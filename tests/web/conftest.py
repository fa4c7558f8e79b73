"""Tests of the browser's code that need a Python deployment on the other side."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.server.world import World, world_in_memory, world_on_softhsm
from tests.token.rigs import init_softhsm
from tests.web.peer import Peer, bundled, missing


@pytest.fixture(scope="session")
def peer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Peer]:
    """The TypeScript agent in a Node.js process."""
    if why := missing():
        pytest.skip(why)
    folder = tmp_path_factory.mktemp("web")
    with Peer(bundled("test/core/driver.ts", folder)) as running:
        yield running


@pytest.fixture(scope="module")
def shared() -> Iterator[World]:
    """For tests that leave the groups and the members' files as they are."""
    with world_in_memory() as made:
        yield made


@pytest.fixture
def world() -> Iterator[World]:
    """A deployment of the test's own."""
    with world_in_memory() as made:
        yield made


@pytest.fixture
def softhsm_world(softhsm_folder: Path, tmp_path: Path) -> Iterator[World]:
    """A deployment on SoftHSM."""
    with world_on_softhsm(tmp_path, init_softhsm("web tests")) as made:
        yield made
