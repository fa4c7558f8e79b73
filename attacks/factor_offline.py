"""Guessing passwords with the database alone, the right one being in the guesser's list.

Snapshots of before and after a change of the password, of another factor, of the hardening key and
of the group's epoch are put together. A change is here a new enrolment of the same member; what the
verbs for changing, revoking and rotating store beyond that belongs into ``CHANGES``.
"""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from attacks.factor_accounts import (
    NEW_PASSWORD,
    PASSWORDS,
    WRONG,
    Accounts,
    Service,
    hashings,
)
from attacks.factor_guessing import Guesser
from attacks.harness import Mutation, Trial, attack, weakened
from attacks.powers import Snapshot, directory_of
from attacks.world import World
from twinlock.agent.factors import Password
from twinlock.core import enrolment as enrolments
from twinlock.core.enrolment import Enrolment
from twinlock.core.factors import Factor, Parameters, Place, password
from twinlock.core.factors.stretching import stretch
from twinlock.core.login import login_secret
from twinlock.core.primitives import hkdf_extract
from twinlock.core.secret import Secret
from twinlock.token.pkcs11_token import Pkcs11Token

_SEAL, _OPEN = Pkcs11Token.seal_verifier, Pkcs11Token.open_verifier
_VERIFIER_SIZE: Final = 64
_ENROLMENT_KEY: Final = enrolments._enrolment_key


def _hash_alone(*given: object) -> Secret:
    stretched = given[-1]
    if not isinstance(stretched, Secret):
        raise TypeError("the last argument is the password's hash")
    return Secret(hkdf_extract(b"", stretched.reveal()))


def _login_of_hash(factor: Password, enrolment: Enrolment) -> Secret:
    _, by = password.take_password_parameters(dict(enrolment.factors)["password"])
    return login_secret(stretch(factor.ask(), by))


def _seal_beside(token: Pkcs11Token, kid: bytes, plaintext: Secret, binding: bytes) -> bytes:
    return _SEAL(token, kid, plaintext, binding) + plaintext.reveal()


def _open_beside(token: Pkcs11Token, kid: bytes, sealed: bytes, binding: bytes) -> Secret:
    return _OPEN(token, kid, sealed[:-_VERIFIER_SIZE], binding)


def _one_factor_alone(
    factors: Sequence[Factor], parameters: Sequence[tuple[str, Parameters]], place: Place
) -> Secret:
    return _ENROLMENT_KEY(factors[-1:], parameters[-1:], place)


HASH_ALONE: Final = Mutation(
    "a password's output is Argon2id alone: the token hardens nothing",
    lambda: weakened((password, "password_output", _hash_alone)),
)
ONE_FACTOR_ALONE: Final = Mutation(
    "an enrolment opens with the last of its factors",
    lambda: weakened((enrolments, "_enrolment_key", _one_factor_alone)),
)
_LOGIN_OF_HASH: Final = Mutation(
    "what is kept for split login comes from the hash that was not hardened",
    lambda: weakened((Password, "login_secret", _login_of_hash)),
)
_STORED_KEY_STORED: Final = Mutation(
    "StoredKey lies beside its locked copy",
    lambda: weakened(
        (Pkcs11Token, "seal_verifier", _seal_beside), (Pkcs11Token, "open_verifier", _open_beside)
    ),
)


@attack(
    id="factor-offline",
    claim="password-database",
    attack=13,
    says="passwords guessed with one snapshot of everything, and with old and new ones together",
    mutations=[HASH_ALONE, _LOGIN_OF_HASH, _STORED_KEY_STORED, ONE_FACTOR_ALONE],
)
def factor_offline(world: World, trial: Trial) -> None:
    """Each password is in the list; nothing that is stored may tell it from another one."""
    for hashing in hashings(trial):
        with hashing:
            round = _Round(Accounts(world))
            round.one_snapshot(trial)
            round.old_and_new(trial)


@dataclass(frozen=True, slots=True)
class _Change:
    """A new enrolment of the same member, and every password that it or the old one had."""

    name: str
    made: Enrolment
    texts: Sequence[str]


