"""How fast rows are adopted: against one RSA decryption a row, and with two workers.

A row has one DEK, one column and one way in. The floor is what no rewrap can do without: one
private-key operation of the old key, on the same token, over the same direct calls.
"""

from __future__ import annotations

import hashlib
import os
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Final

from bench.figures import Figure, Round, alternate, figure, ratio, timed
from bench.legacy import ADOPT_TOML, OldApplication, begin, make_old_key
from bench.network import RTT_US, SHIM
from bench.world import TOKEN_LABEL, World, another_vault
from twinlock.adopt.jobs import Counts
from twinlock.adopt.migration import execute, expand
from twinlock.adopt.processes import LANES, Job, work, work_in_processes
from twinlock.adopt.reading import load_adoption
from twinlock.adopt.settings import Mode
from twinlock.adopt.site import Site, open_site
from twinlock.core.membership import ColumnState
from twinlock.server.config import Config
from twinlock.server.vault import Vault
from twinlock.token.pkcs11_token import Pkcs11Token
from twinlock.token.structures import rsa_oaep

URL: Final = "TWINLOCK_TEST_POSTGRES_URL"
SESSIONS: Final = 8
ROWS: Final = 1500
"""Rows of a round."""
WORKER_ROWS: Final = 2000
"""Rows that each worker of a round adopts."""
SLOW_ROWS: Final = 400
"""The same where each call takes a millisecond."""


@dataclass(frozen=True)
class Adopting:
    """A site to measure on, with the old application that makes its rows."""

    site: Site
    old: OldApplication
    config: Config

    def fresh(self, rows: int) -> None:
        """Have ``rows`` legacy rows there, and no others."""
        with begin(self.old.url) as connection:
            connection.exec_driver_sql("TRUNCATE patients")
        self.old.insert_with(2, rows)

    def job(self, rows: int | None, lanes: int = LANES) -> Job:
        """Return the job of one worker."""
        return Job(
            config=self.config,
            adoption=self.site.adoption.path,
            table=self.site.tables[0].name,
            mode=Mode.REWRAP,
            batch=100,
            rate=None,
            limit=rows,
            allow_host_dek=False,
            lanes=lanes,
        )


