"""An application from before Twinlock: DEKs under an RSA key of the HSM, beside their ciphertexts.

It used one constant as additional data, which is the worst case: nothing of it tells rows apart.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

from attacks.hsm_interface import interface, live_token
from attacks.places import Place
from twinlock.core.adopted import LegacyCell
from twinlock.core.adopting import LegacyKey
from twinlock.core.context import Context
from twinlock.core.membership import ColumnState
from twinlock.core.primitives import gcm_seal, rsa_oaep_encrypt
from twinlock.errors import DataError
from twinlock.server.legacy import LegacyRow, LegacySource
from twinlock.server.records import AdoptedRow
from twinlock.server.vault import Vault
from twinlock.token.ck import Cka, Ckk, Cko
from twinlock.token.keys import read_modulus
from twinlock.token.spki import rsa_spki
from twinlock.token.structures import Attributes

if TYPE_CHECKING:
    from attacks.world import World

TABLE: Final = "old-patient"
COLUMNS: Final = ("diagnosis", "medication")
AAD: Final = b"old application"
KEY: Final = "old"


def _place(number: int, locks: str, reader: str) -> Place:
    content = {column: f"old {column} of {number}, secret".encode() for column in COLUMNS}
    context = Context(table=TABLE, record=number)
    return Place(f"old-{number}", "adopted", "rsa-oaep", locks, context, content, reader)


PLACES: Final = (
    _place(1, "ward or emergency", "kim"),
    _place(2, "ward or emergency", "kim"),
    _place(3, "ward", "eve"),
    _place(4, "data-office", "olga"),
)
"""Rows of the ward, of both, and of the data office."""


@dataclass(slots=True)
class OldApplication:
    """Its key and rows, and what a server of ours does with them.

    ``rows`` are what every backup of before holds; they outlive everything that follows.
    """

    world: World
    key: LegacyKey
    deks: Mapping[str, bytes] = field(repr=False)
    rows: Mapping[str, LegacyRow]

    @classmethod
    def make(cls, world: World, key: LegacyKey | None = None) -> OldApplication:
        """Make a key in the token (or take one) and some rows; have the ward's admin allow them."""
        old = key or make_key(world)
        deks = {place.name: os.urandom(32) for place in PLACES}
        rows = {place.name: legacy_row(old, deks[place.name], place.content) for place in PLACES}
        made = cls(world, old, deks, rows)
        made.use()
        for column in COLUMNS:
            made.set_column(column, ColumnState.LEGACY)
        return made

    def use(self, vault: Vault | None = None) -> None:
        """Tell a vault of the old data, as every process of the application does when it starts."""
        source = LegacySource(self.world.groups["ward"], {KEY: self.key}, allow_host_dek=True)
        (vault or self.world.vault).use_legacy(source)

    def set_column(self, column: str, state: ColumnState) -> None:
        """Have the ward's admin set a column's state, and everybody follow."""
        admin = self.world.agents["weber"].admin
        group = self.world.groups["ward"]
        self.world.vault.append(admin.set_column(group.group_id, TABLE, column, state))
        self.world.follow("weber", "kim", "eve")

    def cut_over(self) -> None:
        """End the reading of legacy rows."""
        for column in COLUMNS:
            self.set_column(column, ColumnState.CUT_OVER)

    def rewrap(
        self, place: Place, row: LegacyRow | None = None, *, suite: str = "rsa-oaep"
    ) -> AdoptedRow:
        """Give a row its new locks. Raises what refuses it."""
        found = row or self.rows[place.name]
        to = self.world.targets(place)
        (made,) = self.world.vault.rewrap([(place.context, found, to)], suite=suite)
        if isinstance(made, DataError):
            raise made
        return AdoptedRow(made, found.cells)

    def open(self, place: Place, row: LegacyRow | None = None) -> dict[str, bytes]:
        """Open a legacy row with no member. Raises what refuses it."""
        found = row or self.rows[place.name]
        (opened,) = self.world.vault.open_legacy([(place.context, found)])
        if opened.error is not None:
            raise opened.error
        return {column: opened.data(column).reveal() for column in opened.columns}

    def seal_anew(self, place: Place) -> Place:
        """The place with today's content, for a row that was written since: native."""
        content = {column: b"today's " + value for column, value in place.content.items()}
        return replace(place, layout="row", content=content)

    def remove_key(self) -> None:
        """Take the old private key out of the token, as its owner does after the adoption."""
        with interface(self.world) as api:
            for key in api.objects({Cka.CLASS: Cko.PRIVATE_KEY, Cka.ID: self.key.cka_id or b""}):
                api.destroy(key)


def legacy_row(key: LegacyKey, dek: bytes, content: Mapping[str, bytes]) -> LegacyRow:
    """What the old application stored: made with the public key alone."""
    cells = {column: old_cell(dek, plaintext) for column, plaintext in content.items()}
    return LegacyRow(rsa_oaep_encrypt(key.public, key.oaep_hash, dek), KEY, cells)


def old_cell(dek: bytes, plaintext: bytes) -> LegacyCell:
    """One ciphertext of the old application."""
    nonce = os.urandom(12)
    return LegacyCell(nonce, gcm_seal(dek, nonce, plaintext, AAD), AAD)


def make_key(world: World) -> LegacyKey:
    """An RSA key as such applications have: persistent, may decrypt and unwrap."""
    cka_id = os.urandom(8)
    named: Attributes = {
        Cka.KEY_TYPE: Ckk.RSA,
        Cka.TOKEN: True,
        Cka.ID: cka_id,
        Cka.LABEL: b"old application",
    }
    public: Attributes = {Cka.CLASS: Cko.PUBLIC_KEY, **named, Cka.ENCRYPT: True, Cka.WRAP: True}
    private: Attributes = {
        Cka.CLASS: Cko.PRIVATE_KEY,
        **named,
        Cka.PRIVATE: True,
        Cka.SENSITIVE: True,
        Cka.EXTRACTABLE: False,
        Cka.DECRYPT: True,
        Cka.UNWRAP: True,
    }
    with live_token(world).pool.main() as login:
        made, _ = login.session.generate_rsa(2048, public, private)
        spki = rsa_spki(read_modulus(login.calls, made), b"\x01\x00\x01")
    return LegacyKey(public=spki, cka_id=cka_id)


@contextmanager
def adopted(world: World, **options: LegacyKey) -> Iterator[OldApplication]:
    """An old application that is being adopted; its key is gone from the token afterwards."""
    old = OldApplication.make(world, **options)
    try:
        yield old
    finally:
        if not options:
            old.remove_key()