class _Round:
    """Accounts that change one after another, and a guesser who copies the database in between."""

    def __init__(self, accounts: Accounts) -> None:
        self.accounts = accounts
        self.made = {"ada": accounts.ada(), "ben": accounts.ben(), "dan": accounts.dan()}
        accounts.registered("cleo")
        self.first = accounts.world.database.snapshot()
        self.memory: dict[tuple[str, bytes], Any] = {}

    def guesser(self, made: Sequence[Enrolment], *snapshots: Snapshot) -> Guesser:
        """Somebody with the first snapshot and these, who looks at these enrolments."""
        directory = directory_of(self.accounts.world.config)
        return Guesser(directory, made, [self.first, *snapshots], memory=self.memory)

    def one_snapshot(self, trial: Trial) -> None:
        """Guess at each account by itself."""
        for name in PASSWORDS:
            guesser = self.guesser([self.made[name]] if name in self.made else [])
            if name in ("cleo", "dan"):
                guesser = replace(guesser, scram=[_salt_of(self.accounts, name)])
            with trial.attempt(f"{_HAS[name]}, one snapshot") as attempt:
                attempt.says(bool(guesser.found([PASSWORDS[name], WRONG])))

    def old_and_new(self, trial: Trial) -> None:
        """Guess with what was stored before and after each change."""
        for what, change in CHANGES.items():
            done = change(self.accounts)
            made = [self.made[done.name], done.made]
            guesser = self.guesser(made, self.accounts.world.database.snapshot())
            with trial.attempt(f"old and new, {what}") as attempt:
                attempt.says(bool(guesser.found([*done.texts, WRONG])))


_HAS: Final = {
    "ada": "a password",
    "ben": "a password beside a device key",
    "cleo": "a SCRAM account",
    "dan": "SCRAM beside a device key",
}


def _salt_of(accounts: Accounts, name: str) -> tuple[bytes, int]:
    """Anybody asks the server for it."""
    first = accounts.login.begin(f"n,,n={name},r=any", accounts.find).server_first
    _, salt, count = first.split(",")
    return b64decode(salt[2:]), int(count[2:])


def _another_password(accounts: Accounts) -> _Change:
    other = accounts.password("ada", NEW_PASSWORD)
    made = accounts.change("ada", other)
    accounts.keep("ada", made, other)
    return _Change("ada", made, [PASSWORDS["ada"], NEW_PASSWORD])


def _another_device_key(accounts: Accounts) -> _Change:
    """The same password twice, under two salts."""
    same = accounts.password("ben")
    made = accounts.change("ben", same, accounts.device("ben", "another.key"))
    accounts.keep("ben", made, same)
    return _Change("ben", made, [PASSWORDS["ben"]])


def _another_hardening_key(accounts: Accounts) -> _Change:
    """The same password under two hardening keys."""
    same = accounts.password("ada", service=Service.elsewhere(accounts.world, "ada"))
    made = accounts.change("ada", same)
    accounts.keep("ada", made, same)
    return _Change("ada", made, [PASSWORDS["ada"]])


def _another_epoch(accounts: Accounts) -> _Change:
    """A group's keys of two epochs, for a member who has a password."""
    world = accounts.world
    weber, ward = world.agents["weber"], world.groups["ward"].group_id
    with accounts.unlock("ada") as ada:
        world.vault.append(weber.admin.add(ward, ada.card(), compared=True))
        world.follow("weber")
        world.vault.append(weber.admin.new_epoch(ward))
        world.follow("weber")
    return _Change("ada", accounts.newest("ada"), [PASSWORDS["ada"]])


CHANGES: Final[Mapping[str, Callable[[Accounts], _Change]]] = {
    "another password": _another_password,
    "another device key": _another_device_key,
    "another hardening key": _another_hardening_key,
    "another epoch": _another_epoch,
}
"""What changes between two snapshots."""


@attack(
    id="factor-known",
    claim="factor-no-hsm",
    attack=13,
    says="a member's own password, device key and machine, with every snapshot and no token",
    mutations=[HASH_ALONE],
)
def factor_known(world: World, trial: Trial) -> None:
    """Not even the member's keys open, let alone a record: hardening takes the token."""
    for hashing in hashings(trial):
        with hashing:
            accounts = Accounts(world)
            for name, made in (("ada", accounts.ada()), ("ben", accounts.ben())):
                parameters = dict(made.factors).get("device-key")
                held = b""
                if parameters is not None:
                    held = accounts.device(name).output(parameters, made.place).reveal()
                guesser = Guesser(directory_of(world.config), [made], held={"device-key": held})
                with trial.attempt(f"known: {_HAS[name]}") as attempt:
                    attempt.says(guesser.opens(made, PASSWORDS[name]) is not None)
