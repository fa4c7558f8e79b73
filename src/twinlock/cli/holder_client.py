"""Starting a holder, and talking to it."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Final, cast

from twinlock.cli.holder import Job
from twinlock.cli.holder_wire import (
    connect,
    error_of,
    raise_error,
    read_frame,
    run_folder,
    socket_name,
    write_frame,
)
from twinlock.cli.sealed_files import FILE_COLUMN, FILE_TABLE
from twinlock.core.context import decode_context
from twinlock.core.request import RequestMessage, decode_bundle, decode_request
from twinlock.core.statements import CLOCK_SKEW
from twinlock.errors import DataError, EnvError, TwinlockError

_PATIENCE: Final = 300.0


@dataclass(frozen=True, slots=True)
class Ready:
    """A request that somebody holds: its bundle, how many rows it asks for, how many not."""

    bundle: bytes
    rows: int
    missing: int


@dataclass(frozen=True, slots=True)
class OpenedRow:
    """A row that a holder opened, or the reason why not."""

    record_id: bytes
    version: int | None
    columns: tuple[str, ...]
    error: TwinlockError | None
    values: dict[str, bytes]
    plain: dict[str, str]


def start(job: Job) -> Ready:
    """Start a holder for ``job`` and wait until the request is ready.

    Raises what making the request raises, EnvError ``holder.failed``.
    """
    debug = os.environ.get("TWINLOCK_DEBUG") == "1"
    with subprocess.Popen(
        [sys.executable, "-m", "twinlock.cli.holder"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=None if debug else subprocess.DEVNULL,
        start_new_session=True,
    ) as process:
        if process.stdin is None or process.stdout is None:
            raise _failed()
        try:
            write_frame(cast(BinaryIO, process.stdin), job.items())
            frame = read_frame(cast(BinaryIO, process.stdout))
        except BrokenPipeError as error:
            raise _failed() from error
    if frame is None:
        raise _failed()
    raise_error(frame)
    _, bundle, rows, missing = frame
    return Ready(bundle, rows, missing)


def message_of(request: bytes) -> RequestMessage:
    """Return what a request file asks. Raises ``format.*``."""
    return decode_request(decode_bundle(request).request)


@contextmanager
def _talking(config: Path, request: bytes) -> Iterator[BinaryIO]:
    message = message_of(request)
    client = connect(run_folder(config), socket_name(message.request_id))
    if client is None:
        raise _gone(message)
    with client:
        client.settimeout(_PATIENCE)
        with client.makefile("rwb") as stream:
            yield cast(BinaryIO, stream)


def assist(config: Path, request: bytes, hello: bytes) -> bytes:
    """Ask a request's holder for the bundle with which another member can help."""
    with _talking(config, request) as stream:
        write_frame(stream, ["assist", hello])
        return cast(bytes, _next(stream)[1])


def is_about_file(request: bytes) -> bool:
    """Tell whether a request asks for a sealed file. Raises ``format.*``."""
    first = decode_context(message_of(request).items[0].context)
    return (first.table, first.scope) == (FILE_TABLE, FILE_COLUMN)


def table_of(request: bytes) -> str:
    """Return the table that a request's rows are of. Raises ``format.*``."""
    return decode_context(message_of(request).items[0].context).table


def open_file(config: Path, request: bytes, release: bytes, destination: Path) -> None:
    """Have a request's holder open its file to a path."""
    with _talking(config, request) as stream:
        write_frame(stream, ["open", release, str(destination.absolute())])
        _next(stream)


def open_rows(config: Path, request: bytes, release: bytes) -> Iterator[OpenedRow]:
    """Have a request's holder open its rows; yields them as they come."""
    with _talking(config, request) as stream:
        write_frame(stream, ["open", release, None])
        _, count, columns = _next(stream)
        for _ in range(count):
            _, record_id, version, error, values, plain = _next(stream)
            yield OpenedRow(
                record_id, version, tuple(columns), error_of(error), dict(values), dict(plain)
            )


def _next(stream: BinaryIO) -> list[Any]:
    try:
        frame = read_frame(stream)
    except OSError as error:
        raise _silent() from error
    if frame is None:
        raise _silent()
    raise_error(frame)
    return frame


def _gone(message: RequestMessage) -> TwinlockError:
    if time.time() > message.not_after + CLOCK_SKEW:
        return DataError(
            "request.expired",
            "This request's time is over.",
            hint="Run `twinlock request` again; a request lives for two minutes.",
        )
    return EnvError(
        "holder.gone",
        "Nobody holds this request any more: it was opened, its time is over, or it was asked "
        "on another machine.",
        hint="Run `twinlock request` again, on this machine and with this configuration.",
    )


def _silent() -> EnvError:
    return EnvError(
        "holder.silent",
        "The request's holder ended while it was answering.",
        hint="Run `twinlock request` again.",
        retryable=True,
    )


def _failed() -> EnvError:
    return EnvError(
        "holder.failed",
        "The process that should hold the request did not start.",
        hint="Run `twinlock request --foreground` to see why.",
    )
