"""docs/tutorial.md as something that runs: its files, its commands, its two servers."""

from __future__ import annotations

import re
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from scripts.check_docs import Block, read_page
from tests.clinic.serving import ROOT

PAGE = ROOT / "docs" / "tutorial.md"
CLINIC_PORT, AGENT_PORT = "8500", "8501"


class Tutorial:
    """The page's blocks in a folder, with ports that are free now in place of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.ports = (_free_port(), _free_port())
        self._blocks = read_page(self._here(PAGE.read_text(encoding="utf-8"))).blocks

    @property
    def origin(self) -> str:
        """The application's origin."""
        return f"http://ward.localhost:{self.ports[0]}"

    @property
    def passphrase(self) -> str:
        """weber's, as the page says it."""
        found = re.search(r"export WEBER='([^']+)'", PAGE.read_text(encoding="utf-8"))
        assert found
        return found[1]

    def write_files(self) -> list[str]:
        """Write each block that has a file's name; return the names."""
        (self.folder.parent / "web").symlink_to(ROOT / "web")
        named = [block for block in self._blocks if "." in block.info.split(" ")[-1]]
        for block in named:
            (self.folder / block.info.split(" ")[-1]).write_text(block.text, encoding="utf-8")
        return [block.info.split(" ")[-1] for block in named]

    def run(self, kind: str) -> str:
        """Run all blocks of a kind, as `sh run`, in one shell; return what it said."""
        script = "\n".join(["set -e", *(block.text for block in self._of(kind))])
        done = subprocess.run(
            ["bash", "-c", script], cwd=self.folder, capture_output=True, text=True, timeout=120
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    @contextmanager
    def served(self) -> Iterator[None]:
        """Run each line of the block `sh serve` until this ends."""
        [block] = self._of("sh serve")
        with ExitStack() as ending:
            for line in block.text.splitlines():
                command = f"source twinlock-dev/env; exec {line}"
                process = subprocess.Popen(["bash", "-c", command], cwd=self.folder)
                ending.callback(process.wait)
                ending.callback(process.terminate)
            for port in self.ports:
                _wait_for(port)
            yield

    def _of(self, kind: str) -> Sequence[Block]:
        return [block for block in self._blocks if block.info == kind]

    def _here(self, text: str) -> str:
        for told, port in zip((CLINIC_PORT, AGENT_PORT), self.ports, strict=True):
            text = text.replace(told, str(port))
        return text


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait_for(port: int) -> None:
    for _ in range(300):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)
    raise AssertionError(f"nothing listens on port {port}")
