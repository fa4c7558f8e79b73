"""Guessing passwords with the database alone, the right one being in the guesser's list.

Snapshots of before and after a change of the password, of another factor, of the hardening key, of
the group's epoch and of the member's keys are put together. Whatever else a verb changes in what is
stored belongs into ``_CHANGES``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from attacks.factor_accounts import (
    NEW_PASSWORD,
    PASSWORDS,
    WRONG,
    Accounts,
    hashings,
    scram_salt,
)
from attacks.factor_guessing import Guesser
from attacks.factor_kept import Kept
from attacks.harness import Mutation, Trial, attack, weakened
from attacks.powers import Snapshot, directory_of
from attacks.world import World
from twinlock.agent import ways
from twinlock.agent.factors import Passphrase, Password
from twinlock.agent.scram import Scram
from twinlock.core import enrolment as enrolments
from twinlock.core.enrolment import Enrolment
from twinlock.core.factors import Factor, Parameters, Place, password
from twinlock.core.factors.stretching import stretch
from twinlock.core.login import login_secret, login_verifier
from twinlock.core.member_change import Login
from twinlock.core.primitives import hkdf_extract
from twinlock.core.secret import Secret
from twinlock.server import members
from twinlock.token.pkcs11_token import Pkcs11Token

_SEAL, _OPEN = Pkcs11Token.seal_verifier, Pkcs11Token.open_verifier
_VERIFIER_SIZE: Final = 64
_ENROLMENT_KEY: Final = enrolments._enrolment_key


def _hash_alone(*given: object) -> Secret:
    stretched = given[-1]
    if not isinstance(stretched, Secret):
        raise TypeError("the last argument is the password's hash")
    return Secret(hkdf_extract(b"", stretched.reveal()))


def _login_of_hash(factor: Password, made: Enrolment) -> bytes:
    _, by = password.take_password_parameters(dict(made.factors)["password"])
    return login_verifier(made.member_id, login_secret(stretch(factor.ask(), by)))


def _seal_beside(token: Pkcs11Token, kid: bytes, plaintext: Secret, binding: bytes) -> bytes:
    return _SEAL(token, kid, plaintext, binding) + plaintext.reveal()


def _open_beside(token: Pkcs11Token, kid: bytes, sealed: bytes, binding: bytes) -> Secret:
    return _OPEN(token, kid, sealed[:-_VERIFIER_SIZE], binding)


def _one_factor_alone(
    factors: Sequence[Factor], parameters: Sequence[tuple[str, Parameters]], place: Place
) -> Secret:
    return _ENROLMENT_KEY(factors[-1:], parameters[-1:], place)


def _never(_: object) -> bool:
    return False


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
    lambda: weakened((Password, "new_login", _login_of_hash)),
)
_STORED_KEY_STORED: Final = Mutation(
    "StoredKey lies beside its locked copy",
    lambda: weakened(
        (Pkcs11Token, "seal_verifier", _seal_beside), (Pkcs11Token, "open_verifier", _open_beside)
    ),
)


_GUESSABLE_KEPT: Final = Mutation(
    "enrolments that a guess opens are kept at the server, too",
    lambda: weakened((ways, "guessable", _never), (members, "guessable", _never)),
)


@attack(
    id="factor-offline",
    claim="password-database",
    attack=13,
    says="passwords guessed with one snapshot of everything, and with old and new ones together",
    mutations=[
        HASH_ALONE,
        _LOGIN_OF_HASH,
        _STORED_KEY_STORED,
        ONE_FACTOR_ALONE,
        _GUESSABLE_KEPT,
    ],
)
def factor_offline(world: World, trial: Trial) -> None:
    """Each password is in the list; nothing that is stored may tell it from another one."""
    for number, hashing in enumerate(hashings(trial)):
        if number:
            world.reset()
        with hashing:
            round = _Round(Kept(Accounts(world)))
            round.one_snapshot(trial)
            round.old_and_new(trial)


class _Round:
    """Members who change one after another, and a guesser who copies the database in between."""

    def __init__(self, kept: Kept) -> None:
        self.kept = kept
        accounts = kept.accounts
        self.passwords = {name: accounts.password(name) for name in ("ada", "ben")}
        kept.enter("ada", self.passwords["ada"])
        kept.enter("ben", self.passwords["ben"], accounts.device("ben"))
        kept.enter("gil", Passphrase(PASSWORDS["gil"]))
        scram = Scram(PASSWORDS["dan"])
        verifier = Login("scram", scram.new_verifier().to_text().reveal())
        dan = kept.enter("dan", scram, accounts.device("dan"), logins=[verifier])
        accounts.registered("cleo")
        self.salts = {
            "cleo": scram_salt(accounts.login, "cleo", accounts.find),
            "dan": tuple(dict(dan.factors)["scram"]),
        }
        self.snapshot = kept.world.database.snapshot()
        self.memory: dict[tuple[str, bytes], Any] = {}

    def guesser(self, name: str, *later: Snapshot) -> Guesser:
        """Somebody with the first snapshot and these, who looks at one member."""
        kept, snapshots = self.kept, [self.snapshot, *later]
        made = [e for s in snapshots for e in kept.enrolments_in(s, name)] if name != "cleo" else []
        directory = directory_of(kept.world.config)
        scram = [self.salts[name]] if name in self.salts else []
        return Guesser(directory, made, snapshots, scram=scram, memory=self.memory)

    def one_snapshot(self, trial: Trial) -> None:
        """Guess at each account by itself."""
        for name, has in _HAS.items():
            guesser = self.guesser(name)
            with trial.attempt(f"{has}, one snapshot") as attempt:
                attempt.says(bool(guesser.found([PASSWORDS[name], WRONG])))

    def old_and_new(self, trial: Trial) -> None:
        """Guess with what was stored before and after each change."""
        for what, change in _CHANGES.items():
            name, typed = change(self)
            guesser = self.guesser(name, self.kept.world.database.snapshot())
            with trial.attempt(f"old and new, {what}") as attempt:
                attempt.says(bool(guesser.found([*typed, WRONG])))


_HAS: Final = {
    "ada": "a password",
    "ben": "a password beside a device key",
    "cleo": "a SCRAM account",
    "dan": "SCRAM beside a device key",
    "gil": "a passphrase alone",
}


def _another_password(round: _Round) -> tuple[str, Sequence[str]]:
    other = round.passwords["ada"] = round.kept.accounts.password("ada", NEW_PASSWORD)
    round.kept.change("ada", other)
    return "ada", [PASSWORDS["ada"], NEW_PASSWORD]


def _another_device_key(round: _Round) -> tuple[str, Sequence[str]]:
    """The same password twice, under two salts."""
    accounts = round.kept.accounts
    key = accounts.device("ben", "another.key")
    round.kept.change("ben", round.passwords["ben"], key)
    return "ben", [PASSWORDS["ben"]]


def _another_hardening_key(round: _Round) -> tuple[str, Sequence[str]]:
    """The same password under two hardening keys."""
    round.kept.rotate("ada", round.passwords["ada"])
    return "ada", [PASSWORDS["ada"], NEW_PASSWORD]


def _another_epoch(round: _Round) -> tuple[str, Sequence[str]]:
    round.kept.new_epoch()
    return "ada", [PASSWORDS["ada"], NEW_PASSWORD]


def _other_member_keys(round: _Round) -> tuple[str, Sequence[str]]:
    """The same password once more, for other keys of the same member."""
    accounts = round.kept.accounts
    round.kept.revoke("ben", round.passwords["ben"], accounts.device("ben", "third.key"))
    return "ben", [PASSWORDS["ben"]]


_CHANGES: Final[Mapping[str, Callable[[_Round], tuple[str, Sequence[str]]]]] = {
    "another password": _another_password,
    "another device key": _another_device_key,
    "another hardening key": _another_hardening_key,
    "another epoch": _another_epoch,
    "other member keys": _other_member_keys,
}
"""What changes between two snapshots; says whose it is, and every password that was there."""


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
