"""Workers as processes, each with its own connections to token and database.

A worker keeps nothing that is not in the rows. It ends with its parent: the pipe between them
breaks when the parent is killed, and an uncommitted batch is rolled back by the database.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Final

from twinlock.adopt.batches import BatchAdopter
from twinlock.adopt.jobs import Counts, Finding
from twinlock.adopt.locksmiths import locksmith
from twinlock.adopt.passes import Pace, Passes, Report
from twinlock.adopt.reading import load_adoption
from twinlock.adopt.settings import Mode
from twinlock.adopt.site import Site, open_site
from twinlock.core.secret import Secret
from twinlock.errors import EnvError, TwinlockError
from twinlock.server.config import Config
from twinlock.server.pins import FilePins
from twinlock.server.setup import connect_token, read_writer_key
from twinlock.server.vault import Vault
from twinlock.store.sql import SqlStore

LANES: Final = 2
"""Threads of a worker: one waits for the token while the other does the rest."""
_SWITCH_SECONDS: Final = 0.00005
"""A lane that comes back from the token gets the interpreter after this at the latest, not the 5 ms
of the default: that is ten private-key operations, and a row has eight calls."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What one worker does. Holds no secret: it is sent to the worker's process."""

    config: Config
    adoption: Path
    table: str
    mode: Mode
    batch: int
    rate: float | None
    limit: int | None
    allow_host_dek: bool
    lanes: int = LANES


def work(job: Job, site: Site, report: Report, stop: threading.Event) -> None:
    """Do a job in this process. Raises CallerError or EnvError; what is committed stays."""
    site.use_legacy(allow_host_dek=job.allow_host_dek)
    table = site.table(job.table)
    smith = locksmith(
        site.vault,
        table,
        site.keys,
        job.mode,
        site.adoption.suite,
        allow_host_dek=job.allow_host_dek,
    )
    passes = Passes(
        BatchAdopter(site.database, table, job.mode, smith),
        report,
        lanes=job.lanes,
        batch=job.batch,
        pace=Pace(job.rate),
        limit=job.limit,
        stop=stop,
    )
    before = sys.getswitchinterval()
    sys.setswitchinterval(_SWITCH_SECONDS)
    try:
        passes.run()
    finally:
        sys.setswitchinterval(before)


def work_in_processes(jobs: Sequence[Job], report: Report, *, pin: Secret | None = None) -> None:
    """Do jobs side by side, one process each. Raises the first worker's error, after all ended."""
    context = get_context("spawn")
    workers: dict[Connection, BaseProcess] = {}
    try:
        for job in jobs:
            ours, theirs = context.Pipe()
            process = context.Process(target=_worker, args=(job, theirs), daemon=True)
            process.start()
            theirs.close()
            workers[ours] = process
            ours.send_bytes(b"" if pin is None else pin.reveal())
        failure = _listen(workers, report)
    finally:
        _end(workers)
    if failure is not None:
        raise failure


def _listen(workers: dict[Connection, BaseProcess], report: Report) -> BaseException | None:
    """Pass on what workers report until all ended; the first failure stops the others."""
    talking, failure = set(workers), None
    while talking:
        ready = wait(list(talking))
        for channel in [one for one in talking if one in ready]:
            said = _receive(channel)
            if isinstance(said, tuple):
                report(*said)
                continue
            talking.discard(channel)
            if said is not None and failure is None:
                failure = said
                for other in talking:
                    _tell_to_stop(other)
    return failure


def _receive(channel: Connection) -> tuple[Counts, Sequence[Finding]] | BaseException | None:
    try:
        said: tuple[Counts, Sequence[Finding]] | BaseException | None = channel.recv()
    except (EOFError, OSError):
        return EnvError(
            "adopt.worker-died",
            "A worker process ended without a word; what it had committed is done.",
            hint="Look for the reason in the system's log, and start the run again.",
            retryable=True,
        )
    return said


def _tell_to_stop(channel: Connection) -> None:
    with suppress(OSError):
        channel.send("stop")


def _end(workers: dict[Connection, BaseProcess]) -> None:
    for channel in workers:
        _tell_to_stop(channel)
    for channel, process in workers.items():
        process.join()
        channel.close()


# --- in the worker's process ---------------------------------------------------------------------


def _worker(job: Job, channel: Connection) -> None:
    # The parent decides what an interrupt means; it reaches the whole group.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    stop = threading.Event()
    given = channel.recv_bytes()
    threading.Thread(target=_obey, args=(channel, stop), daemon=True).start()
    channel.send(_outcome(job, channel, stop, Secret(given) if given else None))


def _outcome(
    job: Job, channel: Connection, stop: threading.Event, pin: Secret | None
) -> TwinlockError | None:
    def report(counts: Counts, findings: Sequence[Finding]) -> None:
        channel.send((counts, findings))

    try:
        adoption = load_adoption(job.adoption)
        with (
            _vault(job.config, pin) as vault,
            open_site(adoption, vault, [job.table], connections=job.lanes + 1) as site,
        ):
            work(job, site, report, stop)
    except TwinlockError as error:
        return error
    except Exception as error:  # noqa: BLE001 - the border of the process
        return EnvError(
            "adopt.worker-failed",
            f"A worker process failed: {type(error).__name__}.",
            hint="A fault of Twinlock or of a LegacyLayout: run with --workers 1 to see it.",
        )
    return None


def _vault(config: Config, pin: Secret | None) -> Vault:
    return Vault(
        config,
        SqlStore.connect(config.store_url),
        lambda: connect_token(config, ask_pin=None if pin is None else lambda: pin),
        pins=FilePins(config.pins),
        writer=read_writer_key(config.writer_key),
    )


def _obey(channel: Connection, stop: threading.Event) -> None:
    """Stop when the parent says so; end at once when it is gone."""
    try:
        channel.recv()
    except (EOFError, OSError):
        os._exit(1)
    stop.set()
