"""What anybody can make with public keys, and with keys that the attacker happens to hold."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from attacks.people import Insider
from attacks.places import Place
from attacks.powers import directory_of
from attacks.world import World
from twinlock.core import segments
from twinlock.core.envelope import (
    Core,
    Field,
    GroupLock,
    Head,
    Layout,
    decode_cell,
    decode_row_head,
    decode_value,
    encode_cell,
    encode_row_head,
    encode_value,
    new_header,
)
from twinlock.core.locks import GroupTarget, LockSealer, Target, commit, open_sealed
from twinlock.core.ports import KeyRole, TokenKey
from twinlock.core.primitives import (
    SigningKey,
    aes_key_wrap,
    rsa_oaep_encrypt,
    sha256,
    signing_key_from_seed,
)
from twinlock.core.release import ReleaseItem, ReleaseMessage, sign_message, wrap_release_keys
from twinlock.core.sealing import OAEP_HASH, outer_binding
from twinlock.core.secret import Secret
from twinlock.errors import EnvError
from twinlock.server.records import (
    AdoptedRow,
    Sealed,
    SealedFile,
    SealedRow,
    Stored,
    read_file_head,
)
from twinlock.server.requests import Request
from twinlock.server.setup import read_writer_key


def fresh_signing_key() -> SigningKey:
    """Return a key of the attacker's own."""
    return signing_key_from_seed(Secret(os.urandom(32)))


def writer_key(world: World) -> SigningKey:
    """Return the application's writer key, for an attacker who took the application's files."""
    key = read_writer_key(world.config.writer_key)
    if key is None:
        raise LookupError("the world has no writer key")
    return key


def wrapping_key(world: World) -> TokenKey:
    """Return the token's RSA wrapping key, public as it is."""
    directory = directory_of(world.config)
    return directory.current(KeyRole.WRAPPING, world.vault.token.rsa_oaep_suite)


def target_of(world: World, group: str) -> GroupTarget:
    """Return a group's newest public key, from its log."""
    state = world.vault.group_states()[world.groups[group].group_id]
    epoch = state.current_epoch
    return GroupTarget(state.group_id, epoch.number, epoch.kem, epoch.public)


def lock_dek(
    world: World, core: Core, context: bytes, dek: bytes, targets: Sequence[Target]
) -> Head:
    """Lock a chosen DEK to groups and token, with public keys alone."""
    release_key, key = Secret(os.urandom(32)), wrapping_key(world)
    assert key.suite is not None
    sealer = LockSealer(core.raw, context, core.dek_id, release_key, os.urandom)
    rc = commit(release_key, core.dek_id)
    header = new_header(rc, key.suite, key.kid, sealer.seal(targets))
    digest = sha256(outer_binding(core.raw, context, header))
    wrapped = aes_key_wrap(release_key.reveal(), dek)
    return Head(core, header, rsa_oaep_encrypt(key.public, OAEP_HASH[key.suite], wrapped + digest))


def sign_field(
    core: Core, context: bytes, column: str, prefix: bytes, ciphertext: bytes, key: SigningKey
) -> Field:
    """Sign a field as its author would."""
    message = segments.signed_data(
        core.writer_kid,
        core.raw,
        context,
        column,
        segments.count_parts(len(ciphertext)),
        segments.content_digest(prefix, ciphertext),
    )
    return Field(prefix, ciphertext, key.sign(message))


@dataclass(frozen=True, slots=True)
class Taken:
    """A stored record taken apart: its head, and its fields by column."""

    head: Head
    fields: Mapping[str, Field]

    @classmethod
    def apart(cls, stored: Stored, column: str | None) -> Taken:
        """Take a stored record apart; ``column`` is a value's or file's own."""
        if isinstance(stored, SealedRow):
            head = decode_row_head(stored.head)
            return cls(head, {name: decode_cell(c, head) for name, c in stored.cells.items()})
        if isinstance(stored, SealedFile):
            head, content, signature = read_file_head(stored.path)
            raw = stored.path.read_bytes()[content.offset :][: content.size]
            return cls(head, {str(column): Field(content.prefix, raw, signature)})
        if isinstance(stored, AdoptedRow):
            raise TypeError("adopted rows have no fields of this kind")
        head, field = decode_value(stored.raw if isinstance(stored, Sealed) else stored)
        return cls(head, {str(column): field})

    def together(self) -> Stored:
        """Put a value or row together again."""
        if self.head.core.layout is Layout.ROW:
            cells = {name: encode_cell(self.head, field) for name, field in self.fields.items()}
            return SealedRow(encode_row_head(self.head), cells)
        (field,) = self.fields.values()
        return Sealed(encode_value(self.head, field))

    def resigned(self, world: World, place: Place, key: SigningKey) -> Taken:
        """Sign every field as if it had been written for another place."""
        context = place.context.encode(world.config.deployment_id)
        columns = [str(place.context.column)] if place.context.column else list(self.fields)
        fields = {
            column: sign_field(self.head.core, context, column, f.prefix, f.ciphertext, key)
            for column, f in zip(columns, self.fields.values(), strict=True)
        }
        return replace(self, fields=fields)


def take(world: World, place: Place) -> Taken:
    """Take apart what is stored for a place."""
    return Taken.apart(world.stored(place), place.context.column)


def open_lock(insider: Insider, head: Head, context: bytes) -> Secret | None:
    """Open the first whole lock that an insider's group keys open; None without one."""
    for lock in head.header.locks:
        if isinstance(lock, GroupLock):
            key = insider.group_keys.get((lock.group_id, lock.epoch))
            if key is not None:
                return open_sealed(
                    lock,
                    key,
                    core=head.core.raw,
                    context=context,
                    index=0,
                    count=1,
                    commitment=head.header.commitment,
                )
    return None


def answer(insider: Insider, request: Request, keys: Sequence[Secret]) -> bytes:
    """Answer a request that is bound to this member, with any release keys at all."""
    pending = request.pending[-1]
    block, wrapped = wrap_release_keys(pending.transport, keys, os.urandom)
    items = tuple(
        ReleaseItem(at, _dek_id(request, at), sorted(pending.lock_digests[at])[0], key)
        for at, key in enumerate(wrapped)
    )
    asked = pending.message
    message = ReleaseMessage(
        asked.deployment_id,
        pending.digest,
        insider.member_id,
        insider.keys.signing.kid,
        asked.transport_kid,
        asked.transport_digest,
        asked.not_after - 60,
        1,
        bytes(32),
        bytes(32),
        block,
        items,
    )
    return sign_message(message.encode(), insider.keys.signing)


def _dek_id(request: Request, at: int) -> bytes:
    record = request.asked[request.pending[-1].positions[at]].record
    if record is None:
        raise EnvError("attack.no-record", "the request asks for no such record")
    return record.head.core.dek_id
