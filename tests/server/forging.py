"""Records changed the way somebody who writes the database could change them."""

from __future__ import annotations

import dataclasses
import os
from typing import Any, Protocol

from sqlalchemy import text

from twinlock import Agent, Context, Release, Vault
from twinlock.core.envelope import Layout, decode_value, encode_value, new_header
from twinlock.core.locks import GroupTarget
from twinlock.core.ports import KeyRole, OuterSuite
from twinlock.core.primitives import SigningKey, signing_key_from_seed
from twinlock.core.release import decode_release, sign_message, split_signed
from twinlock.core.sealing import Sealer
from twinlock.core.secret import Secret
from twinlock.server.groups import Group


class HasVault(Protocol):
    @property
    def vault(self) -> Vault: ...


def flipped(data: bytes, at: int) -> bytes:
    """One bit changed."""
    changed = bytearray(data)
    changed[at] ^= 1
    return bytes(changed)


def with_header(stored: bytes, **changes: Any) -> bytes:
    """Another lock header: ``locks``, ``outer_suite``, ``commitment`` or ``wrapping_kid``."""
    head, field = decode_value(stored)
    old = dataclasses.replace(head.header, **changes)
    header = new_header(old.commitment, old.outer_suite, old.wrapping_kid, old.locks)
    return encode_value(dataclasses.replace(head, header=header), field)


def with_outer(stored: bytes, outer: bytes) -> bytes:
    """Another O."""
    head, field = decode_value(stored)
    return encode_value(dataclasses.replace(head, outer=outer), field)


def with_field(stored: bytes, **changes: Any) -> bytes:
    """Another ciphertext, nonce prefix or signature."""
    head, field = decode_value(stored)
    return encode_value(head, dataclasses.replace(field, **changes))


def planted(
    vault: Vault, group: Group, context: Context, text: str, writer: SigningKey | None = None
) -> bytes:
    """A record made with public keys alone, by a writer whom no group names."""
    [wrapping] = [
        entry.key
        for entry in vault.directory.entries
        if entry.key.role is KeyRole.WRAPPING and entry.key.suite is not OuterSuite.TOKEN_AES
    ]
    epoch = vault.group_state(group).current_epoch
    sealer = Sealer(writer or signing_key_from_seed(Secret(os.urandom(32))), wrapping, os.urandom)
    column = str(context.column)
    head, fields = sealer.seal_fields(
        context.encode(vault.config.deployment_id),
        Layout.VALUE,
        {column: text.encode()},
        [GroupTarget(group.group_id, epoch.number, epoch.kem, epoch.public)],
    )
    return encode_value(head, fields[column])


def signed_by(agent: Agent, release: Release, **changes: object) -> bytes:
    """The same release with changes, signed by the member's own agent: the member lies."""
    message = dataclasses.replace(decode_release(split_signed(release.raw)[0]), **changes)
    return sign_message(message.encode(), agent._unlocked().signing)


def execute(world: HasVault, statement: str, *, check: bool = True, **values: object) -> None:
    """Change the database behind the server's back; with ``check`` something must change."""
    with world.vault.store._database.write() as connection:
        changed = connection.execute(text(statement), values).rowcount
    assert changed or not check
