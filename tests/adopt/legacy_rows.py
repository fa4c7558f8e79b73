"""Layouts of applications that keep their rows in ways of their own, named in tests."""

from __future__ import annotations

from collections.abc import Mapping

from twinlock.adopt.layout import GroupNames, LegacyLayout
from twinlock.adopt.templates import Row
from twinlock.core.adopted import LegacyCell


class PackedLayout(LegacyLayout):
    """DEK and content in one column: 2-byte length of the wrapped DEK, DEK, nonce, ciphertext."""

    def cells(self, row: Row) -> Mapping[str, LegacyCell]:
        _, rest = self._split(row)
        return {"diagnosis": LegacyCell(rest[:12], rest[12:], b"packed")}

    def wrapped_dek(self, row: Row) -> bytes:
        return self._split(row)[0]

    def key(self, row: Row) -> str:
        return "records-2021"

    def groups(self, row: Row) -> GroupNames | None:
        return None if row["ward"] == "closed" else ["cardiology"]

    @staticmethod
    def _split(row: Row) -> tuple[bytes, bytes]:
        packed = row["packed"]
        size = int.from_bytes(packed[:2], "big")
        return packed[2 : 2 + size], packed[2 + size :]


NO_LAYOUT = 7


class ReversedLayout(LegacyLayout):
    """Content that only this code reads: it stands backwards."""

    def plaintexts(self, row: Row) -> Mapping[str, bytes]:
        if row["old"] == "broken":
            raise ValueError("secret text of the row")
        return {} if row["old"] is None else {"diagnosis": row["old"][::-1].encode()}
