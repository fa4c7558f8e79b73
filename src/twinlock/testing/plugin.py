"""The pytest plugin: a deployment in memory as fixtures.

    def test_a_ward_round(vault, weber):
        request = vault.request([(context, stored)])
        [opened] = vault.open(request, weber.release(request))

Fixtures of the same name in a test module or conftest.py take precedence, as pytest has it.
Nothing is loaded before a test asks for a fixture.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from twinlock.server.vault import Vault
    from twinlock.testing.deployment import MemoryDeployment
    from twinlock.testing.member import MemoryMember


@pytest.fixture
def twinlock_deployment() -> Iterator[MemoryDeployment]:
    """A deployment in memory, fresh for each test; see ``twinlock.testing.memory_vault``."""
    from twinlock.testing.deployment import memory_vault

    with memory_vault() as deployment:
        yield deployment


@pytest.fixture
def vault(twinlock_deployment: MemoryDeployment) -> Vault:
    """The vault of ``twinlock_deployment``."""
    return twinlock_deployment.vault


@pytest.fixture
def weber(twinlock_deployment: MemoryDeployment) -> MemoryMember:
    """A member of the groups cardiology and emergency."""
    return twinlock_deployment.weber


@pytest.fixture
def kim(twinlock_deployment: MemoryDeployment) -> MemoryMember:
    """A member of the group cardiology."""
    return twinlock_deployment.kim


@pytest.fixture
def officer(twinlock_deployment: MemoryDeployment) -> MemoryMember:
    """The member of the group data-office."""
    return twinlock_deployment.officer
