"""Agents under test belong to a deployment in memory."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.server.world import World, world_in_memory


@pytest.fixture
def world() -> Iterator[World]:
    with world_in_memory() as made:
        yield made


@pytest.fixture(scope="module")
def shared() -> Iterator[World]:
    """For tests that leave the groups and the members' files as they are."""
    with world_in_memory() as made:
        yield made
