"""``python -m attacks`` as a process: its exit code, its report, what it leaves out."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
QUICK = "substituted-group"


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    paths = os.pathsep.join([str(ROOT / "src"), *sys.path])
    return subprocess.run(
        [sys.executable, "-m", "attacks", *arguments],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": paths, **environment},
        capture_output=True,
        text=True,
        check=False,
    )


pytestmark = pytest.mark.skipif(
    not Path(
        os.environ.get("TWINLOCK_SOFTHSM_MODULE") or "/usr/lib/softhsm/libsofthsm2.so"
    ).exists(),
    reason="no SoftHSM",
)


def test_attacks_that_hold_end_with_0_and_a_report(tmp_path: Path) -> None:
    done = run("--sqlite-only", "--only", QUICK, "--report", str(tmp_path / "report.json"))
    assert done.returncode == 0, done.stdout + done.stderr
    rows = json.loads((tmp_path / "report.json").read_text())
    assert {row["id"] for row in rows} == {"substituted-group", "substituted-group-key"}
    for row in rows:
        assert row["on"] == "softhsm+sqlite"
        assert row["broken"] == 0
        assert row["broken_when_mutated"] > 0


def test_a_missing_postgresql_is_said_and_is_no_success(tmp_path: Path) -> None:
    report = str(tmp_path / "report.json")
    done = run("--only", QUICK, "--report", report, TWINLOCK_TEST_POSTGRES_URL="")
    assert done.returncode != 0
    assert "PostgreSQL: NOT RUN" in done.stdout


def test_nothing_chosen_is_no_success(tmp_path: Path) -> None:
    done = run("--sqlite-only", "--only", "no-such-attack", "--report", str(tmp_path / "r"))
    assert done.returncode != 0


def test_every_attack_can_be_listed() -> None:
    done = run("--list")
    assert done.returncode == 0
    assert QUICK in done.stdout
