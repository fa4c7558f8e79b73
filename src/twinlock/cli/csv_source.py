"""A CSV file as rows to seal: looked through once before anything is sealed, then streamed."""

from __future__ import annotations

import csv
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from twinlock.errors import CallerError, DataError, EnvError

_MAX_FIELD: Final = 16 << 20


class _Reader(Protocol):
    """What ``csv.reader`` returns."""

    line_num: int

    def __iter__(self) -> Iterator[list[str]]: ...
    def __next__(self) -> list[str]: ...


@dataclass(frozen=True, slots=True)
class SourceRow:
    """One row: its record id, version, the values to seal, and all others by column.

    ``others`` keeps the file's order of columns; a sealed one stands in it as None.
    """

    record: str
    version: int | None
    sealed: Mapping[str, str]
    others: Mapping[str, str | None]


@dataclass(frozen=True, slots=True)
class CsvSource:
    """A CSV file with a header line. ``sealed`` and ``key`` are column names, in NFC."""

    path: Path
    key: str
    sealed: tuple[str, ...]
    version: str | None = None
    delimiter: str = ","

    def count(self) -> tuple[int, int]:
        """Look through the whole file; return its rows and its size in bytes.

        Raises ``csv.*`` for what could not be sealed, ``file.*``.
        """
        return sum(1 for _ in self.rows()), self.path.stat().st_size

    def rows(self) -> Iterator[SourceRow]:
        """Yield the rows, in constant memory. Raises like ``count``."""
        with self._reader() as reader:
            columns = self._columns(reader)
            for values in reader:
                if not values:
                    continue
                if len(values) != len(columns):
                    raise self._at(
                        reader.line_num,
                        f"has {len(values)} fields under {len(columns)} column names",
                    )
                yield self._row(dict(zip(columns, values, strict=True)), reader.line_num)

    def _row(self, values: dict[str, str], line: int) -> SourceRow:
        record = nfc(values[self.key])
        if not record:
            raise self._at(line, f"has no {self.key}")
        return SourceRow(
            record,
            self._version(values, line),
            {column: values[column] for column in self.sealed},
            {column: None if column in self.sealed else v for column, v in values.items()},
        )

    def _version(self, values: Mapping[str, str], line: int) -> int | None:
        if self.version is None:
            return None
        text = values[self.version]
        if not text.isascii() or not text.isdigit():
            raise self._at(line, f"has no number from 0 up in {self.version}")
        return int(text)

    def _columns(self, reader: _Reader) -> list[str]:
        columns = [nfc(name) for name in next(reader, [])]
        wanted = [self.key, *self.sealed, *([self.version] if self.version else [])]
        missing = [name for name in wanted if name not in columns]
        if missing:
            raise CallerError(
                "csv.no-column",
                f"{self.path} has no column {missing[0]!r}.",
                hint=f"Its first line names: {', '.join(columns)[:300]}.",
            )
        if len(set(columns)) != len(columns):
            raise CallerError(
                "csv.column-twice",
                f"{self.path} names a column twice.",
                hint="Give every column a name of its own.",
            )
        return columns

    @contextmanager
    def _reader(self) -> Iterator[_Reader]:
        csv.field_size_limit(_MAX_FIELD)
        try:
            with self.path.open(encoding="utf-8-sig", newline="") as file:
                yield csv.reader(file, delimiter=self.delimiter, strict=True)
        except FileNotFoundError as error:
            raise CallerError(
                "file.missing", f"There is no file {self.path}.", hint="Check the name."
            ) from error
        except UnicodeDecodeError as error:
            raise DataError(
                "csv.encoding",
                f"{self.path} is not UTF-8 text.",
                hint="Convert it first, for example with `iconv -t utf-8`.",
            ) from error
        except csv.Error as error:
            raise DataError(
                "csv.malformed",
                f"{self.path} is not well-formed CSV: {error}.",
                hint="Check quotes and line ends, and --delimiter.",
            ) from error
        except OSError as error:
            raise EnvError(
                "file.unreadable", f"{self.path} cannot be read.", hint="Check its permissions."
            ) from error

    def _at(self, line: int, what: str) -> DataError:
        return DataError(
            "csv.row",
            f"Line {line} of {self.path} {what}.",
            hint="Correct the file; nothing was sealed.",
        )


def nfc(text: str) -> str:
    """Return a text in Unicode normalization form C, as contexts demand it."""
    return unicodedata.normalize("NFC", text)


def column_names(text: str) -> tuple[str, ...]:
    """Split ``a,b`` into column names in NFC, each once. Raises ``csv.no-columns``."""
    names = [nfc(name.strip()) for name in text.split(",")]
    found = tuple(dict.fromkeys(name for name in names if name))
    if not found:
        raise CallerError("csv.no-columns", "No column was named.", hint="Use --columns a,b.")
    return found


def require_distinct(key: str, version: str | None, sealed: Sequence[str]) -> None:
    """Refuse to seal what identifies a row. Raises ``csv.key-sealed``."""
    if key in sealed or version in sealed:
        raise CallerError(
            "csv.key-sealed",
            "The id and the version identify a row, so they cannot be sealed in it.",
            hint="Leave them out of --columns.",
        )
