"""What SCRAM gives away: ClientKey to the server that ends it, and a test to whoever recorded it.

Measured as what it opens: a member with SCRAM alone, and nobody who has a second factor.
"""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from attacks.factor_accounts import PASSWORDS, WRONG, Accounts, free_hashes
from attacks.factor_guessing import opened
from attacks.factor_hsm import unlocked_verifier
from attacks.factor_offline import ONE_FACTOR_ALONE
from attacks.harness import Mutation, Trial, attack, weakened
from attacks.hsm_interface import Interface, interface
from attacks.world import World
from twinlock.core.enrolment import Enrolment
from twinlock.core.factors import Place, scram
from twinlock.core.primitives import hmac_sha256, sha256
from twinlock.core.scram.keys import scram_keys
from twinlock.core.secret import Secret

_OUTPUT: Final = scram.scram_output


@dataclass(frozen=True, slots=True)
class Recorded:
    """An exchange that somebody listened to: client-first, server-first, client-final."""

    client_first: str
    server_first: str
    client_final: str

    @classmethod
    def of(cls, messages: Sequence[str]) -> Recorded:
        """Take the first three messages."""
        return cls(messages[0], messages[1], messages[2])

    def client_key(self, stored_key: bytes) -> bytes:
        """ClientKey, for whoever has StoredKey (RFC 5802 section 3)."""
        unproved, proof = self.client_final.rsplit(",p=", 1)
        bare = self.client_first.split(",", 2)[2]
        message = ",".join((bare, self.server_first, unproved)).encode()
        signature = hmac_sha256(stored_key, message)
        return bytes(a ^ b for a, b in zip(b64decode(proof), signature, strict=True))

    def proves(self, text: str) -> bool:
        """Tell whether a guess is the password, at the salt and count that the server named."""
        _, salt, count = self.server_first.split(",")
        keys = scram_keys(text, b64decode(salt[2:]), int(count[2:]))
        stored = keys.stored_key.reveal()
        return sha256(self.client_key(stored)) == stored


def _of_stored_key(place: Place, client_key: Secret) -> Secret:
    return _OUTPUT(place, Secret(sha256(client_key.reveal())))


_OUTPUT_OF_STORED_KEY: Final = Mutation(
    "the factor's output is made of StoredKey",
    lambda: weakened((scram, "scram_output", _of_stored_key)),
)


@attack(
    id="factor-scram-loot",
    claim="scram-alone",
    attack=(15, 32),
    says="StoredKey, read through the HSM interface, with a recorded exchange and with a list",
    mutations=[ONE_FACTOR_ALONE, _OUTPUT_OF_STORED_KEY],
    databases=False,
)
def factor_scram_loot(world: World, trial: Trial) -> None:
    """ClientKey comes out, and opens who has nothing else: that is conceded, and no more is."""
    accounts, taken, listed = Accounts(world), set(), set()
    with free_hashes(), interface(world) as api:
        for name, made in (("cleo", accounts.cleo()), ("dan", accounts.dan())):
            stored = _stored_key(accounts, api, name)
            recorded = Recorded.of(accounts.sign_in(name, made))
            if _opens(made, recorded.client_key(stored)):
                taken.add(name)
            listed |= {text for text in (PASSWORDS[name], WRONG) if recorded.proves(text)}
            with trial.attempt("StoredKey, and no exchange") as attempt:
                attempt.says(_opens(made, stored))
    if listed != {PASSWORDS["cleo"], PASSWORDS["dan"]}:
        raise LookupError("a recorded exchange is said to test passwords")
    trial.loot("members, by StoredKey and an exchange", claimed={"cleo"}, taken=taken)


@attack(
    id="factor-scram-second",
    claim="scram-second-factor",
    attack=(15, 32),
    says="the server that ends an exchange keeps ClientKey and tries it on the enrolment",
    mutations=[ONE_FACTOR_ALONE],
    databases=False,
)
def factor_scram_second(world: World, trial: Trial) -> None:
    """The device key is missing, whatever the server has."""
    accounts = Accounts(world)
    with free_hashes(), interface(world) as api:
        made = accounts.dan()
        recorded = Recorded.of(accounts.sign_in("dan", made))
        client_key = recorded.client_key(_stored_key(accounts, api, "dan"))
        with trial.attempt("ClientKey and no device key") as attempt:
            attempt.says(_opens(made, client_key))
        found = [text for text in (PASSWORDS["dan"], WRONG) if recorded.proves(text)]
        with trial.attempt("the password and no device key") as attempt:
            salt, count = dict(made.factors)["scram"]
            keys = [scram_keys(text, salt, count).client_key.reveal() for text in found]
            attempt.says(any(_opens(made, key) for key in keys))


def _stored_key(accounts: Accounts, api: Interface, name: str) -> bytes:
    locked = accounts.find(name)
    if locked is None:
        raise LookupError(f"{name} has no account")
    return unlocked_verifier(accounts.world, api, name, locked).stored_key.reveal()


def _opens(enrolment: Enrolment, client_key: bytes) -> bool:
    outputs = [
        make(enrolment.place, Secret(key)).reveal()
        for make in (_OUTPUT, scram.scram_output)
        for key in (client_key, sha256(client_key))
    ]
    return any(opened(enrolment, {"scram": output}) is not None for output in outputs)
