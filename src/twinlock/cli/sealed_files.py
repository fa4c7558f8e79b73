"""Sealed files: under which name, and sealing one in constant memory."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, Final

from twinlock.cli.csv_source import nfc
from twinlock.cli.server_side import vault
from twinlock.cli.terminal import Advance, Terminal, done, next_steps
from twinlock.cli.ways import Ways
from twinlock.core.context import Context
from twinlock.errors import CallerError, EnvError

FILE_TABLE: Final = "file"
FILE_COLUMN: Final = "content"
SEALED_SUFFIX: Final = ".twl"
_CHUNK: Final = 1 << 16


def file_context(name: str) -> Context:
    """Return the context of a sealed file."""
    return Context(table=FILE_TABLE, column=FILE_COLUMN, record=nfc(name))


def file_name_of(sealed: Path) -> str:
    """Return what a sealed file is called when nobody says otherwise."""
    return sealed.name.removesuffix(SEALED_SUFFIX)


def seal_file(
    terminal: Terminal,
    file: Path,
    output: Path | None,
    name: str | None,
    ways: Ways,
    suite: str | None,
    force: bool,
) -> None:
    """Seal a file, or stdin, into a file. Raises ``seal.stdin``, ``file.*`` and like a vault."""
    from_stdin = str(file) == "-"
    if from_stdin and (name is None or output is None):
        raise CallerError(
            "seal.stdin", "What comes from stdin has no name.", hint="Give --name and -o FILE."
        )
    record = nfc(name or file.name)
    target = output or file.with_name(file.name + SEALED_SUFFIX)
    require_free(target, force=force)
    began = time.monotonic()
    size = None if from_stdin else _size(file)
    counted = [0]
    with vault(terminal) as opened, terminal.progress(record, size, of_bytes=True) as advance:

        def count(amount: int) -> None:
            counted[0] += amount
            advance(amount)

        chunks = _chunks(file, count)
        opened.seal_file(
            chunks, target, to=ways.of(opened), context=file_context(record), suite=suite
        )
    seconds = time.monotonic() - began
    data: dict[str, Any] = {
        "output": str(target),
        "record": record,
        "bytes": counted[0],
        "sealed_bytes": target.stat().st_size,
        "seconds": round(seconds, 3),
        "to": str(ways),
    }
    naming = "" if file_name_of(target) == record else f" --name {record}"
    terminal.result(
        data,
        done(f"Sealed {record} for {ways}: {counted[0]:,} bytes in {seconds:.1f} s, in {target}."),
        next_steps(f"twinlock open {target} --as MEMBER -o FILE{naming}"),
    )


def require_free(path: Path, *, force: bool) -> None:
    """Refuse to replace a file that nobody said may go. Raises ``file.exists``."""
    if path.exists() and not force:
        raise CallerError(
            "file.exists", f"{path} exists already.", hint="Choose another name, or give --force."
        )


def _size(file: Path) -> int:
    if not file.exists():
        raise CallerError("file.missing", f"There is no file {file}.", hint="Check the name.")
    return file.stat().st_size


def _chunks(file: Path, count: Advance) -> Iterator[bytes]:
    if str(file) == "-":
        yield from _read(sys.stdin.buffer, count)
        return
    try:
        with file.open("rb") as source:
            yield from _read(source, count)
    except OSError as error:
        raise EnvError(
            "file.unreadable", f"{file} cannot be read.", hint="Check its permissions."
        ) from error


def _read(source: BinaryIO, count: Advance) -> Iterator[bytes]:
    while chunk := source.read(_CHUNK):
        count(len(chunk))
        yield chunk
