"""What the server prepares for the token, and what it checks before plaintext leaves.

The author's signature is checked first, before a release is even asked for.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from twinlock.core import segments
from twinlock.core.envelope import Field, Head, Layout
from twinlock.core.ports import DekOpening, OuterLock, Part
from twinlock.core.primitives import verify
from twinlock.core.sealing import outer_binding


def verify_author(
    head: Head, context: bytes, column: str, field: Field, writer_public: bytes
) -> None:
    """Check S over core, context and ciphertext. Raises ``data.not-authentic``."""
    message = segments.signed_data(
        head.core.writer_kid,
        head.core.raw,
        context,
        column,
        segments.count_parts(len(field.ciphertext)),
        segments.content_digest(field.prefix, field.ciphertext),
    )
    verify(writer_public, message, field.signature)


def outer_lock(head: Head, context: bytes) -> OuterLock:
    """Return O with the binding that the token compares."""
    return OuterLock(
        head.header.outer_suite,
        head.header.wrapping_kid,
        head.outer,
        outer_binding(head.core.raw, context, head.header),
    )


@dataclass(frozen=True, slots=True)
class PreparedRecord:
    """One DEK ready to open: everything that can be computed before the release arrives."""

    head: Head
    context: bytes
    columns: tuple[str, ...]
    outer: OuterLock
    fields: tuple[tuple[Part, ...], ...]

    def opening(self, wrapped_release_key: bytes) -> DekOpening:
        """Return the token's task for this record."""
        return DekOpening(wrapped_release_key, self.outer, self.fields)

    def content(self, plaintext: bytes) -> bytes:
        """Return what a field holds, without the zero bytes in front, which are checked.

        Adopted content has none: it does not commit to its key (SPEC Adopted data). Raises
        ``data.not-authentic``.
        """
        if self.head.core.layout is Layout.ADOPTED:
            return plaintext
        return segments.strip_commitment(plaintext)


def prepare_record(head: Head, context: bytes, fields: Mapping[str, Field]) -> PreparedRecord:
    """Cut a record's fields for the token and compute O's binding. Raises ``format.malformed``."""
    cut = tuple(
        tuple(
            segments.cut_ciphertext(head.core.raw, context, column, field.prefix, field.ciphertext)
        )
        for column, field in fields.items()
    )
    return PreparedRecord(head, context, tuple(fields), outer_lock(head, context), cut)
