"""Lists the numbered requirements of docs/spec.md that no test mentions.

A requirement is written ``R-<AREA>-<n>`` (``R-ENV-3``) at its definition in the specification;
a test or an attack mentions it anywhere in its file. Also listed: numbers that tests mention and
the specification does not know, which are slips of the pen.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
REQUIREMENT = re.compile(r"\bR-[A-Z][A-Z0-9]*-\d+\b")
EVIDENCE = ("tests", "attacks")
SUFFIXES = {".py", ".toml", ".txt"}


class Coverage(NamedTuple):
    """Requirement numbers, each list sorted by area and number."""

    defined: list[str]
    untested: list[str]
    unknown: list[str]


def _order(name: str) -> tuple[str, int]:
    area, number = name.removeprefix("R-").rsplit("-", 1)
    return area, int(number)


def _mentions(path: Path) -> set[str]:
    return set(REQUIREMENT.findall(path.read_text(encoding="utf-8")))


def coverage(root: Path) -> Coverage:
    """Compare ``docs/spec.md`` under ``root`` with its tests and attacks."""
    spec = root / "docs" / "spec.md"
    defined = _mentions(spec) if spec.exists() else set()
    mentioned: set[str] = set()
    for folder in EVIDENCE:
        for path in sorted((root / folder).rglob("*")):
            # The habits' own tests use made-up numbers.
            if path.suffix in SUFFIXES and "habits" not in path.parts:
                mentioned |= _mentions(path)
    return Coverage(
        defined=sorted(defined, key=_order),
        untested=sorted(defined - mentioned, key=_order),
        unknown=sorted(mentioned - defined, key=_order),
    )


def main() -> int:
    """Print the list and the count; 1 only for numbers that the specification does not know."""
    found = coverage(ROOT)
    for name in found.untested:
        print(f"{name} has no test")
    for name in found.unknown:
        print(f"{name} is mentioned by a test and is not in docs/spec.md")
    tested = len(found.defined) - len(found.untested)
    print(f"requirements: {tested} of {len(found.defined)} have a test")
    return 1 if found.unknown else 0


if __name__ == "__main__":
    sys.exit(main())
