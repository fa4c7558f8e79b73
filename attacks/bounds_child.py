"""Feeds hostile bytes to every decoder, in a process of its own with little memory and time.

    python -m attacks.bounds_child FOLDER

FOLDER holds one genuine message per boundary, by name. Each case runs in a fork that may use eight
times the message and 24 MiB of memory, and a few seconds of processor time; the outcome goes to
standard output as a line of JSON: the refusal's code, or what went wrong.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import cbor2

from twinlock.agent.state import decode_locked
from twinlock.core import cbor
from twinlock.core.adopted import decode_adopted
from twinlock.core.audit import decode_line
from twinlock.core.context import decode_context
from twinlock.core.deployment import parse_deployment_card
from twinlock.core.enrolment import decode_enrolment
from twinlock.core.envelope import decode_core, decode_header, decode_row_head, decode_value
from twinlock.core.keyfile import decode_key_file
from twinlock.core.membership import MemberCard, SignedEntry, decode_state, parse_invitation
from twinlock.core.proposal import decode_proposal
from twinlock.core.release import decode_release, decode_share, split_signed
from twinlock.core.request import (
    decode_bundle,
    decode_group_bundle,
    decode_hello,
    decode_request,
)
from twinlock.errors import TwinlockError
from twinlock.server.records import read_file_head

GENERAL_DECODER: Final = "TWINLOCK_ATTACK_GENERAL_DECODER"
"""Set in a weakened build: messages go through a general CBOR decoder first."""

_MIB: Final = 1 << 20
_ROOM: Final = 24 * _MIB


def _file_head(data: bytes) -> object:
    path = Path(sys.argv[1]) / "hostile"
    path.write_bytes(data)
    return read_file_head(path)


BOUNDARIES: Final[dict[str, tuple[Callable[[bytes], object], bytes]]] = {
    "value": (decode_value, b"TWL\x01"),
    "row head": (decode_row_head, b"TWH\x01"),
    "adopted row": (decode_adopted, b"TWA\x01"),
    "file": (_file_head, b"TWF\x01\x00\x00\xff\xff"),
    "core": (decode_core, b""),
    "header": (decode_header, b""),
    "context": (decode_context, b""),
    "hello": (decode_hello, b""),
    "request": (decode_request, b""),
    "request bundle": (decode_bundle, b""),
    "group bundle": (decode_group_bundle, b""),
    "signed release": (split_signed, b""),
    "release": (decode_release, b""),
    "share": (decode_share, b""),
    "log entry": (SignedEntry.decode, b""),
    "proposal": (decode_proposal, b""),
    "member card": (MemberCard.decode, b""),
    "group state": (decode_state, b""),
    "member state": (decode_locked, b""),
    "enrolment": (decode_enrolment, b""),
    "audit line": (decode_line, b""),
    "invitation": (lambda data: parse_invitation(data.decode("latin-1")), b"twinlock-invite1:"),
    "deployment card": (
        lambda data: parse_deployment_card(data.decode("latin-1")),
        b"twinlock-deployment1:",
    ),
    "device key file": (
        lambda data: decode_key_file("device-key", data),
        b"twinlock-device-key-1\n",
    ),
}

_LARGEST: Final = {"request bundle": 64 * _MIB, "proposal": 64 * _MIB, "value": 17 * _MIB}
"""Where more than a megabyte is accepted: nearly that much is tried there."""


def _array(count: int) -> bytes:
    return b"\x9a" + count.to_bytes(4, "big")


def _cases(genuine: bytes, magic: bytes, largest: int) -> Iterator[tuple[str, list[bytes]]]:
    """Yield (kind, messages); messages of one kind share a fork."""
    if not magic.startswith(b"TWF"):  # a file's length is checked with its signature
        step = max(1, len(genuine) // 400)
        yield "truncated", [genuine[:at] for at in range(0, len(genuine), step)]
        yield "with more behind it", [genuine + b"\x00", genuine + genuine]
    yield "nested deeply", [magic + b"\x81" * depth + b"\x80" for depth in (7, 1000, 200_000)]
    yield (
        "with an impossible length",
        [
            magic + head + bytes(64)
            for head in (
                b"\x9b" + b"\xff" * 8,
                b"\x5b\x7f" + b"\xff" * 7,
                b"\x7b\x7f" + b"\xff" * 7,
                _array(2**32 - 1),
            )
        ],
    )
    yield (
        "of types that do not belong there",
        [
            magic + body
            for body in (
                # A decimal fraction over a number of 512 KiB: much work for whoever computes it.
                b"\x81\xc4\x82\x00\xc2\x5a\x00\x08\x00\x00" + b"\xff" * (512 << 10),
                b"\x81\xc2\x5a\x00\x10\x00\x00" + b"\xff" * _MIB,  # a number of a million bytes
                b"\x9f\xff",
                b"\xbf\xff",
                b"\xa1\x00\x00",
                b"\x81\xfb\x7f\xf8" + bytes(6),
                b"\x81\xd8\x1c\x80",  # a shared reference
            )
        ],
    )
    for item in (b"\xf6", b"\x80", b"\x40", b"\x41a"):
        count = (largest - 64) // len(item)
        yield "huge", [magic + _array(count) + item * count]
    size = largest + _MIB
    yield "huge", [magic + b"\x81\x5a" + size.to_bytes(4, "big") + bytes(size)]


def _limit(message_size: int) -> None:
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    most = pages * resource.getpagesize() + 8 * message_size + _ROOM
    resource.setrlimit(resource.RLIMIT_AS, (most, most))
    seconds = 3 + message_size // (4 * _MIB)
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
    signal.alarm(2 * seconds + 1)  # for what waits, since a process without memory can hang


def _outcomes(decode: Callable[[bytes], object], messages: list[bytes]) -> Iterator[str]:
    for message in messages:
        try:
            decode(message)
        except TwinlockError as error:
            yield error.code
        except (Exception, RecursionError) as error:  # noqa: BLE001 - this is what is looked for
            yield f"broken: {type(error).__name__}"
        else:
            yield "broken: accepted"


def _in_fork(decode: Callable[[bytes], object], messages: list[bytes]) -> list[str]:
    """Run a fork; what it did not say before it died is broken."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(read)
        _limit(max(map(len, messages)))
        with os.fdopen(write, "w") as output:
            for outcome in _outcomes(decode, messages):
                output.write(outcome + "\n")
                output.flush()
        os._exit(0)
    os.close(write)
    with os.fdopen(read) as said:
        outcomes = said.read().splitlines()
    _, status = os.waitpid(child, 0)
    if len(outcomes) < len(messages):
        outcomes.append(f"broken: killed by signal {os.WTERMSIG(status)}")
    return outcomes


def _general(data: bytes, *, max_size: int = 0) -> list[Any]:
    value: list[Any] = cbor2.loads(data)
    return value


def main() -> None:
    """Try every boundary, or one in a weakened build, where everything breaks."""
    names = list(BOUNDARIES)
    if os.environ.get(GENERAL_DECODER):
        cbor.decode = _general
        names = ["hello"]
    for name in names:
        decode, magic = BOUNDARIES[name]
        genuine = (Path(sys.argv[1]) / name).read_bytes()
        for kind, messages in _cases(genuine, magic, _LARGEST.get(name, _MIB)):
            for outcome in _in_fork(decode, messages):
                print(json.dumps([name, kind, outcome]), flush=True)


if __name__ == "__main__":
    main()
