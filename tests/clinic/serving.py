"""The demo as a process, for tests that need a browser or a real port in front of it."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).parents[2]
BUILT = ROOT / "web" / "dist" / "agent.html"
_ORIGIN = re.compile(r"http://clinic\.localhost:\d+")


@contextmanager
def demo_web(folder: Path) -> Iterator[str]:
    """Start the demo on free ports, yield the clinic's origin, and end it as Ctrl-C does."""
    command = [sys.executable, "-u", "-m", "examples.clinic.demo"]
    options = ["--folder", str(folder), "--port", "0", "--agent-port", "0"]
    process = subprocess.Popen(
        [*command, *options], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    with process:
        said = []
        try:
            for line in process.stdout or ():
                said.append(line)
                if found := _ORIGIN.search(line):
                    break
            else:
                raise AssertionError(f"the demo did not start:\n{''.join(said)}")
            yield found[0]
        finally:
            process.send_signal(signal.SIGINT)
    assert process.returncode == 0


def chromium() -> str | None:
    """The path of Chromium, as the tools' environment or Debian has it."""
    found = os.environ.get("TWINLOCK_CHROMIUM") or "/usr/bin/chromium"
    return found if Path(found).exists() else None
