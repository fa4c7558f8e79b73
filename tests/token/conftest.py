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
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Rig]:
    """Every token that the contract runs on."""
    made = MAKERS[request.param](tmp_path_factory.mktemp(request.param))
    yield made
    made.token.close()
