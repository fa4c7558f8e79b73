"""As on a network HSM: each PKCS#11 call takes a millisecond, and calls are counted from outside.

Runs in a process of its own, because a module is loaded once per process:

    python -m bench.network FOLDER SUITE RECORDS SESSIONS ROUNDS

FOLDER holds a deployment that the benchmark made. Prints one JSON object.
"""

from __future__ import annotations

import ctypes
import json
import os
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from bench.figures import Figure, figure
from bench.world import TOKEN_LABEL, World, timed_open
from twinlock.agent.agent import Agent
from twinlock.agent.factors import DeviceKey
from twinlock.core.context import Context
from twinlock.server.config import load_config
from twinlock.server.records import Stored
from twinlock.server.setup import write_config
from twinlock.server.vault import Vault

SHIM: Final = Path(__file__).parent.parent / "build" / "native" / "delay.so"
PAGE: Final = 50
SESSIONS: Final = 16
RTT_US: Final = 1000


@dataclass(frozen=True, slots=True)
class Run:
    """What one process measured: seconds per opening, and PKCS#11 calls per opening."""

    seconds: list[float]
    calls: list[int]


def calls_per_record(world: World, suite: str) -> Figure:
    """Count every PKCS#11 call of an opening of 100 records, from a shim in front of the token."""
    run = _run(world, suite, records=100, sessions=1, rounds=3, delay_us=0)
    return figure([calls / 100 for calls in run.calls], "calls", "<= 8")


def page_of_50(world: World, rounds: int) -> Figure:
    """Open a page of 50 records when each call takes a millisecond, with parallel sessions."""
    run = _run(world, "rsa-oaep", records=PAGE, sessions=SESSIONS, rounds=rounds, delay_us=RTT_US)
    return figure([s * 1e3 for s in run.seconds], "ms", "<= 120")


def _run(
    world: World, suite: str, *, records: int, sessions: int, rounds: int, delay_us: int
) -> Run:
    if not (world.folder / "twinlock.toml").exists():
        write_config(world.folder / "twinlock.toml", world.config)
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "bench.network",
            world.folder,
            suite,
            str(records),
            str(sessions),
            str(rounds),
        ],
        env=os.environ
        | {
            "TWINLOCK_SHIM_MODULE": os.environ.get(
                "TWINLOCK_SOFTHSM_MODULE", "/usr/lib/softhsm/libsofthsm2.so"
            ),
            "TWINLOCK_SHIM_DELAY_US": str(delay_us),
        },
        check=True,
        capture_output=True,
        text=True,
    )
    found = json.loads(done.stdout)
    return Run(found["seconds"], found["calls"])


def main(folder: str, suite: str, records: str, sessions: str, rounds: str) -> dict[str, Any]:
    """Measure in this process, through the shim."""
    config = load_config(Path(folder) / "twinlock.toml")
    uri = f"pkcs11:token={TOKEN_LABEL}?module-path={SHIM}"
    vault = Vault.connect(replace(config, sessions=int(sessions), token_uri=uri))
    key = DeviceKey(config.folder / "weber.key")
    agent = Agent.unlock("weber", key, budget_per_hour=10**9)
    world = World(config.folder, config, vault, agent, vault.group("bench"))
    items: list[tuple[Context, Stored]] = world.sealed(suite, int(records))
    counter = ctypes.CDLL(str(SHIM)).twinlock_shim_calls
    counter.restype = ctypes.c_ulong
    counter.argtypes = [ctypes.c_char_p]
    seconds, calls = [], []
    for _ in range(int(rounds) + 1):
        request = vault.request(items)
        release = agent.release(request)
        before = counter(None)
        seconds.append(timed_open(vault, request, release))
        calls.append(counter(None) - before)
    vault.close()
    return {"seconds": seconds[1:], "calls": calls[1:]}


if __name__ == "__main__":
    print(json.dumps(main(*sys.argv[1:])))
