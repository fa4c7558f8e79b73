"""The old key and the HSM interface: during an adoption, and once the key has left."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from attacks.forge import wrapping_key
from attacks.harness import Mutation, Trial, attack, nothing, weakened
from attacks.hsm_interface import Interface, by_id, interface, oaep
from attacks.hsm_loot import half_open, target_of
from attacks.hsm_stored import RELEASE_KEY_STORED, guesses, without_a_member
from attacks.legacy import PLACES, adopted
from attacks.places import Place
from attacks.weak import RELEASE_KEY_ZERO
from attacks.world import SUITES, World
from twinlock.core.adopting import LegacyKey, Rewrap
from twinlock.core.ports import KeyRole
from twinlock.core.primitives import gcm_open
from twinlock.server.legacy import LegacyData, LegacyRow
from twinlock.server.records import Stored
from twinlock.token.adopting import Pkcs11Adopting
from twinlock.token.calls import SessionCalls
from twinlock.token.ck import Ckm


def _dek_itself(adopting: Pkcs11Adopting, work: SessionCalls, item: Rewrap) -> bytes:
    return adopting._decrypt(work, item.wrapped_dek).reveal() + bytes(8)


_NO_INNER_LOCK: Final = Mutation(
    "no inner lock: W is the DEK itself",
    lambda: weakened((Pkcs11Adopting, "_wrapped", _dek_itself)),
)
_KEY_KEPT: Final = Mutation(
    "the old key may stay as the new wrapping key",
    lambda: weakened((LegacyData, "_require_other_keys", nothing)),
)


@attack(
    id="adopted-hsm",
    claim="adopted",
    attack=(7, 40),
    says="rewrapped and old rows with every key and mechanism, once the old key has left",
    mutations=[_NO_INNER_LOCK, RELEASE_KEY_ZERO, RELEASE_KEY_STORED, _KEY_KEPT],
    databases=False,
)
def adopted_hsm(world: World, trial: Trial) -> None:
    """Old wrapped DEKs are in every backup. Only a wrapping key of its own makes them worthless."""
    key = _kept(world, trial)
    options = {} if key is None else {"key": key}
    with adopted(world, **options) as old:
        found = [
            target_of(world, place, old.rewrap(place, suite=suite))
            for place, suite in zip(PLACES, SUITES * 2, strict=True)
        ]
        old.cut_over()
        if key is None:
            old.remove_key()
        with interface(world) as api:
            found = [half_open(api, target) for target in found]
        blobs = {place.name: old.rows[place.name].wrapped_dek for place in PLACES}
        without_a_member(world, trial, found)
        with interface(world) as api:
            for target in found:
                with trial.attempt("an old wrapped DEK") as attempt:
                    deks = _decrypted(world, api, blobs[target.place.name])
                    attempt.says(any(target.opened_by(dek) for dek in deks))


def _kept(world: World, trial: Trial) -> LegacyKey | None:
    """Try to adopt with the wrapping key that was there before: return it if that goes."""
    wrapping = wrapping_key(world)
    key = LegacyKey(public=wrapping.public, cka_id=wrapping.kid)
    with trial.attempt("the old key kept as wrapping key", "legacy.same-key") as attempt:
        with adopted(world, key=key) as old:
            old.rewrap(PLACES[0])
        attempt.broke()
    return key if attempt.result else None


def _decrypted(world: World, api: Interface, blob: bytes) -> list[bytes]:
    """What every RSA key that is left makes of an old wrapped DEK."""
    kids = [
        entry.key.kid
        for entry in world.vault.directory.entries
        if entry.key.role is KeyRole.WRAPPING
    ]
    keys = [key for kid in kids for key in by_id(api, kid)]
    answers = [
        api.decrypt(Ckm.RSA_PKCS_OAEP, oaep(sha256), key, blob)
        for key in keys
        for sha256 in (False, True)
    ]
    return [answer for answer in answers if answer is not None]


@attack(
    id="adopted-meanwhile",
    claim="adopted",
    attack=40,
    says="what a server that is taken over during the adoption yields, measured; and afterwards",
    mutations=[RELEASE_KEY_ZERO],
    databases=False,
)
def adopted_meanwhile(world: World, trial: Trial) -> None:
    """With the old key: every row's content of before, rewrapped or not. Nothing written since."""
    with adopted(world) as old:
        legacy, rewrapped, _, native = PLACES
        today = old.seal_anew(native)
        lying: dict[str, tuple[Place, Stored]] = {
            rewrapped.name: (rewrapped, old.rewrap(rewrapped)),
            "written since": (today, world.seal(today)),
        }
        before = {place.content["diagnosis"] for place in (legacy, rewrapped)}
        backup = [old.rows[place.name] for place in (legacy, rewrapped)]
        taken = _loot(world, old.key, backup, lying)
        trial.loot("with the old key in reach", claimed=before, taken=taken)
        old.remove_key()
        taken = _loot(world, old.key, backup, lying)
        trial.loot("once it has left", claimed=set(), taken=taken)


def _loot(
    world: World, key: LegacyKey, backup: list[LegacyRow], lying: dict[str, tuple[Place, Stored]]
) -> set[bytes]:
    """Contents that database and HSM interface give: the old way, and through the new locks."""
    taken = set()
    with interface(world) as api:
        for row in backup:
            for handle in by_id(api, key.cka_id or b""):
                dek = api.decrypt(Ckm.RSA_PKCS_OAEP, oaep(), handle, row.wrapped_dek)
                cell = row.cells["diagnosis"]
                if dek is not None:
                    taken.add(gcm_open(dek, cell.nonce, cell.ciphertext, cell.aad))
        for place, stored in lying.values():
            target = half_open(api, target_of(world, place, stored))
            if any(target.lost_by(guess) for guess in guesses(target)):
                taken.add(place.content["diagnosis"])
    return taken


@attack(
    id="adopted-rewrap",
    claim="adopted",
    attack=(1, 40),
    says="rows whose DEK or ciphertext was exchanged before they got new locks",
    mutations=[
        Mutation(
            "content is not decrypted under the DEK that gets new locks",
            lambda: weakened((Pkcs11Adopting, "_check", nothing)),
        )
    ],
    databases=False,
)
def adopted_rewrap(world: World, trial: Trial) -> None:
    """The writer key signs what comes out, so what does not belong together must not get through.

    What the writer of the database moved as a whole, DEK and ciphertexts, does belong together: an
    old row has no author and no context. That is conceded (docs/threat-model.md).
    """
    with adopted(world) as old:
        for place, other in zip(PLACES, (*PLACES[1:], PLACES[0]), strict=True):
            row, foreign = old.rows[place.name], old.rows[other.name]
            for kind, changed in (
                ("another row's DEK", replace(row, wrapped_dek=foreign.wrapped_dek)),
                ("another row's ciphertexts", replace(row, cells=foreign.cells)),
                ("one ciphertext of another row", _one_of(row, foreign)),
            ):
                with trial.attempt(kind, "legacy.content") as attempt:
                    attempt.says(bool(old.rewrap(place, changed)))


def _one_of(row: LegacyRow, foreign: LegacyRow) -> LegacyRow:
    return replace(row, cells={**row.cells, "medication": foreign.cells["medication"]})
