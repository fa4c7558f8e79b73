"""Records as the application stores them, and what is read of them before anybody is asked.

Everything that can be refused without a member is refused here: foreign bytes, suites that are not
accepted, authors that no trusted group names, content that its author did not sign.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, Final

from twinlock.core import segments
from twinlock.core.adopted import LegacyCell, decode_adopted, prepare_adopted, verify_cell
from twinlock.core.context import Context
from twinlock.core.envelope import (
    MAX_HEAD_SIZE,
    AllLock,
    Field,
    Head,
    Lock,
    decode_cell,
    decode_file_head,
    decode_row_head,
    decode_value,
    encode_cell,
    encode_file_head,
    encode_row_head,
    encode_value,
)
from twinlock.core.membership import GroupState
from twinlock.core.opening import PreparedRecord, prepare_record, verify_author
from twinlock.core.ports import OuterSuite, Part
from twinlock.core.primitives import TAG_SIZE, RunningSha256, verify
from twinlock.errors import CallerError, DataError, EnvError, not_authentic
from twinlock.server.memory import Proved, ReadMemory, memory_key

FILE_MAGIC: Final = b"TWF\x01"
_SIGNATURE_SIZE: Final = 64
_HEAD_SIZE: Final = 2048
"""About what a record in memory takes beside its ciphertext."""
_FULL: Final = segments.SEGMENT_SIZE + TAG_SIZE


@dataclass(frozen=True, slots=True, eq=False)
class Sealed:
    """A self-contained sealed value."""

    raw: bytes = field(repr=False)

    def to_bytes(self) -> bytes:
        """Return what the application stores."""
        return self.raw

    def __eq__(self, other: object) -> bool:
        raise TypeError("sealed values are not compared: equal plaintexts seal differently")

    __hash__ = None  # type: ignore[assignment]

    def __bool__(self) -> bool:
        raise TypeError("a sealed value has no truth value; open it first")


@dataclass(frozen=True, slots=True)
class SealedRow:
    """A sealed row: the wrapped DEK (``head``), and one sealed cell per column."""

    head: bytes = field(repr=False)
    cells: Mapping[str, bytes] = field(repr=False)


@dataclass(frozen=True, slots=True)
class SealedFile:
    """A sealed file on disk."""

    path: Path


@dataclass(frozen=True, slots=True)
class AdoptedRow:
    """A rewrapped row: the value that adoption wrote (``head``), and the old application's
    ciphertexts, where they always were, by the declared names of their columns."""

    head: bytes = field(repr=False)
    cells: Mapping[str, LegacyCell] = field(repr=False)


Stored = bytes | Sealed | SealedRow | SealedFile | AdoptedRow


def sealed_value(head: Head, sealed: Field) -> Sealed:
    """Encode a value."""
    return Sealed(encode_value(head, sealed))


def sealed_row(head: Head, cells: Mapping[str, Field]) -> SealedRow:
    """Encode a row."""
    return SealedRow(
        encode_row_head(head), {column: encode_cell(head, cell) for column, cell in cells.items()}
    )


@dataclass(frozen=True, slots=True)
class ReadRecord:
    """A stored record that passed every check that needs no member.

    ``locks`` are those whose groups all name the record's writer. For a file, ``file`` holds where
    its segments lie.
    """

    context: Context
    prepared: PreparedRecord
    locks: tuple[Lock, ...]
    file: FileContent | None = None

    @property
    def head(self) -> Head:
        """The record's head."""
        return self.prepared.head


@dataclass(frozen=True, slots=True)
class FileContent:
    """Where a sealed file's segments lie; ``size`` counts their bytes without the signature."""

    path: Path
    prefix: bytes
    offset: int
    size: int

    def parts(self, head: Head, context: bytes, column: str) -> Iterator[Part]:
        """Yield the segments for the token, in constant memory."""
        count = segments.count_parts(self.size)
        with open_file(self.path) as file:
            file.seek(self.offset)
            for part in range(count):
                last = part == count - 1
                size = self.size - part * _FULL if last else _FULL
                yield Part(
                    segments.nonce(self.prefix, part, last),
                    file.read(size),
                    segments.additional_data(head.core.raw, context, column, part, last),
                )


