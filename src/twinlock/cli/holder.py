"""The process that holds a request: its transport key lives and dies with it.

    python -m twinlock.cli.holder      reads one job from stdin, answers on stdout, then serves

It ends by itself when the request was opened or its time is over. The job comes through a pipe, so
that a PIN that was asked for stands in no argument and no environment.
"""

from __future__ import annotations

import os
import socket
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Final, cast

from twinlock.cli.holder_wire import (
    error_frame,
    listen,
    read_frame,
    run_folder,
    socket_name,
    unexpected,
    write_frame,
)
from twinlock.cli.records import PAGE, Selection, asked, columns_of, unprotected
from twinlock.cli.sealed_files import file_context
from twinlock.cli.server_side import configuration, open_vault
from twinlock.cli.terminal import Terminal
from twinlock.core.request import MAX_REQUEST_LIFE, decode_bundle, decode_request
from twinlock.core.secret import Secret
from twinlock.errors import CallerError, DataError, TwinlockError

if TYPE_CHECKING:
    from twinlock.core.context import Context
    from twinlock.server.records import Stored
    from twinlock.server.requests import Request
    from twinlock.server.vault import Vault
    from twinlock.store.values import SealedRow

_PATIENCE: Final = 60.0
"""Seconds that one client may take."""


@dataclass(frozen=True, slots=True)
class Job:
    """What to ask whom for. ``wait``: seconds to hold the request, at most its life.

    ``file`` and ``name``: a sealed file and its record name; else ``selection`` says which rows.
    """

    config: Path
    hello: bytes
    purpose: str
    wait: int = MAX_REQUEST_LIFE
    selection: Selection | None = None
    file: Path | None = None
    name: str = ""
    pin: Secret | None = None

    def items(self) -> list[Any]:
        """Return the job as a frame."""
        chosen = self.selection
        rows = None
        if chosen is not None:
            ids = None if chosen.ids is None else list(chosen.ids)
            columns = None if chosen.columns is None else list(chosen.columns)
            rows = [chosen.table, ids, chosen.limit, chosen.after, columns]
        return [
            str(self.config),
            self.hello,
            self.purpose,
            self.wait,
            rows,
            None if self.file is None else str(self.file),
            self.name,
            None if self.pin is None else self.pin.reveal(),
        ]


def job_of(frame: list[Any]) -> Job:
    """Return the job of a frame."""
    config, hello, purpose, wait, rows, file, name, pin = frame
    selection = None
    if rows is not None:
        table, ids, limit, after, columns = rows
        selection = Selection(
            table,
            None if ids is None else tuple(ids),
            limit,
            after,
            None if columns is None else tuple(columns),
        )
    return Job(
        Path(config),
        hello,
        purpose,
        wait,
        selection,
        None if file is None else Path(file),
        name,
        None if pin is None else Secret(pin),
    )


@dataclass(slots=True)
class Held:
    """A request, bound to its member, and what was asked for in it."""

    vault: Vault
    request: Request
    bundle: bytes
    columns: tuple[str, ...]
    rows: list[SealedRow]
    """The rows of the request, by position; empty for a file."""
    missing: list[tuple[SealedRow, DataError]]
    """Rows that could not even be asked for."""

    @property
    def request_id(self) -> bytes:
        """The request's id, which names the socket."""
        return decode_request(decode_bundle(self.bundle).request).request_id


def hold(job: Job, ready: Callable[[Held], None]) -> None:
    """Make the request, tell that it is ready, and serve until it was opened or its time is over.

    Raises what making the request raises; nothing after ``ready``.
    """
    terminal = Terminal(config=job.config, json=True)
    vault = open_vault(configuration(terminal), terminal, pin=job.pin)
    try:
        held = _ask(vault, job)
        folder, name = run_folder(job.config), socket_name(held.request_id)
        with listen(folder, name) as listening:
            try:
                ready(held)
                _serve(held, listening, time.monotonic() + min(job.wait, MAX_REQUEST_LIFE))
            finally:
                (folder / name).unlink(missing_ok=True)
    finally:
        vault.close()


