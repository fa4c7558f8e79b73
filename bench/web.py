"""What sealing costs a web page: 50 patients from PostgreSQL over a real server, agent included.

The page with plaintext columns and the same page sealed are fetched in turn. The client's process
holds the agent. ``python -m bench.web FOLDER NUMBER URL`` is one of the clients that fetch at the
same time, for the throughput; it reads ``KIND SECONDS`` and prints how many pages it got.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

import httpx

from bench.figures import Figure, alternate, figure, ratio, timed
from bench.web_app import KINDS, PAGE, PAGES, URL, fill
from bench.world import World
from twinlock.agent.agent import Agent
from twinlock.agent.factors import DeviceKey
from twinlock.integrations.http_client import AgentAuth
from twinlock.server.setup import write_config

CLIENTS: Final = 2
WINDOW: Final = 3.0
"""Seconds for which all clients fetch one kind of page, before it is another kind's turn."""
COOKIES: Final = {"session": "bench"}


def web(world: World, rounds: int) -> dict[str, Figure]:
    """Measure; nothing without PostgreSQL."""
    url = os.environ.get(URL, "")
    if not url:
        return {}
    if not (world.folder / "twinlock.toml").exists():
        write_config(world.folder / "twinlock.toml", world.config)
    fill(world.vault, url)
    with _serving(world.folder) as server:
        found = _latency(world, server.base, rounds)
        return found | _throughput(world, server, max(3, rounds // 3))


def _latency(world: World, base: str, rounds: int) -> dict[str, Figure]:
    """One client, one page at a time: what the agent and the second round trip add."""
    with httpx.Client(auth=AgentAuth(world.agent), cookies=COOKIES, timeout=60) as client:
        fetch = _Fetch(client, base)
        for kind in KINDS:
            # Each page was looked at before, as in the course of a day.
            for _ in range(PAGES):
                fetch(kind)
        seen = alternate({kind: partial(timed, partial(fetch, kind)) for kind in KINDS}, rounds)
    added = {
        kind: [(a - b) * 1e3 for a, b in zip(seen[kind], seen["plain"], strict=True)]
        for kind in ("token-aes", "rsa-oaep")
    }
    return {
        "web.page50.added_ms": figure(added["token-aes"], "ms", "<= 50"),
        "web.page50.rsa_oaep.added_ms": figure(added["rsa-oaep"], "ms"),
        "web.page50.plain_ms": figure([s * 1e3 for s in seen["plain"]], "ms"),
    }


def _throughput(world: World, server: _Server, rounds: int) -> dict[str, Figure]:
    """Several clients at once on one worker: pages in a time, and the processor's part of it."""
    spent: dict[str, list[float]] = {kind: [] for kind in KINDS}
    with ExitStack() as stack:
        clients = [stack.enter_context(_client(world, n, server.base)) for n in range(CLIENTS)]

        def per_page(kind: str) -> float:
            before = server.cpu_seconds()
            pages = _together(clients, kind)
            spent[kind].append((server.cpu_seconds() - before) / pages)
            return WINDOW / pages

        seen = alternate({kind: partial(per_page, kind) for kind in KINDS}, rounds)
    return {
        "web.page50.throughput_ratio": ratio(seen, "plain", "token-aes", ">= 0.85"),
        "web.page50.rsa_oaep.throughput_ratio": ratio(seen, "plain", "rsa-oaep"),
        "web.page50.plain_pages_per_s": figure([1 / s for s in seen["plain"]], "pages/s"),
        "web.page50.server_cpu_ms": figure([s * 1e3 for s in spent["token-aes"][1:]], "ms"),
        "web.page50.rsa_oaep.server_cpu_ms": figure([s * 1e3 for s in spent["rsa-oaep"][1:]], "ms"),
        "web.page50.plain.server_cpu_ms": figure([s * 1e3 for s in spent["plain"][1:]], "ms"),
    }


class _Fetch:
    """Fetches pages, a different ward each time, and checks that what came is one."""

    def __init__(self, client: httpx.Client, base: str, ward: int = 0) -> None:
        self._client = client
        self._base = base
        self._ward = ward

    def __call__(self, kind: str) -> None:
        self._ward = (self._ward + 1) % PAGES
        page = self._client.get(f"{self._base}/{kind}/{self._ward}").raise_for_status().json()
        if len(page) != PAGE or not page[0]["diagnosis"].startswith("I48"):
            raise RuntimeError("the page does not show what it should")


@dataclass(frozen=True, slots=True)
class _Server:
    """The application's one worker."""

    process: subprocess.Popen[str]
    base: str

    def cpu_seconds(self) -> float:
        """Return the processor time that it took so far, in user and system mode (proc(5))."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextmanager
def _serving(folder: Path) -> Iterator[_Server]:
    command = [sys.executable, "-m", "bench.web_app", str(folder)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield _Server(process, f"http://127.0.0.1:{int(process.stdout.readline())}")
    finally:
        process.terminate()
        process.wait()


@contextmanager
def _client(world: World, number: int, base: str) -> Iterator[subprocess.Popen[str]]:
    """A client with an agent of its own, of the same member."""
    home = world.folder / f"client-{number}"
    home.mkdir()
    for name in ("weber.key", "weber.member"):
        shutil.copy(world.folder / name, home / name)
    command = [sys.executable, "-m", "bench.web", str(home), str(number), base]
    client = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        yield client
    finally:
        client.communicate("")


def _together(clients: Sequence[subprocess.Popen[str]], kind: str) -> int:
    for client in clients:
        assert client.stdin is not None
        client.stdin.write(f"{kind} {WINDOW}\n")
        client.stdin.flush()
    answers = [client.stdout.readline() for client in clients if client.stdout is not None]
    return sum(int(answer) for answer in answers)


def main(folder: str, number: str, base: str) -> None:
    """Fetch as told on standard input."""
    key = DeviceKey(Path(folder) / "weber.key")
    with (
        Agent.unlock("weber", key, budget_per_hour=10**9) as agent,
        httpx.Client(auth=AgentAuth(agent), cookies=COOKIES, timeout=60) as client,
    ):
        fetch: Any = _Fetch(client, base, int(number) * (PAGES // CLIENTS))
        for line in sys.stdin:
            kind, seconds = line.split()
            until, count = time.monotonic() + float(seconds), 0
            while time.monotonic() < until:
                fetch(kind)
                count += 1
            print(count, flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
