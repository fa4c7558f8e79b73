"""``make demo`` on a small table: its checks hold, and fail in a weakened build."""

from __future__ import annotations

import os
import subprocess
import sys
from itertools import islice
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ROWS = 24
WEAKENED = """
import sys
from twinlock.core import enrolment
from twinlock.core.factors import password

combined = enrolment._enrolment_key
enrolment._enrolment_key = lambda factors, parameters, place: combined(
    factors[-1:], parameters[-1:], place
)
password.password_output = lambda place, kid, public, hardened, stretched: stretched

from twinlock.cli.demo import main

sys.exit(main(sys.argv[1:]))
"""
"""A password's hash is its output, and of several factors the last one is enough."""


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """The beginning of the table that the demo has."""
    path = tmp_path / "patients.csv"
    with (ROOT / "examples/data/patients.csv").open(encoding="utf-8") as source:
        path.write_text("".join(islice(source, ROWS + 1)), encoding="utf-8")
    return path


def demo(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run Python in a process of its own: SoftHSM reads its configuration once per process."""
    if not os.environ.get("TWINLOCK_SOFTHSM_MODULE"):
        pytest.skip("no SoftHSM: TWINLOCK_SOFTHSM_MODULE is not set")
    return subprocess.run(
        [sys.executable, *map(str, arguments)],
        env={**os.environ, "COLUMNS": "240"},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )


def failed(out: str) -> list[str]:
    """Which checks did not hold."""
    return [line.split("│")[1].strip() for line in out.splitlines() if "│ NO " in line]


def test_every_check_of_the_demo_holds(table: Path, tmp_path: Path) -> None:
    done = demo("-m", "twinlock.cli.demo", table, "--folder", tmp_path / "run")
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines()[-1] == "demo: 21 of 21 checks held"
    assert f"of {ROWS} rows" in done.stdout


def test_the_demo_fails_where_factors_do_not_keep_what_they_say(
    table: Path, tmp_path: Path
) -> None:
    """Its thief finds the password without the token, and the server opens with ClientKey."""
    done = demo("-c", WEAKENED, table, "--folder", tmp_path / "run")
    assert done.returncode == 1, done.stdout + done.stderr
    assert done.stdout.splitlines()[-1] == "demo: 19 of 21 checks held"
    thief, server = failed(done.stdout)
    assert "no token" in thief
    assert "no device key" in server


def test_a_table_that_is_none_is_refused(tmp_path: Path) -> None:
    done = demo("-m", "twinlock.cli.demo", tmp_path / "missing.csv", "--folder", tmp_path / "run")
    assert done.returncode == 1
    assert "demo stopped: " in done.stderr
    assert not (tmp_path / "run").exists()
