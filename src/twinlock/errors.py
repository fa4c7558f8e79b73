"""Errors, in three families by whose turn it is to act.

Every error carries a stable ``code`` (``family.subject``), a message that says what happened and
a ``hint`` that says what to do next. Tests and callers match the code, never the message. All
codes are listed in docs/errors.md, which a test compares with the source.
"""

from __future__ import annotations


class TwinlockError(Exception):
    """Base of everything that Twinlock raises on purpose.

    ``code`` is stable across releases. ``hint`` is a sentence for a person. Neither holds secrets.
    """

    def __init__(self, code: str, message: str, *, hint: str = "") -> None:
        # Both, so that an error can be pickled and cross from one process to another.
        super().__init__(code, message)
        self.code = code
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        tail = f" {self.hint}" if self.hint else ""
        return f"{self.message} [{self.code}]{tail}"


class CallerError(TwinlockError):
    """The caller has to change something: an argument, a configuration, a missing permission."""


class DataError(TwinlockError):
    """Bytes from a row, a file or a message are not what they must be.

    What cryptography refuses shows one face outside, ``data.not-authentic``: which check failed is
    kept as ``__cause__`` for the operator's log and is never sent to a client.
    """


class EnvError(TwinlockError):
    """The token, the database or a file failed. ``retryable`` says if trying again helps."""

    def __init__(self, code: str, message: str, *, hint: str = "", retryable: bool = False) -> None:
        super().__init__(code, message, hint=hint)
        self.retryable = retryable


def not_authentic(cause: str) -> DataError:
    """Return the one error that every failed authenticity check shows; ``cause`` stays inside.

    It is the ``__cause__``, and a note too, because ``raise ... from`` replaces the former.
    """
    error = DataError(
        "data.not-authentic",
        "This record is not authentic: it was changed, moved, or not written by a known writer.",
        hint="Do not use it. Compare the row with a backup and look at the writer's log.",
    )
    error.__cause__ = Exception(cause)
    error.add_note(cause)
    return error
