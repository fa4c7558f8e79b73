"""Enrolments that a passkey opens; the credential is in software here."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterator
from typing import Any

from twinlock.core.enrolment import enrol, member_keys
from twinlock.core.factors.passkey import PasskeyCredential, PasskeyFactor
from twinlock.core.primitives import Kem
from twinlock.core.secret import Secret
from vectors.factors import SEED, drawn
from vectors.forge import DEPLOYMENT
from vectors.form import OK, Vector
from vectors.recording import expand
from vectors.rewriting import rewriting

CRED_RANDOM = expand("passkey", 32)
RP_ID = "agent.clinic.example"
CREDENTIAL_ID = expand("passkey credential id", 32)


def prf(cred_random: bytes, salt: bytes) -> bytes:
    """Evaluate as an authenticator does under a browser: CTAP's hmac-secret of the hashed salt."""
    hashed = hashlib.sha256(b"WebAuthn PRF\x00" + salt).digest()
    return hmac.digest(cred_random, hashed, "sha256")


def factor(cred_random: bytes) -> PasskeyFactor:
    """The factor of a credential with this secret (CredRandomWithUV), which answers to all ids."""
    return PasskeyFactor(
        lambda _rp_id, _id, salt: Secret(prf(cred_random, salt)),
        PasskeyCredential(RP_ID, CREDENTIAL_ID),
    )


def vectors() -> Iterator[Vector]:
    """Yield the family's vectors."""
    made = enrol(
        SEED,
        [factor(CRED_RANDOM)],
        deployment_id=DEPLOYMENT,
        member_id=expand("weber", 16),
        kem=Kem.DHKEM_P256,
        randomness=drawn("passkey enrolment"),
    )
    (rp_id, credential_id, salt), having = rewriting(made.raw)

    def of(rp_id: str) -> bytes:
        return having(rp_id, credential_id, salt)

    wrong, outside = ("factor.wrong", "R-PASSKEY-1"), ("factor.parameters", "R-PASSKEY-3")
    cases: dict[str, tuple[str, str, str, bytes]] = {
        "good": (OK, "R-PASSKEY-1", "the passkey", made.raw),
        "salt": (*wrong, "another salt", having(rp_id, credential_id, bytes(32))),
        "id": (*wrong, "another credential id", having(rp_id, credential_id[:-1], salt)),
        "rp": (*wrong, "another domain", of("agent.clinic.test")),
        "longest-id": (*wrong, "an id of 1,023 bytes", having(rp_id, bytes(1023), salt)),
        "longest-rp": (*wrong, "a domain of 253 characters", of(f"{'a.' * 126}a")),
        "short-id": (*outside, "an id of 15 bytes", having(rp_id, bytes(15), salt)),
        "long-id": (*outside, "an id of 1,024 bytes", having(rp_id, bytes(1024), salt)),
        "text-id": (*outside, "an id that is text", having(rp_id, "a" * 32, salt)),
        "short-salt": (*outside, "a salt of 31 bytes", having(rp_id, credential_id, salt[1:])),
        "long-rp": (*outside, "a domain of 255 characters", of(f"{'a.' * 127}a")),
        "empty-rp": (*outside, "no domain", of("")),
        "capital-rp": (*outside, "a capital in the domain", of("Agent.clinic.example")),
        "unicode-rp": (*outside, "a domain that is not in ASCII", of("ägent.example")),
        "line-rp": (*outside, "a line feed after the domain", of("agent.example\n")),
        "dot-rp": (*outside, "a dot at the end of the domain", of("agent.example.")),
        "hyphen-rp": (*outside, "a label that begins with a hyphen", of("-agent.example")),
        "long-label": (*outside, "a label of 64 characters", of(f"{'a' * 64}.example")),
        "address-rp": (*outside, "an IP address", of("192.0.2.1")),
        "url-rp": (*outside, "an origin instead of a domain", of("https://agent.example")),
        "bytes-rp": (*outside, "a domain in bytes", having(b"agent.example", credential_id, salt)),
        "items": (*outside, "a parameter is missing", having(rp_id, credential_id)),
        "more-items": (*outside, "a parameter too many", having(rp_id, credential_id, salt, 0)),
    }
    keys = member_keys(SEED)
    output = {
        "kem_public": keys.kem.public.hex(),
        "signing_public": keys.signing.public.hex(),
        "state_key": keys.state_key.reveal().hex(),
    }
    for name, (expect, requirement, why, raw) in cases.items():
        yield _vector(name, expect, requirement, why, raw, CRED_RANDOM, output)
    yield _vector(
        "wrong", "factor.wrong", "R-FACTOR-2", "another passkey under the same id", made.raw,
        expand("another passkey", 32), output,
    )  # fmt: skip


def _vector(
    name: str, expect: str, requirement: str, why: str, raw: bytes, secret: bytes, output: Any
) -> Vector:
    return Vector(
        f"passkey-{name}", "unlock-passkey", expect, requirement, why,
        {"enrolment": raw.hex(), "cred_random": secret.hex()}, output if expect == OK else None,
    )  # fmt: skip
