"""One enrolment that opens under two passwords: each try of its member would halve a list.

Whoever serves an enrolment chooses its bytes, and AES-GCM alone is no commitment to its key. The
attacker computes both passwords' keys, with the HSM interface where hardening needs it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from attacks.factor_accounts import NEW_PASSWORD, PASSWORDS, Accounts, Service, free_hashes
from attacks.gcm import collide, unauthenticated
from attacks.harness import Mutation, Trial, attack, weakened
from attacks.world import World
from twinlock.agent.factors import Passphrase
from twinlock.agent.scram import Scram
from twinlock.core import cbor
from twinlock.core import enrolment as enrolments
from twinlock.core.enrolment import Enrolment, decode_enrolment, unlock
from twinlock.core.factors import EnrollableFactor, Factor
from twinlock.errors import DataError

_TWO: Final = (PASSWORDS["ada"], NEW_PASSWORD)
_BLOCKS: Final = 4
_ZEROS: Final = bytes(32)


class _Anything(bytes):
    """Bytes that no others differ from."""

    def __ne__(self, other: object) -> bool:
        return False

    __hash__ = None  # type: ignore[assignment]


def _made_with(kind: str, accounts: Accounts, text: str) -> EnrollableFactor:
    if kind == "passphrase":
        return Passphrase(text)
    if kind == "scram":
        return Scram(text)
    return accounts.password("ada", text, Service(accounts.world, "ada"))


@attack(
    id="factor-two-passwords",
    claim="password-server",
    attack=17,
    says="an enrolment made to be authentic under the keys of two passwords",
    mutations=[
        Mutation(
            "the 32 zero bytes are not checked",
            lambda: weakened((enrolments, "_ZEROS", _Anything(32))),
        )
    ],
    databases=False,
)
def factor_two_passwords(world: World, trial: Trial) -> None:
    """Broken is an enrolment that both open: then either answer tells something of the password."""
    accounts = Accounts(world)
    with free_hashes():
        for kind in ("passphrase", "password", "scram"):
            factors = [_made_with(kind, accounts, text) for text in _TWO]
            genuine = accounts.join(f"{kind}-member", factors[0], alone=True)
            keys = [_key(genuine, factor) for factor in factors]
            for what, start in _starts(genuine, keys).items():
                crafted = _crafted(genuine, (keys[0], keys[1]), start)
                with trial.attempt(f"{kind}, {what}") as attempt:
                    attempt.says(all(_opens(crafted, factor) for factor in factors))


def _key(enrolment: Enrolment, factor: Factor) -> bytes:
    key = enrolments._enrolment_key([factor], enrolment.factors, enrolment.place)
    return key.reveal()


def _starts(enrolment: Enrolment, keys: list[bytes]) -> Mapping[str, bytes]:
    """Ciphertexts to begin with: any, or what decrypts to the zeros under the first key."""
    _, _, nonce, _ = cbor.decode(enrolment.raw)
    zeros = unauthenticated(keys[0], nonce, _ZEROS + bytes(16), b"")
    return {"any two plaintexts": b"", "the zeros under one of them": zeros}


def _crafted(enrolment: Enrolment, keys: tuple[bytes, bytes], start: bytes) -> Enrolment:
    label, aad, nonce, _ = cbor.decode(enrolment.raw)
    sealed = collide(keys, nonce, aad, blocks=_BLOCKS, start=start)
    return decode_enrolment(cbor.encode([label, aad, nonce, sealed]))


def _opens(enrolment: Enrolment, factor: Factor) -> bool:
    try:
        unlock(enrolment, [factor])
    except DataError as error:
        if error.code != "factor.wrong":
            raise
        return False
    return True