def adoption_speed(world: World, rounds: int) -> dict[str, Figure]:
    """Measure; nothing without PostgreSQL."""
    url = os.environ.get(URL, "")
    if not url:
        return {}
    with (
        another_vault(world, sessions=SESSIONS) as vault,
        _adopting(world, vault, url) as adopting,
    ):
        found = _against_floor(adopting, vault, rounds)
        found |= _two_workers(adopting, max(3, rounds // 8))
    return found


@contextmanager
def _adopting(world: World, vault: Vault, url: str) -> Iterator[Adopting]:
    """Make the old application's key, table and ``adopt.toml`` in the world's folder."""
    folder = world.folder / "adoption"
    folder.mkdir()
    key_id = os.urandom(6)
    token = vault.token
    assert isinstance(token, Pkcs11Token)
    old = OldApplication(url, make_old_key(token, key_id))
    (folder / "old-key.pem").write_bytes(old.public_pem)
    text = ADOPT_TOML.format(
        url=url,
        authority="bench",
        key_id=key_id.hex(),
        everywhere="bench",
        first="bench",
        second="bench",
    )
    # One way in and one column, as wherever else records are measured here.
    text = text.replace('groups = ["{ward}", "bench"]', 'groups = "bench"')
    text = text[: text.rindex("  [[tables.columns]]")]
    (folder / "adopt.toml").write_text(text.replace('"patient"', '"adoption-speed"'))
    old.create_table()
    adoption = load_adoption(folder / "adopt.toml")
    try:
        with open_site(adoption, vault) as site, site.database.write() as connection:
            execute(connection, expand(connection, site.tables, postgresql=True))
        allow(world, vault, "adoption-speed", ["diagnosis"])
        with open_site(adoption, vault, connections=LANES + 2) as site:
            yield Adopting(site, old, vault.config)
    finally:
        old.drop_table()


def allow(world: World, vault: Vault, table: str, columns: Sequence[str]) -> None:
    """Have the world's member sign that legacy values may be read."""
    for column in columns:
        world.agent.follow(vault.group_bundle(world.agent.hello()))
        vault.append(
            world.agent.admin.set_column(world.group.group_id, table, column, ColumnState.LEGACY)
        )
    world.agent.follow(vault.group_bundle(world.agent.hello()))


def _against_floor(adopting: Adopting, vault: Vault, rounds: int) -> dict[str, Figure]:
    """One worker in this process, with its lanes, beside as many bare decryptions."""
    adopting.fresh((rounds + 2) * 2 * ROWS)
    with begin(adopting.old.url) as connection:
        found = connection.exec_driver_sql(f"SELECT wrapped_dek FROM patients LIMIT {ROWS}")
        blocks = [bytes(row[0]) for row in found]
    spent: dict[str, list[float]] = {"adopt": [], "floor": []}
    seen = alternate(
        {
            "adopt": partial(_spending, spent["adopt"], partial(_round, adopting, LANES)),
            "one lane": partial(_round, adopting, 1),
            "floor": partial(
                _spending,
                spent["floor"],
                partial(_decrypt_all, adopting.site, vault, blocks),
            ),
        },
        rounds,
    )
    # Processor time of this process, which says the same on a busy machine; without the database.
    processor = {name: [s * 1e6 / ROWS for s in times[1:]] for name, times in spent.items()}
    return {
        "adopt.rewrap.vs_floor": ratio(seen, "floor", "adopt", ">= 0.8"),
        "adopt.rewrap.one_lane.vs_floor": ratio(seen, "floor", "one lane"),
        "adopt.rewrap.us_per_row": figure([s * 1e6 / ROWS for s in seen["adopt"]], "us"),
        "adopt.floor.us_per_row": figure([s * 1e6 / ROWS for s in seen["floor"]], "us"),
        "adopt.rewrap.cpu_us_per_row": figure(processor["adopt"], "us"),
        "adopt.floor.cpu_us_per_row": figure(processor["floor"], "us"),
    }


def _spending(spent: list[float], work: Round) -> float:
    """Note the processor time that a round takes."""
    began = time.process_time()
    seconds = work()
    spent.append(time.process_time() - began)
    return seconds


def _round(adopting: Adopting, lanes: int) -> float:
    adopted = [0]

    def report(counts: Counts, _findings: Sequence[Any]) -> None:
        adopted[0] += counts.adopted

    job = adopting.job(ROWS, lanes)
    seconds = timed(lambda: work(job, adopting.site, report, threading.Event()))
    if adopted[0] != ROWS:
        raise RuntimeError(f"a round adopted {adopted[0]} rows")
    return seconds


def _decrypt_all(site: Site, vault: Vault, blocks: Sequence[bytes]) -> float:
    """C_DecryptInit and C_Decrypt with the old key, for each row's block."""
    token = vault.token
    assert isinstance(token, Pkcs11Token)
    [key] = site.keys.values()
    mechanism = rsa_oaep(key.oaep_hash, key.mgf, key.oaep_label)
    with token.pool.main() as login:
        handle = token._legacy.held(login, key).handle
    with token.pool.working() as calls:
        return timed(lambda: [calls.decrypt(mechanism, handle, block) for block in blocks])


def _two_workers(adopting: Adopting, rounds: int) -> dict[str, Figure]:
    """Two worker processes against one; and the same where each token call takes a millisecond.

    Beside it what the machine gives two processors' worth of plain hashing at that time.
    """
    rates: dict[str, list[float]] = {}
    slow = replace(adopting.config, token_uri=f"pkcs11:token={TOKEN_LABEL}?module-path={SHIM}")
    module = os.environ.get("TWINLOCK_SOFTHSM_MODULE", "/usr/lib/softhsm/libsofthsm2.so")
    os.environ |= {"TWINLOCK_SHIM_MODULE": module, "TWINLOCK_SHIM_DELAY_US": str(RTT_US)}
    for _ in range(rounds):
        for name, config, lanes, rows in (
            ("fast", adopting.config, LANES, WORKER_ROWS),
            ("one lane", adopting.config, 1, WORKER_ROWS),
            ("slow", slow, LANES, SLOW_ROWS),
        ):
            for workers in (1, 2):
                adopting.fresh(rows * workers)
                job = replace(adopting.job(rows, lanes), config=config)
                rates.setdefault(f"{name} {workers}", []).append(_rate([job] * workers))
        one, two = 2 * timed(_hash), _together(2)
        rates.setdefault("machine", []).append(one / two)

    def speedup(name: str, target: str = "") -> Figure:
        pairs = zip(rates[f"{name} 2"], rates[f"{name} 1"], strict=True)
        return figure([two / one for two, one in pairs], "ratio", target)

    return {
        "adopt.workers2_speedup": speedup("fast", ">= 1.8"),
        "adopt.one_lane.workers2_speedup": speedup("one lane"),
        "adopt.rtt1ms.workers2_speedup": speedup("slow"),
        "adopt.machine2_speedup": figure(rates["machine"], "ratio"),
    }


def _rate(jobs: Sequence[Job]) -> float:
    """Rows a second once every worker has begun: starting a process is not what is measured."""
    reports: list[tuple[float, int]] = []

    def report(counts: Counts, _findings: Sequence[Any]) -> None:
        reports.append((time.perf_counter(), counts.adopted))

    work_in_processes(jobs, report)
    # The workers start one after another, and do not end together: the middle half counts.
    first, last = len(reports) // 4, 3 * len(reports) // 4
    rows = sum(adopted for _, adopted in reports[first + 1 : last + 1])
    return rows / (reports[last][0] - reports[first][0])


def _hash() -> None:
    hashlib.pbkdf2_hmac("sha256", b"bench", b"bench", 200_000)


def _together(count: int) -> float:
    threads = [threading.Thread(target=_hash) for _ in range(count)]

    def run() -> None:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    return timed(run)