@dataclass(frozen=True, slots=True)
class RecordReader:
    """Reads stored records for one deployment, against one look at its groups.

    ``memory`` holds what was proved before; who may author is looked at each time.
    """

    deployment_id: bytes
    accept: frozenset[OuterSuite]
    states: Mapping[bytes, GroupState]
    memory: ReadMemory = field(default_factory=ReadMemory, repr=False)

    def read(self, context: Context, stored: Stored) -> ReadRecord:
        """Read and check one record.

        Raises DataError ``format.*``, ``suite.*`` or ``data.not-authentic``, CallerError
        ``context.*``.
        """
        raw = context.encode(self.deployment_id)
        match stored:
            case SealedRow():
                return self._row(context, raw, stored)
            case AdoptedRow():
                return self._adopted(context, raw, stored)
            case SealedFile():
                return self._file(context, raw, stored.path)
            case Sealed():
                return self._value(context, raw, stored.raw)
            case bytes():
                return self._value(context, raw, stored)
        raise CallerError(
            "record.kind",
            "A stored record is bytes, Sealed, SealedRow, SealedFile or AdoptedRow.",
            hint="Pass what sealing returned, or the bytes that were stored.",
        )

    def _value(self, context: Context, raw: bytes, stored: bytes) -> ReadRecord:
        column, key = _column(context), memory_key((raw, stored))
        known = self._known(context, key)
        if known is not None:
            return known
        head, sealed = decode_value(stored)
        return self._checked(context, raw, head, {column: sealed}, key)

    def _row(self, context: Context, raw: bytes, stored: SealedRow) -> ReadRecord:
        require_row(context, stored.cells)
        named = (part for column, cell in stored.cells.items() for part in (column.encode(), cell))
        key = memory_key((raw, stored.head, *named))
        known = self._known(context, key)
        if known is not None:
            return known
        head = decode_row_head(stored.head)
        cells = {column: decode_cell(cell, head) for column, cell in stored.cells.items()}
        return self._checked(context, raw, head, cells, key)

    def _adopted(self, context: Context, raw: bytes, stored: AdoptedRow) -> ReadRecord:
        require_row(context, stored.cells)
        adopted = decode_adopted(stored.head)
        locks, writer = self._authorised(adopted.head)
        for column, cell in stored.cells.items():
            verify_cell(adopted, raw, column, cell, writer)
        return ReadRecord(context, prepare_adopted(adopted, raw, stored.cells), locks)

    def _known(self, context: Context, key: bytes) -> ReadRecord | None:
        """Return a record whose very bytes were proved before, if its writer still is the one."""
        proved = self.memory.recall(key)
        if proved is None:
            return None
        locks, writer = self._authorised(proved.prepared.head)
        return ReadRecord(context, proved.prepared, locks) if writer == proved.writer else None

    def _checked(
        self, context: Context, raw: bytes, head: Head, fields: Mapping[str, Field], key: bytes
    ) -> ReadRecord:
        locks, writer = self._authorised(head)
        for column, sealed in fields.items():
            verify_author(head, raw, column, sealed, writer)
        prepared = prepare_record(head, raw, fields)
        size = len(head.outer) + sum(len(sealed.ciphertext) for sealed in fields.values())
        self.memory.keep(key, Proved(prepared, writer, _HEAD_SIZE + size))
        return ReadRecord(context, prepared, locks)

    def _file(self, context: Context, raw: bytes, path: Path) -> ReadRecord:
        head, content, signature = read_file_head(path)
        locks, writer = self._authorised(head)
        digest = RunningSha256(content.prefix)
        with open_file(path) as file:
            file.seek(content.offset)
            for chunk in _chunks(file, content.size):
                digest.update(chunk)
        message = segments.signed_data(
            head.core.writer_kid,
            head.core.raw,
            raw,
            _column(context),
            segments.count_parts(content.size),
            digest.digest(),
        )
        verify(writer, message, signature)
        return ReadRecord(context, prepare_record(head, raw, {}), locks, content)

    def _authorised(self, head: Head) -> tuple[tuple[Lock, ...], bytes]:
        """Return the locks whose groups name the writer, and the writer's public key."""
        if head.header.outer_suite not in self.accept:
            raise DataError(
                "suite.not-accepted",
                "This record uses an outer suite that this deployment does not accept.",
                hint="A row cannot choose its suite: see [suites] accept in the configuration.",
            )
        locks = tuple(lock for lock in head.header.locks if self._names_writer(head, lock))
        if not locks:
            raise not_authentic("author: no trusted group of this record names its writer")
        first = group_ids(locks[0])[0]
        return locks, self.states[first].writers[head.core.writer_kid].public

    def _names_writer(self, head: Head, lock: Lock) -> bool:
        found = [self.states.get(group_id) for group_id in group_ids(lock)]
        return all(
            state is not None
            and head.core.writer_kid in state.writers
            and head.header.outer_suite in state.policy.outer_suites
            for state in found
        )


