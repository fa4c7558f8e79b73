"""A SoftHSM token of its own for each test that asks, and the programs of native/."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.native.floor import TOKEN, Softhsm

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def built() -> Path:
    """build/native with what ``make native`` built."""
    folder = ROOT / "build" / "native"
    if not (folder / "floor").exists():
        pytest.skip("the C programs are not built: make native")
    return folder


@pytest.fixture(scope="module")
def softhsm(tmp_path_factory: pytest.TempPathFactory) -> Softhsm:
    """An initialised token in a folder of its own."""
    module = os.environ.get("TWINLOCK_SOFTHSM_MODULE", "")
    utility = os.environ.get("TWINLOCK_SOFTHSM_UTIL", "")
    if not module or not utility:
        pytest.skip("no SoftHSM: scripts/bootstrap finds or installs it")
    folder = tmp_path_factory.mktemp("softhsm")
    (folder / "tokens").mkdir()
    configuration = folder / "softhsm2.conf"
    configuration.write_text(f"directories.tokendir = {folder}/tokens\nlog.level = ERROR\n")
    pin_file = folder / "pin"
    pin_file.write_text("314159\n")
    token = Softhsm(module, utility, pin_file, {**os.environ, "SOFTHSM2_CONF": str(configuration)})
    token.utility(
        "--init-token", "--free", "--label", TOKEN, "--so-pin", "271828", "--pin", "314159"
    )
    return token
