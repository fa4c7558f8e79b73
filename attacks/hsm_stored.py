"""Stored records, the HSM interface with PIN, the server, and no member."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from typing import Final

from attacks.harness import Mutation, Trial, attack, weakened
from attacks.hsm_interface import Interface, by_id, interface, parameters
from attacks.hsm_loot import Target, half_open, targets
from attacks.weak import RELEASE_KEY_ZERO, bring_in_zeros
from attacks.world import PIN, World
from twinlock.core import sealing
from twinlock.core.locks import commit
from twinlock.core.ports import DekOpening, Token, TransportKey
from twinlock.core.primitives import aes_key_wrap, hmac_sha256, rsa_oaep_encrypt, sha256
from twinlock.core.secret import Secret
from twinlock.errors import DataError
from twinlock.token.ck import Cka, Ckk, Ckm, Cko
from twinlock.token.importing import ReleaseKeyImport
from twinlock.token.structures import Attributes

_READABLE: Final[Attributes] = {
    Cka.CLASS: Cko.SECRET_KEY,
    Cka.KEY_TYPE: Ckk.AES,
    Cka.TOKEN: False,
    Cka.SENSITIVE: False,
    Cka.EXTRACTABLE: True,
}


_NO_INNER_LOCK: Final = Mutation(
    "no inner lock: W is the DEK itself, or the DEK under zeros",
    lambda: weakened(
        (sealing, "aes_key_wrap", lambda _, dek: dek + bytes(8)),
        (ReleaseKeyImport, "bring_in", bring_in_zeros),
    ),
    rebuild=True,
)
RELEASE_KEY_STORED: Final = Mutation(
    "the commitment in the lock header is the release key itself",
    lambda: weakened((sealing, "commit", lambda release_key, _: release_key.reveal())),
    rebuild=True,
)


@attack(
    id="hsm-stored-records",
    claim="all-idle",
    attack=7,
    says="every record with every key, mechanism and guess that the HSM interface allows",
    mutations=[_NO_INNER_LOCK, RELEASE_KEY_ZERO, RELEASE_KEY_STORED],
    databases=False,
)
def hsm_stored_records(world: World, trial: Trial) -> None:
    """O is decrypted first: the PIN suffices for that. Everything else must end at W."""
    with interface(world) as api:
        found = [half_open(api, target) for target in targets(world)]
    without_a_member(world, trial, found)


def without_a_member(world: World, trial: Trial, found: Iterable[Target]) -> None:
    """Try everything on half-opened records that the HSM interface allows."""
    with world.hsm.connected() as token, interface(world) as api:
        transport = token.generate_transport_key()
        shared = _shared_values(world)
        answering: dict[bytes, list[int]] = {}
        for target in found:
            _every_mechanism(world, trial, api, target, answering)
            with trial.attempt("guessed release keys") as attempt:
                attempt.says(any(_opens_in_token(api, target, key) for key in guesses(target)))
            with trial.attempt("stored bytes as keys") as attempt:
                known = target.lost_in(target.stored) or target.lost_in(target.wrapped_dek)
                attempt.says(known or any(target.lost_by(value) for value in shared))
            with trial.attempt("a release of one's own") as attempt:
                attempt.says(_release_of_ones_own(token, transport, target))


def _every_mechanism(
    world: World, trial: Trial, api: Interface, target: Target, answering: dict[bytes, list[int]]
) -> None:
    """Whether a token takes a key with a mechanism does not depend on the data.

    So what it took for none of the first record's data is left out for the others.
    """
    for entry in world.vault.directory.entries:
        (key,) = by_id(api, entry.key.kid)
        mechanisms = answering.get(entry.key.kid) or api.mechanisms()
        found = {how: list(_answers(api, how, key, target)) for how in mechanisms}
        answering.setdefault(entry.key.kid, [how for how in found if found[how]])
        with trial.attempt("every mechanism on O, W and C") as attempt:
            answers = [answer for some in found.values() for answer in some]
            attempt.says(any(target.lost_in(answer) for answer in answers))


def _answers(api: Interface, mechanism: int, key: int, target: Target) -> Iterator[bytes]:
    """Everything that the token gives back for one key and mechanism."""
    for data in (target.outer.sealed, target.wrapped_dek, target.part.ciphertext):
        for how in parameters(mechanism, data, target.part.nonce, target.outer.binding):
            answers = [
                api.decrypt(mechanism, how, key, data),
                api.encrypt(mechanism, how, key, data),
                api.sign(mechanism, how, key, data),
            ]
            made = [
                api.unwrap(mechanism, how, key, data, _READABLE),
                api.derive(mechanism, how, key, {**_READABLE, Cka.VALUE_LEN: 32}),
            ]
            answers += [api.attribute(handle, Cka.VALUE) for handle in made if handle is not None]
            yield from (answer for answer in answers if answer is not None)


def guesses(target: Target) -> list[bytes]:
    """Release keys that a careless implementation would have used."""
    public = target.commitment, target.dek_id, target.outer.binding
    return [
        *(bytes([byte]) * 32 for byte in (0, 1, 255)),
        *(sha256(value) for value in public),
        *(hmac_sha256(PIN.encode(), value) for value in public),
        PIN.encode().ljust(32, b"\0"),
        commit(Secret(bytes(32)), target.dek_id),
        target.dek_id * 2,
    ]


def _opens_in_token(api: Interface, target: Target, guess: bytes) -> bool:
    key = api.create({**_READABLE, Cka.UNWRAP: True, Cka.VALUE: guess})
    if key is None:
        return target.lost_by(guess)
    dek = api.unwrap(Ckm.AES_KEY_WRAP, None, key, target.wrapped_dek, _READABLE)
    api.destroy(key)
    return dek is not None and target.opened_by(api.attribute(dek, Cka.VALUE) or b"")


def _release_of_ones_own(token: Token, transport: TransportKey, target: Target) -> bool:
    """A release that no member signed, put to the token as the server does."""
    session_key = os.urandom(32)
    block = rsa_oaep_encrypt(transport.public, transport.oaep_hash, session_key)
    items = [
        DekOpening(aes_key_wrap(session_key, guess), target.outer, [[target.part]])
        for guess in guesses(target)
    ]
    with token.opening(transport.kid, block) as opening:
        return any(not isinstance(found, DataError) for found in opening.open_many(items))


def _shared_values(world: World) -> list[bytes]:
    """Every value of 32 bytes in any table of the database."""
    tables = world.database.snapshot().tables.values()
    values = (value for rows in tables for row in rows for value in row.values())
    return [value for value in values if isinstance(value, bytes) and len(value) == 32]
