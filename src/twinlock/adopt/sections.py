"""One section of ``adopt.toml``: typed values, and errors that name file, line and setting."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from twinlock.adopt import places
from twinlock.adopt.templates import Template, parse_template
from twinlock.errors import CallerError


@dataclass(frozen=True, slots=True)
class Section:
    """A table of the document. ``at`` is the way to it; ``known`` are the keys it may have."""

    file: Path
    lines: places.Places
    at: places.Path
    values: Mapping[str, Any]

    def refuse(self, why: str, key: str | None = None) -> NoReturn:
        """Raise CallerError ``adopt.config`` that names this place."""
        line = self.lines.line(self.at, key)
        where = self.file.name if line is None else f"{self.file.name}, line {line}"
        raise CallerError(
            "adopt.config",
            f"{where}: {self._title()}{why}.",
            hint="See docs/howto-adopt.md for what adopt.toml says.",
        )

    def _title(self) -> str:
        names = [str(part) for part in self.at if isinstance(part, str)]
        return f"[{'.'.join(names)}] " if names else ""

    def only(self, known: Sequence[str]) -> None:
        """Refuse keys that nobody would read: a misspelt one must not fall back to a default."""
        for key in self.values:
            if key not in known:
                self.refuse(f"{key!r} is no setting here; there are {', '.join(known)}", key)

    def section(self, key: str) -> Section:
        """Return a section inside this one, empty if it is not there."""
        found = self.values.get(key, {})
        if not isinstance(found, dict):
            self.refuse(f"{key} is not a section", key)
        return Section(self.file, self.lines, (*self.at, key), found)

    def sections(self, key: str) -> Iterator[Section]:
        """Yield the elements of an array of tables; at least one."""
        found = self.values.get(key)
        if not isinstance(found, list) or not found or not all(isinstance(x, dict) for x in found):
            self.refuse(f"[[{key}]] is missing or is no array of sections", key)
        for number, values in enumerate(found):
            yield Section(self.file, self.lines, (*self.at, key, number), values)

    def optional(self, key: str) -> str | None:
        """Return a text that is not empty, or None."""
        value = self.values.get(key)
        if value is None:
            return None
        if not isinstance(value, str) or not value:
            self.refuse(f"{key} is not a text", key)
        return value

    def text(self, key: str) -> str:
        """Return a text that must be there."""
        value = self.optional(key)
        if value is None:
            self.refuse(f"{key} is missing")
        return value

    def choice(self, key: str, choices: Sequence[str], default: str) -> str:
        """Return one of some words."""
        value = self.optional(key) or default
        if value not in choices:
            self.refuse(f"{key} is none of {', '.join(choices)}", key)
        return value

    def texts(self, key: str) -> tuple[str, ...]:
        """Return a text or a list of texts as a tuple; empty if it is not there."""
        value = self.values.get(key, [])
        found = [value] if isinstance(value, str) else value
        if not isinstance(found, list) or not all(isinstance(x, str) and x for x in found):
            self.refuse(f"{key} is neither a text nor a list of texts", key)
        return tuple(found)

    def flag(self, key: str) -> bool:
        """Return true or false; false if it is not there."""
        value = self.values.get(key, False)
        if not isinstance(value, bool):
            self.refuse(f"{key} is neither true nor false", key)
        return value

    def path(self, key: str) -> Path | None:
        """Return a path relative to the file's folder."""
        value = self.optional(key)
        return None if value is None else self.file.parent / value

    def hexadecimal(self, key: str) -> bytes | None:
        """Return bytes that are written as hexadecimal digits."""
        value = self.optional(key)
        if value is None:
            return None
        try:
            return bytes.fromhex(value)
        except ValueError:
            self.refuse(f"{key} is not hexadecimal", key)

    def template(self, key: str) -> Template | None:
        """Return a template."""
        value = self.values.get(key)
        if value is None:
            return None
        if not isinstance(value, str):
            self.refuse(f"{key} is not a text", key)
        return self.parsed(value, key)

    def parsed(self, text: str, key: str) -> Template:
        """Return a template that stands somewhere under ``key``."""
        try:
            return parse_template(text)
        except CallerError as error:
            self.refuse(f"{key}: {error.message.rstrip('.')}", key)
