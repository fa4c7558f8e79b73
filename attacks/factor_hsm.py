"""Guessing passwords with the HSM interface: what it takes, and whom it does not reach.

Here the claim concedes something, so that what is counted is loot: passwords found, and members
whose keys opened with them. Their enrolments are in the attacker's hands, wherever they lie.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from typing import Final

from attacks.factor_accounts import (
    NEW_PASSWORD,
    PASSWORDS,
    WRONG,
    Accounts,
    Service,
    free_hashes,
    hashings,
)
from attacks.factor_guessing import Guesser, Harden
from attacks.factor_kept import Kept
from attacks.factor_offline import ONE_FACTOR_ALONE
from attacks.harness import Mutation, Trial, attack, nothing, weakened
from attacks.hsm_interface import ECDH1_DERIVE, Interface, by_id, ecdh, gcm, interface
from attacks.powers import directory_of
from attacks.world import World
from twinlock.core import cbor
from twinlock.core.enrolment import Enrolment
from twinlock.core.scram.verifier import ScramVerifier
from twinlock.core.secret import Secret
from twinlock.server import setup
from twinlock.server.guess_cost import expected_seconds, measure
from twinlock.server.rotation import destroy
from twinlock.token.ck import Cka, Ckk, Ckm, Cko
from twinlock.token.pkcs11_token import Pkcs11Token
from twinlock.token.structures import Attributes

_WHO: Final = ("ada", "ben", "cleo", "dan")
_SECONDS: Final = 0.4
_BITS: Final = 40
_YEAR: Final = 365.25 * 86400
_READABLE: Final[Attributes] = {
    Cka.CLASS: Cko.SECRET_KEY,
    Cka.KEY_TYPE: Ckk.GENERIC_SECRET,
    Cka.TOKEN: False,
    Cka.SENSITIVE: False,
    Cka.EXTRACTABLE: True,
    Cka.VALUE_LEN: 32,
}


class NoKeyError(Exception):
    """The token has no such key (any more)."""


def hardening(api: Interface) -> Harden:
    """Multiply points as whoever has the PIN can: by hand, past every limit."""

    def harden(kid: bytes, point: bytes) -> bytes:
        keys = by_id(api, kid)
        if not keys:
            raise NoKeyError(kid.hex())
        (key,) = keys
        made = api.derive(ECDH1_DERIVE, ecdh(point), key, _READABLE)
        value = api.attribute(made, Cka.VALUE) if made is not None else None
        if made is None or value is None:
            raise LookupError("the token does not multiply for whoever has the PIN")
        api.destroy(made)
        return value

    return harden


def unlocked_verifier(world: World, api: Interface, account: str, locked: bytes) -> ScramVerifier:
    """Decrypt a stored SCRAM verifier, as whoever has the PIN can."""
    _, kid, count, salt, sealed = cbor.decode(locked)
    deployment_id = world.config.deployment_id
    binding = cbor.encode(["twinlock/v1/verifier", deployment_id, account, kid, count, salt])
    (key,) = by_id(api, kid)
    found = api.decrypt(Ckm.AES_GCM, gcm(sealed[:12], binding), key, sealed[12:])
    if found is None:
        raise LookupError("the token does not decrypt for whoever has the PIN")
    return ScramVerifier(count, salt, Secret(found[:32]), Secret(found[32:]))


@attack(
    id="factor-hsm-guesses",
    claim="password-hsm",
    attack=14,
    says="every password of a list put to the token, by whoever has database and HSM interface",
    mutations=[ONE_FACTOR_ALONE],
    databases=False,
)
def factor_hsm_guesses(world: World, trial: Trial) -> None:
    """The passwords are found; with them open those who have nothing else."""
    for hashing in hashings(trial):
        with hashing, interface(world) as api:
            _guess(world, trial, api)
    if not trial.weakened:
        _measure(world, trial)


def _guess(world: World, trial: Trial, api: Interface) -> None:
    accounts = Accounts(world)
    directory, harden = directory_of(world.config), hardening(api)
    taken: set[tuple[str, str]] = set()
    for name in _WHO:
        made: Enrolment = getattr(accounts, name)()
        guesser = Guesser(directory, [made], [world.database.snapshot()], harden=harden)
        if (locked := accounts.find(name)) is not None:
            verifier = unlocked_verifier(world, api, name, locked)
            known = (verifier.stored_key.reveal(), verifier.server_key.reveal())
            salt = [(verifier.salt, verifier.iterations)]
            guesser = replace(guesser, seen=known, scram=salt)
        for text in guesser.found([PASSWORDS[name], WRONG]):
            taken.add(("password", name))
            if guesser.opens(made, text) is not None:
                taken.add(("member", name))
    claimed = {("password", name) for name in _WHO} | {("member", "ada"), ("member", "cleo")}
    trial.loot("passwords and members", claimed=claimed, taken=taken)


@attack(
    id="factor-hsm-old-key",
    claim="password-hsm",
    attack=13,
    says="an old snapshot and its password, with the HSM interface, once that key was destroyed",
    mutations=[
        Mutation(
            "a destroyed key stays in the token",
            lambda: weakened((Pkcs11Token, "destroy_key", nothing)),
        )
    ],
    databases=False,
)
def factor_hsm_old_key(world: World, trial: Trial) -> None:
    """The password moved to another key and was changed: nothing tests the old one any more."""
    vault, kept = world.vault, Kept(Accounts(world))
    added = setup.add_hardening_key(vault.store, vault.token, vault.config, now=world.clock())
    vault.read_directory_again()
    with free_hashes():
        first = kept.accounts.password("ada", service=Service(world, "ada", kid=added.kid))
        kept.enter("ada", first)
        old, directory = world.database.snapshot(), directory_of(world.config)
        kept.rotate("ada", kept.accounts.password("ada"))
        kept.change("ada", kept.accounts.password("ada", NEW_PASSWORD))
        destroy(vault, added.kid)
        with interface(world) as api:
            guesser = Guesser(
                directory, kept.enrolments_in(old, "ada"), [old], harden=hardening(api)
            )
            with trial.attempt("an old password") as attempt:
                attempt.held()
                with suppress(NoKeyError):
                    attempt.says(guesser.found([PASSWORDS["ada"], WRONG]) != set())


def _measure(world: World, trial: Trial) -> None:
    """The token's speed, and what it makes of a password of 40 bits."""
    kid = Accounts(world).password("ada").offer()
    threads = [1, world.config.sessions]
    with world.hsm.connected() as token:
        rates = measure(token, kid, threads, _SECONDS)
    best = max(rate.per_second for rate in rates)
    each = ", ".join(f"{rate.per_second:,.0f} with {rate.threads} at once" for rate in rates)
    trial.measure("guesses a second through the HSM interface", each)
    years = expected_seconds(_BITS, best) / _YEAR
    trial.measure(f"mean time to a password of {_BITS} bits", f"{years:,.1f} years")
    limits = world.config.hardening
    allowed = 2 * limits.key_per_hour
    years = expected_seconds(_BITS, allowed / 3600) / _YEAR
    trial.measure(
        f"the same within an honest server's limits, {allowed:,} guesses an hour",
        f"{years:,.0f} years",
    )
