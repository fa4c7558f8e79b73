"""Enrolments: a member's seed, locked by a set of factors that are ALL needed.

Any enrolment of a member opens. From the 32-byte seed come the member's KEM and signing keys, so
a new factor, group or epoch needs nobody else's secret.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from twinlock.core import cbor
from twinlock.core.factors import EnrollableFactor, Factor, Parameters, Place
from twinlock.core.ports import Randomness
from twinlock.core.primitives import (
    Kem,
    KemKey,
    SigningKey,
    gcm_open,
    gcm_seal,
    hkdf_expand,
    hkdf_extract,
    kem_key_from_seed,
    signing_key_from_seed,
)
from twinlock.core.secret import Secret
from twinlock.errors import CallerError, DataError, TwinlockError

_BLOB: Final = "twinlock/v1/enrolment-blob"
_AAD: Final = "twinlock/v1/enrolment"
_ENROL_INFO: Final = b"twinlock/v1/enrol"
_KEM_INFO: Final = b"twinlock/v1/member-kem"
_SIG_INFO: Final = b"twinlock/v1/member-sig"
_STATE_INFO: Final = b"twinlock/v1/agent-state"
_ZEROS: Final = bytes(32)
MAX_FACTORS: Final = 8
MAX_BLOB: Final = 1 << 16
FULL_STRENGTH: Final = frozenset(
    {"device-key", "recovery-code", "smart-card", "passkey", "contacts"}
)
"""Kinds with at least 128 bits that no person chose."""


@dataclass(frozen=True, slots=True)
class MemberKeys:
    """A member's keys, unlocked."""

    kem: KemKey
    signing: SigningKey
    state_key: Secret
    seed: Secret


def member_keys(seed: Secret, kem: Kem = Kem.DHKEM_P256) -> MemberKeys:
    """Derive a member's keys from its seed (SPEC, Factors)."""
    raw = seed.reveal()
    return MemberKeys(
        kem_key_from_seed(kem, Secret(hkdf_expand(raw, _KEM_INFO))),
        signing_key_from_seed(Secret(hkdf_expand(raw, _SIG_INFO))),
        Secret(hkdf_expand(raw, _STATE_INFO)),
        seed,
    )


@dataclass(frozen=True, slots=True)
class Enrolment:
    """An enrolment as it is stored: public header, nonce, encrypted seed."""

    enrolment_id: bytes
    deployment_id: bytes
    member_id: bytes
    kem: Kem
    factors: tuple[tuple[str, Parameters], ...]
    raw: bytes

    @property
    def place(self) -> Place:
        """What its factors' outputs are for."""
        return Place(self.deployment_id, self.member_id, self.enrolment_id)

    @property
    def kinds(self) -> tuple[str, ...]:
        """The factors that are all needed, in order."""
        return tuple(kind for kind, _ in self.factors)


def enrol(
    seed: Secret,
    factors: Sequence[EnrollableFactor],
    *,
    deployment_id: bytes,
    member_id: bytes,
    kem: Kem,
    randomness: Randomness,
    scram_alone: bool = False,
) -> Enrolment:
    """Lock a member's seed with new parameters of ``factors`` (1..8, each kind once).

    They stand in the order of their kinds' names: it must not tell who made the enrolment.

    ``scram_alone`` lets ``scram`` stand without a factor of 128 bits: then the server that ends the
    exchange can open the enrolment. Raises CallerError ``factor.set`` or ``factor.scram-alone``.
    """
    factors = sorted(factors, key=lambda factor: factor.kind)
    kinds = [factor.kind for factor in factors]
    if not 1 <= len(kinds) <= MAX_FACTORS or len(set(kinds)) != len(kinds):
        raise CallerError(
            "factor.set",
            "An enrolment needs 1 to 8 factors of different kinds.",
            hint="For a second way in, make another enrolment.",
        )
    if "scram" in kinds and not scram_alone and FULL_STRENGTH.isdisjoint(kinds):
        raise CallerError(
            "factor.scram-alone",
            "The server learns at each SCRAM login what this enrolment would open with.",
            hint="Add a device key, recovery code, smart card or passkey to it.",
        )
    leads_to = member_keys(seed, kem).signing.kid
    place = Place(deployment_id, member_id, randomness(16), leads_to)
    chosen = [(factor.kind, factor.new_parameters(randomness, place)) for factor in factors]
    aad = cbor.encode(
        [
            _AAD,
            deployment_id,
            member_id,
            place.enrolment_id,
            int(kem),
            [[kind, parameters] for kind, parameters in chosen],
        ]
    )
    key = _enrolment_key(factors, chosen, place)
    nonce = randomness(12)
    sealed = gcm_seal(key.reveal(), nonce, _ZEROS + seed.reveal(), aad)
    return decode_enrolment(cbor.encode([_BLOB, aad, nonce, sealed]))


