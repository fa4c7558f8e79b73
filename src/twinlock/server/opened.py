"""What opening returns: values that were decrypted and proved, or the reason why not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from twinlock.core.context import Context
from twinlock.core.secret import Secret, SecretText
from twinlock.errors import CallerError, DataError, TwinlockError


@dataclass(frozen=True, slots=True)
class Opened:
    """One record of a request after opening.

    ``error`` is set when it could not be opened; then nothing else can be had from it. A value has
    one column, a row as many as were asked for.
    """

    context: Context
    error: TwinlockError | None = None
    _values: Mapping[str, Secret] = field(default_factory=dict, repr=False)

    @property
    def ok(self) -> bool:
        """True when the record opened."""
        return self.error is None

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that were opened."""
        return tuple(self._values)

    def data(self, column: str | None = None) -> Secret:
        """Return a column's bytes; without ``column``, the only one's.

        Raises the record's own error, or CallerError ``opened.column``.
        """
        if self.error is not None:
            raise self.error
        if column is None and len(self._values) == 1:
            return next(iter(self._values.values()))
        if column is None or column not in self._values:
            raise CallerError(
                "opened.column",
                f"This record was opened with the columns {', '.join(self._values)}.",
                hint="Name one of them.",
            )
        return self._values[column]

    def text(self, column: str | None = None) -> SecretText:
        """Return a column's text (UTF-8). Raises as ``data``, and DataError ``opened.not-text``."""
        try:
            text = self.data(column).reveal().decode()
        except UnicodeDecodeError:
            text = None
        # Raised out here, because that error holds the plaintext and must not be chained to this.
        if text is None:
            raise DataError(
                "opened.not-text",
                "This value is authentic, but it is not UTF-8 text.",
                hint="Take it as bytes, with data().",
            )
        return SecretText(text)
