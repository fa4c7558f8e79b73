"""What tests of the HTTP flow share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.http.clinic import Clinic, clinic_in_memory


@pytest.fixture
def clinic() -> Iterator[Clinic]:
    """A clinic with two patients."""
    with clinic_in_memory() as made:
        made.admit("Ada", "I48.0")
        made.admit("Ben", "I10")
        yield made
