"""A clinic in memory, fresh for each test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.sqlalchemy.clinic import Clinic, clinic_on, engine_in_memory
from twinlock.testing import MemoryDeployment


@pytest.fixture
def clinic(twinlock_deployment: MemoryDeployment) -> Iterator[Clinic]:
    engine = engine_in_memory()
    yield clinic_on(twinlock_deployment, engine)
    engine.dispose()
