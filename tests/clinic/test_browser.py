"""The clinic in a real Chromium: web/test/e2e/clinic.mjs, with a demo of its own.

``TWINLOCK_PICTURES=docs/images`` takes the screenshots of the docs on the way.
"""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import subprocess
from pathlib import Path

import pytest

from examples.clinic.people import PEOPLE
from examples.clinic.seeding import FORGED_AT
from tests.clinic.serving import BUILT, ROOT, chromium, demo_web

SCRIPT = ROOT / "web" / "test" / "e2e" / "clinic.mjs"
PATIENCE = 30_000
"""Milliseconds that one step may take on a machine with other things to do."""


def test_the_clinic_works_in_a_browser_from_signing_in_to_a_locked_agent(tmp_path: Path) -> None:
    node, browser = shutil.which("node"), chromium()
    if node is None or browser is None:
        pytest.skip("no Node.js, or no Chromium (TWINLOCK_CHROMIUM)")
    if not BUILT.exists() or not (ROOT / "web" / "node_modules" / "playwright-core").exists():
        pytest.skip("web/ is not built: run `make web`")
    with demo_web(tmp_path / "demo") as origin:
        scene = tmp_path / "clinic.json"
        scene.write_text(json.dumps(_given(tmp_path / "demo", origin, browser)))
        done = subprocess.run(
            [node, "--test", "--test-reporter=tap", str(SCRIPT)],
            env={**os.environ, "CLINIC": str(scene)},
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )
    assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-2000:]
    assert "# skipped 0" in done.stdout


def _given(folder: Path, origin: str, browser: str) -> dict[str, object]:
    """What the script is told; see its head."""
    pictures = os.environ.get("TWINLOCK_PICTURES")
    return {
        "origin": origin,
        "home": str(folder / "members"),
        "people": {
            person.username: {"password": person.password, "passphrase": person.passphrase}
            for person in PEOPLE
        },
        "forged": _forged(folder),
        "chromium": browser,
        "patience": PATIENCE,
        "pictures": str(Path(pictures).resolve()) if pictures else None,
    }


def _forged(folder: Path) -> str:
    """The case of cardiology whose row was put there by hand."""
    query = "SELECT \"case\" FROM clinic_patient WHERE ward = 'cardiology' ORDER BY name"
    connection = sqlite3.connect(folder / "clinic.db")
    try:
        return str(connection.execute(query).fetchall()[FORGED_AT][0])
    finally:
        connection.close()
