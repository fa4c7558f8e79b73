"""Tokens live as long as the test process: a module reads its configuration once."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.token.rigs import MAKERS, Rig


@pytest.fixture(scope="session", params=sorted(MAKERS))
def rig(
    request: pytest.FixtureRequest,
    softhsm_folder: Path,
    nss_folder: Path,
) -> Iterator[Rig]:
    """Every token that the contract runs on. Made anew when pytest turns to another and back."""
    made = MAKERS[request.param](nss_folder if request.param == "nss" else softhsm_folder)
    yield made
    made.token.close()
