"""Where in a TOML text a setting stands, so that an error can name the line.

``tomllib`` gives values without places. The headers of a configuration are plain lines, so their
order tells which line begins which table; inline tables and dotted keys have the place of the
section that they stand in.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Final

_HEADER: Final = re.compile(r"\s*(\[\[?)\s*([A-Za-z0-9_.\- \"']+?)\s*\]\]?\s*(?:#.*)?$")

Path = tuple[str | int, ...]
"""A way into the parsed document: keys, and positions in arrays of tables."""


@dataclass(slots=True)
class Places:
    """The lines of a TOML text's sections and keys."""

    text: str
    _sections: dict[Path, int] = field(init=False, default_factory=dict)
    _lines: list[str] = field(init=False, default_factory=list)

    def __post_init__(self) -> None:
        self._lines = self.text.splitlines()
        counts: dict[Path, int] = {}
        for number, line in enumerate(self._lines, 1):
            match = _HEADER.match(line)
            if match is None:
                continue
            names = [part.strip().strip("\"'") for part in match[2].split(".")]
            where: Path = (*self._resolve(names[:-1], counts), names[-1])
            if match[1] == "[[":
                counts[where] = counts.get(where, 0) + 1
                where = (*where, counts[where] - 1)
            self._sections[where] = number

    @staticmethod
    def _resolve(names: list[str], counts: dict[Path, int]) -> Path:
        """An array of tables that is named on the way means its newest element."""
        where: Path = ()
        for name in names:
            where = (*where, name)
            if where in counts:
                where = (*where, counts[where] - 1)
        return where

    def line(self, section: Path, key: str | None = None) -> int | None:
        """Return the line of a key in a section, else the section's, else None."""
        for below in () if key is None else ((*section, key), (*section, key, 0)):
            if below in self._sections:
                return self._sections[below]
        start = self._sections.get(section)
        if start is None:
            return self.line(section[:-1]) if section else None
        if key is None:
            return start
        wanted = re.compile(rf"\s*[\"']?{re.escape(key)}[\"']?\s*=")
        for number, line in enumerate(self._lines[start:], start + 1):
            if _HEADER.match(line):
                break
            if wanted.match(line):
                return number
        return start
