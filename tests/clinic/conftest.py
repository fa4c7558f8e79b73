"""What tests of the clinic share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.clinic.ward import ClinicUnderTest, clinic_in


@pytest.fixture
def clinic(tmp_path: Path) -> Iterator[ClinicUnderTest]:
    """A clinic with two wards of six patients each, and nobody signed in."""
    with clinic_in(tmp_path) as made:
        yield made