def group_ids(lock: Lock) -> tuple[bytes, ...]:
    """Return the groups of a lock."""
    if isinstance(lock, AllLock):
        return tuple(share.group_id for share in lock.shares)
    return (lock.group_id,)


def read_file_head(path: Path) -> tuple[Head, FileContent, bytes]:
    """Return a sealed file's head, where its segments lie, and its signature."""
    with open_file(path) as file:
        start = file.read(len(FILE_MAGIC) + 4)
        if start[:3] == FILE_MAGIC[:3] and start[:4] != FILE_MAGIC:
            raise DataError(
                "suite.unknown",
                "This sealed file has a version that this release does not know.",
                hint="Upgrade Twinlock.",
            )
        size = int.from_bytes(start[4:8], "big")
        if start[:4] != FILE_MAGIC or len(start) != 8 or size > MAX_HEAD_SIZE:
            raise _not_a_sealed_file()
        head, prefix = decode_file_head(file.read(size))
        offset = len(start) + size
        end = file.seek(0, 2)
        content = end - offset - _SIGNATURE_SIZE
        if content <= 0:
            raise _not_a_sealed_file()
        segments.count_parts(content)
        file.seek(end - _SIGNATURE_SIZE)
        return head, FileContent(path, prefix, offset, content), file.read(_SIGNATURE_SIZE)


def write_file_head(head: Head, prefix: bytes) -> bytes:
    """Return the bytes in front of a sealed file's segments."""
    encoded = encode_file_head(head, prefix)
    return FILE_MAGIC + len(encoded).to_bytes(4, "big") + encoded


def open_file(path: Path) -> BinaryIO:
    """Open a sealed file. Raises CallerError ``file.missing`` or EnvError ``file.unreadable``."""
    try:
        return path.open("rb")
    except FileNotFoundError as error:
        raise CallerError(
            "file.missing", f"There is no file {path}.", hint="Check its name."
        ) from error
    except OSError as error:
        raise EnvError(
            "file.unreadable", f"{path} cannot be read.", hint="Check its permissions."
        ) from error


def _chunks(file: BinaryIO, size: int) -> Iterable[bytes]:
    left = size
    while left:
        chunk = file.read(min(left, 1 << 16))
        if not chunk:
            raise _not_a_sealed_file()
        left -= len(chunk)
        yield chunk


def require_row(context: Context, cells: Mapping[str, object]) -> None:
    """Raise CallerError ``context.row`` unless the context is a row's and there are cells."""
    if context.column is not None or not cells:
        raise CallerError(
            "context.row",
            "A row is opened under a context without a column, with at least one cell.",
            hint="Leave out the column: a row's columns share one DEK.",
        )


def _column(context: Context) -> str:
    if context.column is None:
        raise CallerError(
            "context.column",
            "A single value needs a context with a column.",
            hint="Name the column; a context without one is for whole rows.",
        )
    return context.column


def _not_a_sealed_file() -> DataError:
    return DataError(
        "format.malformed",
        "This is not a complete sealed file.",
        hint="Fetch it again; if it stays so, restore it from a copy.",
    )
