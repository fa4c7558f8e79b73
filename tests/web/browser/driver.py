"""Real Chromium, driven over standard input and output (web/test/e2e/driver.mjs)."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from tests.web.browser.clinic import PASSPHRASE, Clinic

WEB = Path(__file__).resolve().parent.parent.parent.parent / "web"
CHROMIUM = os.environ.get("TWINLOCK_CHROMIUM") or shutil.which("chromium") or ""


class ScenarioFailedError(AssertionError):
    """A scenario did not go as its script says; the message is the script's error."""


def missing() -> str:
    """What this machine lacks for tests in a browser; empty when nothing."""
    if shutil.which("node") is None:
        return "Node.js is not installed"
    if not (WEB / "node_modules" / "playwright-core").exists():
        return "web/node_modules is not installed (scripts/bootstrap web)"
    return "" if CHROMIUM else "Chromium is not installed (TWINLOCK_CHROMIUM)"


def build(folder: Path) -> Path:
    """Build the agent as ``make web`` does, into a folder of the tests' own."""
    command = ["node", "build.mjs", f"--out={folder}"]
    subprocess.run(command, cwd=WEB, check=True, capture_output=True)
    return folder


@dataclass
class Browser:
    """A Chromium that plays one scenario after another, each in a profile of its own."""

    clinic: Clinic
    _process: subprocess.Popen[str] = field(init=False)

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            ["node", "test/e2e/driver.mjs", CHROMIUM],
            cwd=WEB,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.close()
        assert self._process.wait(timeout=30) == 0
        self._process.stdout.close()

    def play(self, scenario: str, **given: Any) -> Any:
        """Play a scenario of web/test/e2e and return what it found. Raises ScenarioFailedError."""
        assert self._process.stdin
        assert self._process.stdout
        clinic = self.clinic
        world = {
            "app": clinic.app,
            "agent": clinic.agent,
            "sibling": clinic.sibling,
            "stranger": clinic.stranger,
            "files": [str(clinic.key_file), str(clinic.state_file)],
            "passphrase": PASSPHRASE,
            **given,
        }
        self._process.stdin.write(json.dumps({"scenario": scenario, "world": world}) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise ScenarioFailedError(f"the browser's driver ended in {scenario}")
        answer = json.loads(line)
        if "failed" in answer:
            raise ScenarioFailedError(answer["failed"])
        return answer["found"]
