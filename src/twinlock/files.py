"""Files of agents and servers: written whole or not at all, readable by their owner only."""

from __future__ import annotations

import fcntl
import os
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from twinlock.errors import CallerError, EnvError


def read_private(path: Path, *, max_size: int) -> bytes:
    """Read a file of at most ``max_size`` bytes.

    Raises CallerError ``file.missing``, EnvError ``file.unreadable``.
    """
    try:
        with path.open("rb") as file:
            # A read of a size sets that much memory aside first, so it is the file's, not the cap.
            status = os.fstat(file.fileno())
            expected = status.st_size if stat.S_ISREG(status.st_mode) else max_size
            data = file.read(min(expected, max_size) + 1)
    except FileNotFoundError as error:
        raise CallerError(
            "file.missing", f"There is no file {path.name}.", hint=f"Looked in {path.parent}."
        ) from error
    except OSError as error:
        raise EnvError(
            "file.unreadable", f"{path.name} cannot be read.", hint="Check its permissions."
        ) from error
    if len(data) > max_size:
        raise CallerError(
            "file.too-large",
            f"{path.name} is too large to be what it should be.",
            hint="Check that it is the right file.",
        )
    return data


def write_private(path: Path, data: bytes, *, exclusive: bool = False) -> None:
    """Write a file with mode 0600, atomically; ``exclusive`` refuses to replace one.

    Raises CallerError ``file.exists``, EnvError ``file.unwritable``.
    """
    if exclusive and path.exists():
        raise CallerError(
            "file.exists", f"{path.name} exists already.", hint="Choose another name or move it."
        )
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise EnvError(
            "file.unwritable",
            f"{path.parent} cannot be made.",
            hint="Check the permissions of the folder above it.",
        ) from error
    with whole_file(path) as file:
        file.write(data)
    _sync_folder(path.parent)


@contextmanager
def whole_file(destination: Path) -> Iterator[BinaryIO]:
    """Write beside the destination, mode 0600; it is renamed only when the block succeeds.

    Raises EnvError ``file.unwritable``.
    """
    temporary: Path | None = None
    try:
        handle, name = tempfile.mkstemp(dir=destination.parent, prefix=f".{destination.name}.")
        temporary = Path(name)
        with os.fdopen(handle, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(destination)
    except OSError as error:
        raise EnvError(
            "file.unwritable",
            f"{destination} cannot be written.",
            hint="Check the folder's permissions and free space; nothing was changed.",
        ) from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold an exclusive lock beside ``path``: two processes take turns."""
    lock = path.with_name(f".{path.name}.lock")
    lock.parent.mkdir(parents=True, exist_ok=True)
    with lock.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