def _ask(vault: Vault, job: Job) -> Held:
    items: list[tuple[Context, Stored]] = []
    rows: list[SealedRow] = []
    missing: list[tuple[SealedRow, DataError]] = []
    columns: tuple[str, ...] = ()
    if job.file is not None:
        from twinlock.server.records import SealedFile

        items.append((file_context(job.name), SealedFile(job.file)))
    elif job.selection is not None:
        found = list(islice(job.selection.rows(vault.store), PAGE + 1))
        columns = columns_of(job.selection, found[0] if found else None)
        for row in found:
            item = asked(job.selection.table, row, columns)
            if isinstance(item, DataError):
                missing.append((row, item))
            else:
                items.append(item)
                rows.append(row)
        if missing and not items:
            raise missing[0][1]
    request = vault.request(items, purpose=job.purpose)
    return Held(vault, request, request.bind(job.hello), columns, rows, missing)


# --- serving -------------------------------------------------------------------------------------


def _serve(held: Held, listening: socket.socket, until: float) -> None:
    while (left := until - time.monotonic()) > 0:
        listening.settimeout(left)
        try:
            client, _ = listening.accept()
        except TimeoutError:
            return
        with client:
            client.settimeout(_PATIENCE)
            if _answer(held, client):
                return


def _answer(held: Held, client: socket.socket) -> bool:
    """Answer one client; True when the request was opened, so that nothing is left to hold."""
    with client.makefile("rwb") as buffered:
        stream = cast(BinaryIO, buffered)
        try:
            frame = read_frame(stream)
            if frame is None:
                return False
            return _do(held, frame, stream)
        except (OSError, ValueError):
            return False
        except Exception as failure:  # noqa: BLE001 - the border: the client is told
            write_frame(stream, error_frame(unexpected(failure)))
            return False


def _do(held: Held, frame: list[Any], stream: BinaryIO) -> bool:
    match frame:
        case ["assist", bytes() as hello]:
            write_frame(stream, ["assist", held.request.assist(hello, held.bundle)])
            return False
        case ["open", bytes() as release, None] if held.rows:
            _open_rows(held, release, stream)
            return True
        case ["open", bytes() as release, str() as destination] if not held.rows:
            held.vault.open_file(held.request, release, destination)
            write_frame(stream, ["file"])
            return True
    raise CallerError(
        "holder.unknown-act",
        "The request's holder does not know what it was asked to do.",
        hint="Use the same version of Twinlock for `request` and `open`.",
    )


def _open_rows(held: Held, release: bytes, stream: BinaryIO) -> None:
    opened = held.vault.open(held.request, release)
    count = len(opened) + len(held.missing)
    write_frame(stream, ["rows", count, list(held.columns)])
    for row, item in zip(held.rows, opened, strict=True):
        values = [] if item.error else [[c, item.data(c).reveal()] for c in item.columns]
        write_frame(stream, _record(held, row, item.error, values))
    for row, error in held.missing:
        write_frame(stream, _record(held, row, error, []))


def _record(
    held: Held, row: SealedRow, error: TwinlockError | None, values: list[Any]
) -> list[Any]:
    said = None if error is None else error_frame(error)
    plain = [list(item) for item in unprotected(row, held.columns).items()]
    return ["record", row.record_id, row.version, said, values, plain]


# --- the process ---------------------------------------------------------------------------------


def main() -> None:
    """Run one job, detached from whoever started it."""
    if os.fork():
        # The starter waits for this process only; the child has done nothing with PKCS#11 yet.
        os._exit(0)
    answer = sys.stdout.buffer
    told: list[bool] = []

    def ready(held: Held) -> None:
        write_frame(answer, ["ready", held.bundle, len(held.rows), len(held.missing)])
        told.append(True)
        _let_go()

    try:
        frame = read_frame(sys.stdin.buffer)
        if frame is not None:
            hold(job_of(frame), ready)
    except BaseException as failure:  # noqa: BLE001 - the border: the starter is told
        if os.environ.get("TWINLOCK_DEBUG") == "1":
            traceback.print_exc()
        if not told:
            write_frame(answer, error_frame(unexpected(failure)))
    sys.exit(0)


def _let_go() -> None:
    """Leave the starter's streams, so that nobody waits for them."""
    nothing = os.open(os.devnull, os.O_RDWR)
    streams = (0, 1) if os.environ.get("TWINLOCK_DEBUG") == "1" else (0, 1, 2)
    for stream in streams:
        os.dup2(nothing, stream)
    os.close(nothing)


if __name__ == "__main__":
    main()
