"""What a server keeps of a passkey that signs in, and what it says of those that do not exist."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from twinlock.core import cbor
from twinlock.core.factors.passkey import MAX_ID_SIZE, MIN_ID_SIZE, is_rp_id
from twinlock.core.primitives import agreement_key_from_seed, hmac_sha256
from twinlock.core.secret import Secret

MEMBER_ID_SIZE: Final = 16
TRANSPORTS: Final = ("ble", "hybrid", "internal", "nfc", "smart-card", "usb")
"""The ways to an authenticator (WebAuthn Level 3, 5.8.4), in order."""
_RECORD: Final = "twinlock/v1/passkey-login"
_DECOY: Final = b"twinlock/v1/passkey-decoy"
_MAX_RECORD: Final = 4096
_MAX_COUNT: Final = 2**32 - 1
_USUAL: Final = (("internal",), ("hybrid", "internal"), ("nfc", "usb"))


@dataclass(frozen=True, slots=True)
class PasskeyRecord:
    """One credential of a member. ``public_key`` is a COSE_Key (RFC 9052, 7)."""

    member_id: bytes
    rp_id: str
    credential_id: bytes
    public_key: bytes
    sign_count: int
    transports: tuple[str, ...]

    def encode(self) -> bytes:
        """Encode for the application's database: public, and the same for the same values."""
        return cbor.encode(
            [
                _RECORD,
                self.member_id,
                self.rp_id,
                self.credential_id,
                self.public_key,
                self.sign_count,
                list(self.transports),
            ]
        )


def decode_passkey_record(raw: bytes) -> PasskeyRecord:
    """Decode what ``PasskeyRecord.encode`` made. Raises DataError ``format.*``."""
    _, *items = cbor.decode_labelled(raw, _RECORD, 7, max_size=_MAX_RECORD)
    member_id, rp_id, credential_id, public_key, sign_count, transports = items
    record = PasskeyRecord(
        cbor.take_bytes(member_id, MEMBER_ID_SIZE),
        cbor.take_text(rp_id),
        cbor.take_bytes(credential_id),
        cbor.take_bytes(public_key),
        cbor.take_uint(sign_count, _MAX_COUNT),
        tuple(cbor.take_text(one) for one in cbor.take_list(transports, 0, len(TRANSPORTS))),
    )
    if not is_rp_id(record.rp_id) or not MIN_ID_SIZE <= len(record.credential_id) <= MAX_ID_SIZE:
        raise cbor.malformed("it names what is no passkey")
    if record.transports != known_transports(record.transports):
        raise cbor.malformed("its transports are not as they are written")
    return record


def known_transports(said: object) -> tuple[str, ...]:
    """Return those of a list that are known, each once and in order."""
    return tuple(one for one in TRANSPORTS if isinstance(said, list | tuple) and one in said)


def decoy_passkey(unknown: Secret, account: str) -> tuple[bytes, tuple[str, ...]]:
    """Return an id of 32 bytes and transports, always the same for one name and secret."""
    drawn = hmac_sha256(unknown.reveal(), _DECOY + b"/transports/" + account.encode())
    credential_id = hmac_sha256(unknown.reveal(), _DECOY + b"/id/" + account.encode())
    return credential_id, _USUAL[drawn[0] % len(_USUAL)]


def nobodys_record(drawn: bytes, rp_id: str) -> PasskeyRecord:
    """Return a record of nobody's, for strangers' signatures to be checked against.

    ``drawn``: 32 random bytes, whose key is forgotten.
    """
    public = agreement_key_from_seed(Secret(drawn)).public
    x, y = public[1:33], public[33:]
    # {1: 2, 3: -7, -1: 1, -2: x, -3: y}: ES256 on P-256 (RFC 9053, 2.1 and 7.1).
    public_key = b"\xa5\x01\x02\x03\x26\x20\x01\x21\x58\x20" + x + b"\x22\x58\x20" + y
    return PasskeyRecord(bytes(MEMBER_ID_SIZE), rp_id, bytes(MIN_ID_SIZE), public_key, 0, ())
