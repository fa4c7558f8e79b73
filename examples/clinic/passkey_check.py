"""The part of ``--check`` that needs a browser: a passkey, on Chromium's virtual authenticator."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Final

from examples.clinic.people import DemoPerson

ROOT: Final = Path(__file__).parents[2]
SCRIPT: Final = ROOT / "web" / "test" / "e2e" / "clinic-passkey.mjs"
_SECONDS: Final = 240


def missing() -> str:
    """What this machine lacks for a browser; empty when nothing."""
    if shutil.which("node") is None:
        return "Node.js"
    if not (ROOT / "web" / "node_modules" / "playwright-core").exists():
        return "the packages of web/ (make web)"
    return "" if _chromium() else "Chromium (make demo-web needs it for this alone)"


def passkey_checks(origin: str, home: Path, person: DemoPerson) -> list[tuple[str, str, bool]]:
    """Try it: what was tried, what was seen, and whether that is what the demo claims."""
    given = {
        "origin": origin,
        "home": str(home),
        "name": person.username,
        "password": person.password,
        "passphrase": person.passphrase,
        "chromium": _chromium(),
    }
    done = subprocess.run(
        ["node", str(SCRIPT), json.dumps(given)],
        capture_output=True,
        text=True,
        timeout=_SECONDS,
        check=False,
    )
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    checks = [(row["what"], row["seen"], row["held"]) for row in rows]
    if done.returncode != 0:
        lines = done.stderr.strip().splitlines()
        said = next((line for line in lines if "Error" in line), "the browser's script failed")
        checks.append(("a passkey in Chromium", said, False))
    return checks


def _chromium() -> str | None:
    return os.environ.get("TWINLOCK_CHROMIUM") or shutil.which("chromium")
