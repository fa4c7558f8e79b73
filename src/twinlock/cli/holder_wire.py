"""What passes between the command line and the process that holds a request.

A frame is four bytes of length, big-endian, and a CBOR array whose first element says what it is.
Any answer may be ``["error", family, code, message, hint, retryable]``.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Any, BinaryIO, Final

from twinlock.core import cbor
from twinlock.errors import CallerError, DataError, EnvError, TwinlockError

MAX_FRAME: Final = 128 << 20
RUN_VARIABLE: Final = "TWINLOCK_RUN_DIR"
_LENGTH: Final = 4
_FAMILIES: Final = MappingProxyType({"caller": CallerError, "data": DataError, "env": EnvError})


def write_frame(stream: BinaryIO, items: list[Any]) -> None:
    """Write one frame."""
    data = cbor.encode(items)
    if len(data) > MAX_FRAME:
        raise EnvError(
            "holder.frame",
            "A record is too large for the request's holder.",
            hint="Open it in one step, with `twinlock open --as MEMBER`.",
        )
    stream.write(len(data).to_bytes(_LENGTH, "big") + data)
    stream.flush()


def read_frame(stream: BinaryIO) -> list[Any] | None:
    """Read one frame; None at the end of the stream. Raises ``holder.frame`` or ``format.*``."""
    size = stream.read(_LENGTH)
    if not size:
        return None
    length = int.from_bytes(size, "big")
    data = b"" if length > MAX_FRAME else stream.read(length)
    if len(size) != _LENGTH or len(data) != length:
        raise EnvError(
            "holder.frame",
            "The request's holder and this command do not understand each other.",
            hint="Run `twinlock request` again with the same version of Twinlock.",
        )
    return cbor.decode(data, max_size=MAX_FRAME)


def error_frame(error: TwinlockError) -> list[Any]:
    """Return the frame that carries an error."""
    family = next((n for n, f in _FAMILIES.items() if isinstance(error, f)), "env")
    retryable = isinstance(error, EnvError) and error.retryable
    return ["error", family, error.code, error.message, error.hint, retryable]


def unexpected(failure: BaseException) -> TwinlockError:
    """Return what is said of a fault of our own; its text may quote data and is not shown."""
    if isinstance(failure, TwinlockError):
        return failure
    return EnvError(
        "internal.unexpected",
        f"Internal error in the request's holder: {type(failure).__name__}.",
        hint="This is a fault of Twinlock. Run `twinlock request --foreground` with "
        "TWINLOCK_DEBUG=1 and report the trace.",
    )


def raise_error(frame: list[Any]) -> None:
    """Raise the error that a frame carries, if it carries one."""
    error = error_of(frame)
    if error is not None:
        raise error


def error_of(frame: list[Any] | None) -> TwinlockError | None:
    """Return the error that a frame carries."""
    if not frame or frame[0] != "error":
        return None
    _, family, code, message, hint, retryable = frame
    if family == "env":
        return _FAMILIES["env"](code, message, hint=hint, retryable=retryable)  # type: ignore[call-arg]
    return _FAMILIES.get(family, CallerError)(code, message, hint=hint)


# --- where the holder listens --------------------------------------------------------------------


def run_folder(config: Path) -> Path:
    """Return the folder of the sockets: ``$TWINLOCK_RUN_DIR``, else ``run`` beside the config."""
    named = os.environ.get(RUN_VARIABLE)
    return Path(named) if named else config.absolute().parent / "run"


def make_private(folder: Path) -> None:
    """Make the folder with mode 0700. Raises ``holder.folder`` if others could reach into it."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = folder.lstat()
    except OSError as error:
        raise EnvError(
            "holder.folder",
            f"{folder} cannot be made.",
            hint="Name another folder in TWINLOCK_RUN_DIR.",
        ) from error
    if found.st_uid != os.getuid() or found.st_mode & 0o077 or folder.is_symlink():
        raise EnvError(
            "holder.folder",
            f"{folder} is not this user's alone.",
            hint=f"Run `chmod 700 {folder}`, or name another folder in TWINLOCK_RUN_DIR.",
        )


def socket_name(request_id: bytes) -> str:
    """Return the name of a request's socket."""
    return f"{request_id.hex()}.sock"


@contextmanager
def inside(folder: Path) -> Iterator[None]:
    """Be in a folder for a moment: a socket's path has room for about 100 characters only."""
    before = os.open(".", os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.chdir(folder)
        yield
    finally:
        os.fchdir(before)
        os.close(before)


def listen(folder: Path, name: str) -> socket.socket:
    """Listen on a socket that only this user reaches."""
    make_private(folder)
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    with inside(folder):
        sweep()
        listening.bind(name)
        os.chmod(name, 0o600)
    listening.listen(4)
    return listening


def sweep() -> None:
    """Take away sockets that nobody listens on any more."""
    for name in os.listdir():
        if not name.endswith(".sock"):
            continue
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as attempt:
            attempt.settimeout(1)
            try:
                attempt.connect(name)
            except ConnectionRefusedError:
                Path(name).unlink(missing_ok=True)
            except OSError:
                continue


def connect(folder: Path, name: str) -> socket.socket | None:
    """Connect to a holder; None when there is none."""
    connected = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        with inside(folder):
            connected.connect(name)
    except (FileNotFoundError, NotADirectoryError, ConnectionRefusedError):
        connected.close()
        return None
    except OSError as error:
        connected.close()
        raise EnvError(
            "holder.unreachable",
            "The request's holder cannot be reached.",
            hint="Run this as the user who ran `twinlock request`.",
        ) from error
    return connected
