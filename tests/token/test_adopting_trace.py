"""What somebody who records every PKCS#11 call learns of DEKs that get new locks."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.token.rigs import SOFTHSM

SPY = os.environ.get("TWINLOCK_SPY_MODULE", "/usr/lib/x86_64-linux-gnu/pkcs11-spy.so")
ROOT = Path(__file__).parents[2]
_DUMPED = re.compile(rb"^ *[0-9A-Fa-f]{8} {2}((?:[0-9A-Fa-f]{2} ?){1,16})", re.MULTILINE)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, dict[str, list[str]]]]:
    """The traces' folder, and the secrets of each run."""
    if not Path(SPY).exists():
        pytest.skip("pkcs11-spy is not installed")
    folder = tmp_path_factory.mktemp("spied")
    done = subprocess.run(
        [sys.executable, "-m", "tests.token.adopting_spied", str(folder), SPY],
        cwd=ROOT,
        env={**os.environ, "PKCS11SPY": SOFTHSM, "PKCS11SPY_OUTPUT": str(folder / "spy.log")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return folder, json.loads(done.stdout)


def dumped(trace: bytes) -> str:
    """Every byte that the spy dumped, as one row of hexadecimal digits."""
    rows = (match.group(1) for match in _DUMPED.finditer(trace))
    return b"".join(row.replace(b" ", b"") for row in rows).decode().lower()


def found(shown: str, values: list[str]) -> int:
    """How many values stand in a trace; their first 8 bytes are enough."""
    return sum(value[:16] in shown for value in values)


def test_a_trace_of_a_rewrap_shows_neither_deks_nor_release_keys(run) -> None:
    """R-ADOPT-5: only W, which opens with the release key."""
    folder, secrets = run
    shown, kept = dumped((folder / "inside.trace").read_bytes()), secrets["inside"]
    assert found(shown, kept["wrapped"]) == 6
    assert found(shown, kept["dek"]) == 0
    assert found(shown, kept["release key"]) == 0


def test_a_trace_of_a_key_that_only_decrypts_shows_every_dek(run) -> None:
    """R-ADOPT-5: that is what must be allowed by name; and the search does find."""
    folder, secrets = run
    shown, kept = dumped((folder / "host.trace").read_bytes()), secrets["host"]
    assert found(shown, kept["dek"]) == 6
    assert found(shown, kept["release key"]) == 0
