"""Message files: what agents and servers hand to each other, each told apart by its own label."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Final

import typer

from twinlock.core.release import split_signed
from twinlock.errors import DataError
from twinlock.files import read_private, write_private

MAX_MESSAGE: Final = 64 << 20
STANDARD_STREAM: Final = "-"
_SIGNED: Final = "twinlock/v1/signed"

KINDS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "twinlock/v1/hello": "hello",
        "twinlock/v1/request-bundle": "request",
        "twinlock/v1/release": "release",
        "twinlock/v1/share": "share",
        "twinlock/v1/group-bundle": "group bundle",
        "twinlock/v1/member-card-signed": "member card",
        "twinlock/v1/proposal": "proposal",
        "twinlock/v1/proposals": "proposal",
        "twinlock/v1/member-change": "change of ways in",
        "twinlock/v1/member-bundle": "member bundle",
        "twinlock/v1/recovery-ask": "recovery ask",
        "twinlock/v1/recovery-reply": "recovery reply",
        "twinlock/v1/recovery-opening": "recovery opening",
        "twinlock/v1/recovery-share": "recovery share",
        "twinlock/v1/agent-state": "member's state file",
    }
)
"""What a message's first element says, and what people call it."""

OutputOption = Annotated[
    Path, typer.Option("--output", "-o", metavar="FILE", help="Where to write it; - for stdout.")
]


def read_message(path: Path, kind: str) -> bytes:
    """Read a message file of this kind; ``-`` is stdin.

    Raises ``file.*``, DataError ``message.foreign`` or ``message.other-kind``.
    """
    data = _read(path)
    found = kind_of(data)
    if found is None:
        raise DataError(
            "message.foreign",
            f"{path} is not a complete Twinlock message.",
            hint=f"A {kind} was expected. Copy the file again as it is, in binary mode.",
        )
    if found != kind:
        raise DataError(
            "message.other-kind",
            f"{path} is a {found}, not a {kind}.",
            hint="Look at the order of the files on the command line.",
        )
    return data


def write_message(path: Path, data: bytes) -> None:
    """Write a message file, readable by its owner only; ``-`` is stdout."""
    if str(path) == STANDARD_STREAM:
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
    else:
        write_private(path, data)


def kind_of(data: bytes) -> str | None:
    """Return what people call the kind of a message, None for something else."""
    label = label_of(data)
    if label == _SIGNED:
        try:
            label = label_of(split_signed(data)[0])
        except DataError:
            return None
    return KINDS.get(label)


def _read(path: Path) -> bytes:
    if str(path) == STANDARD_STREAM:
        return sys.stdin.buffer.read(MAX_MESSAGE)
    return read_private(path, max_size=MAX_MESSAGE)


def label_of(data: bytes) -> str:
    """Return the text that a CBOR array begins with (RFC 8949 section 3); the rest stays unread."""
    if len(data) < 3 or data[0] >> 5 != 4 or data[1] >> 5 != 3:
        return ""
    size, start = data[1] & 31, 2
    if size == 24:
        size, start = data[2], 3
    return data[start : start + size].decode("utf-8", "replace")
