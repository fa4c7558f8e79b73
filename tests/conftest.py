"""What several areas of tests share."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def softhsm_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The process's SoftHSM folder: the module reads its configuration once, so all share it."""
    from tests.token.rigs import init_softhsm_folder

    folder = tmp_path_factory.mktemp("softhsm")
    init_softhsm_folder(folder)
    return folder


@pytest.fixture(scope="session")
def nss_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The process's NSS database: NSS is told its folder once, so all share it."""
    return tmp_path_factory.mktemp("nss")
