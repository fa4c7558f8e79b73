"""Where the tools of the browser's attacks are: Node.js, the packages of web/, Chromium."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parent.parent
WEB: Final = ROOT / "web"

NODE: Final = "node"
CHROMIUM: Final = "chromium"


def node() -> str | None:
    """Path of Node.js: the project's own, else the system's."""
    own = ROOT / ".venv" / "bin" / "node"
    return str(own) if own.exists() else shutil.which("node")


def chromium() -> str | None:
    """Path of Chromium: TWINLOCK_CHROMIUM, else the system's."""
    return os.environ.get("TWINLOCK_CHROMIUM") or shutil.which("chromium")


def missing(needs: Iterable[str]) -> str:
    """Say which of these tools are not here; empty when all are."""
    wanted = set(needs)
    lacking = []
    if wanted and node() is None:
        lacking.append("there is no Node.js")
    if wanted and not (WEB / "node_modules" / "esbuild").exists():
        lacking.append("web/node_modules is not installed (scripts/bootstrap web)")
    if CHROMIUM in wanted and chromium() is None:
        lacking.append("there is no Chromium (TWINLOCK_CHROMIUM)")
    return ", ".join(lacking)