def decode_enrolment(raw: bytes) -> Enrolment:
    """Decode a stored enrolment; nothing in it is authentic before ``unlock``."""
    _, aad, nonce, sealed = cbor.decode_labelled(raw, _BLOB, 4, max_size=MAX_BLOB)
    cbor.take_bytes(nonce, 12)
    cbor.take_bytes(sealed, 32 + 32 + 16)
    aad = cbor.take_bytes(aad)
    _, deployment, member, enrolment_id, kem, rows = cbor.decode_labelled(aad, _AAD, 6)
    factors = tuple(_take_factor(row) for row in cbor.take_list(rows, 1, MAX_FACTORS))
    if len({kind for kind, _ in factors}) != len(factors):
        raise cbor.malformed("it names a factor twice")
    if kem not in list(Kem):
        raise cbor.malformed("it names an unknown KEM")
    return Enrolment(
        cbor.take_bytes(enrolment_id, 16),
        cbor.take_bytes(deployment, 16),
        cbor.take_bytes(member, 16),
        Kem(kem),
        factors,
        raw,
    )


def unlock(enrolment: Enrolment, factors: Sequence[Factor]) -> MemberKeys:
    """Unlock a member's keys with all factors of an enrolment.

    Raises CallerError ``factor.missing`` when a factor is not there, DataError ``factor.wrong``
    when one of them is not the right one: which one cannot be told.
    """
    given = {factor.kind: factor for factor in factors}
    if set(given) != set(enrolment.kinds):
        raise CallerError(
            "factor.missing",
            f"This enrolment opens with {' and '.join(enrolment.kinds)} together.",
            hint="Give exactly these, or use another enrolment.",
        )
    ordered = [given[kind] for kind in enrolment.kinds]
    key = _enrolment_key(ordered, enrolment.factors, enrolment.place)
    _, aad, nonce, sealed = cbor.decode(enrolment.raw)
    try:
        plaintext = gcm_open(key.reveal(), nonce, sealed, aad)
    except TwinlockError as error:
        raise _wrong_factor(enrolment) from error
    if plaintext[:32] != _ZEROS or len(plaintext) != 64:
        raise _wrong_factor(enrolment)
    return member_keys(Secret(plaintext[32:]), enrolment.kem)


def unlock_any(enrolments: Sequence[Enrolment], factors: Sequence[Factor]) -> MemberKeys:
    """Unlock the first enrolment that these factors open; a member may have several of one kind.

    Raises like ``unlock``.
    """
    _, keys = unlock_first(enrolments, factors)
    return keys


def unlock_first(
    enrolments: Sequence[Enrolment], factors: Sequence[Factor]
) -> tuple[Enrolment, MemberKeys]:
    """Unlock like ``unlock_any``, and return which enrolment it was, too."""
    kinds = {factor.kind for factor in factors}
    *others, last = [e for e in enrolments if set(e.kinds) == kinds] or enrolments[:1]
    for enrolment in others:
        try:
            return enrolment, unlock(enrolment, factors)
        except DataError as error:
            if error.code != "factor.wrong":
                raise
    return last, unlock(last, factors)


def _enrolment_key(
    factors: Sequence[Factor], parameters: Sequence[tuple[str, Parameters]], place: Place
) -> Secret:
    material = b""
    for factor, (_, values) in zip(factors, parameters, strict=True):
        output = factor.output(values, place).reveal()
        material += len(output).to_bytes(2, "big") + output
    return Secret(hkdf_expand(hkdf_extract(b"", material), _ENROL_INFO))


def _take_factor(value: Any) -> tuple[str, Parameters]:
    kind, parameters = cbor.take_list(value, 2, 2)
    return cbor.take_text(kind), cbor.take_list(parameters, 0, 16)


def _wrong_factor(enrolment: Enrolment) -> DataError:
    given = " and ".join(enrolment.kinds)
    several = len(enrolment.kinds) > 1
    return DataError(
        "factor.wrong",
        f"The {given} that {'were' if several else 'was'} given {'do' if several else 'does'} not "
        "open this enrolment.",
        hint="Check what was typed, and that it is the right file, card or key. Which of several "
        "is wrong cannot be told, nor a wrong one from a damaged enrolment.",
    )
