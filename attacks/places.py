"""Where the application keeps sealed content: every layout, suite and kind of lock."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from twinlock.core.context import Context
from twinlock.core.segments import SEGMENT_SIZE


@dataclass(frozen=True, slots=True)
class Place:
    """One sealed record. ``reader`` is a member who may open it, ``helper`` one of the other group.

    ``content`` maps column to plaintext. ``while_tom``: sealed before Tom was removed.
    """

    name: str
    layout: str
    suite: str
    locks: str
    context: Context
    content: Mapping[str, bytes] = field(repr=False)
    reader: str = "kim"
    helper: str | None = None
    while_tom: bool = False


def _value(name: str, suite: str, context: Context, locks: str = "ward or emergency") -> Place:
    plaintext = f"secret content of {name} in {suite}".encode()
    reader, helper = _people(locks)
    return Place(
        f"{name}-{suite}",
        "value",
        suite,
        locks,
        context,
        {str(context.column): plaintext},
        reader,
        helper,
    )


def _row(name: str, suite: str, context: Context, locks: str = "ward or emergency") -> Place:
    reader, helper = _people(locks)
    content = {
        column: f"secret {column} of {name} in {suite}".encode()
        for column in ("diagnosis", "medication")
    }
    return Place(f"{name}-{suite}", "row", suite, locks, context, content, reader, helper)


def _file(
    name: str,
    suite: str,
    context: Context,
    locks: str = "ward or emergency",
    size: int = SEGMENT_SIZE * 2 + 100,
) -> Place:
    reader, helper = _people(locks)
    content = (f"secret page of {name} in {suite}; ".encode() * SEGMENT_SIZE)[:size]
    column = str(context.column)
    place = f"{name}-{suite}"
    return Place(place, "file", suite, locks, context, {column: content}, reader, helper)


def _people(locks: str) -> tuple[str, str | None]:
    if locks == "data-office":
        return "olga", None
    return "kim", "olga" if locks == "ward and data-office" else None


def _places(suite: str) -> Iterator[Place]:
    def diagnosis(record: int, **more: object) -> Context:
        said: dict[str, object] = {"table": "patient", "record": record, "column": "diagnosis"}
        return Context(**{**said, **more})  # type: ignore[arg-type]

    n = 0 if suite == "rsa-oaep" else 1000
    yield _value("first", suite, diagnosis(n + 1))
    yield _value("other-record", suite, diagnosis(n + 2))
    yield _value("other-column", suite, diagnosis(n + 1, column="medication"))
    yield _value("other-table", suite, diagnosis(n + 1, table="staff"))
    yield _value("other-tenant", suite, diagnosis(n + 1, tenant="clinic b"))
    yield _value("versioned", suite, diagnosis(n + 3, version=7))
    yield _value("ward-only", suite, diagnosis(n + 4), "ward")
    yield _value("office", suite, diagnosis(n + 5), "data-office")
    yield _value("both", suite, diagnosis(n + 6), "ward and data-office")
    yield _row("row", suite, Context(table="chart", record=n + 1))
    yield _row("row-2", suite, Context(table="chart", record=n + 2))
    yield _row("row-office", suite, Context(table="chart", record=n + 3), "data-office")
    yield _file("scan", suite, Context(table="scan", record=n + 1, column="image"))
    yield _file("scan-2", suite, Context(table="scan", record=n + 2, column="image"))
    office = Context(table="scan", record=n + 3, column="image")
    yield _file("scan-office", suite, office, "data-office")
    yield _file("note", suite, Context(table="note", record=n + 1, column="text"), size=60)
    for place in (
        _value("tom-time", suite, diagnosis(n + 7), "ward"),
        _row("tom-row", suite, Context(table="chart", record=n + 7), "ward"),
        _file("tom-scan", suite, Context(table="scan", record=n + 7, column="image"), "ward"),
    ):
        yield replace(place, while_tom=True)


PLACES: Final = tuple(place for suite in ("rsa-oaep", "token-aes") for place in _places(suite))
