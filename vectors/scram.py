"""Signing in: split login, verifiers as text, exchanges, and enrolments that open with SCRAM."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterator
from typing import Any

from twinlock.core import cbor
from twinlock.core.enrolment import enrol, member_keys
from twinlock.core.factors import EnrollableFactor
from twinlock.core.factors.scram import ScramFactor
from twinlock.core.login import login_secret, login_verifier
from twinlock.core.primitives import Kem
from twinlock.core.scram.exchange import ChannelBinding, begin
from twinlock.core.scram.keys import MIN_ITERATIONS, scram_keys
from twinlock.core.scram.verifier import ScramVerifier
from twinlock.core.secret import Secret
from vectors.factors import DEVICE, SEED, WORDS, device, drawn
from vectors.forge import DEPLOYMENT
from vectors.form import OK, Vector
from vectors.recording import expand

MEMBER = expand("weber", 16)
SALT = expand("scram salt", 16)
ITERATIONS = 4096
"""What is only an exchange needs no more, and every reader computes it quickly."""


def vectors() -> Iterator[Vector]:
    """Yield the family's vectors."""
    yield from _logins()
    yield from _verifiers()
    yield from _exchanges()
    yield from _enrolments()


def _logins() -> Iterator[Vector]:
    hardened = Secret(expand("hardened password", 32))
    secret = login_secret(hardened)
    yield Vector(
        "login-split", "split-login", OK, "R-LOGIN-1", "login secret and verifier",
        {"member": MEMBER.hex(), "hardened": hardened.reveal().hex()},
        {
            "login_secret": secret.reveal().hex(),
            "verifier": login_verifier(MEMBER, secret).hex(),
        },
    )  # fmt: skip


def _verifiers() -> Iterator[Vector]:
    made = ScramVerifier.of(scram_keys(WORDS, SALT, ITERATIONS), SALT, ITERATIONS)
    text = made.to_text().reveal().decode()
    head, tail = text.split("$", 1)[0], text.split("$", 1)[1]
    salt = b64encode(SALT).decode()
    stored, server = text.rsplit("$", 1)[1].split(":")

    def written(iterations: str, salt: str = salt, stored: str = stored) -> str:
        return f"{head}${iterations}:{salt}${stored}:{server}"

    bad = {
        "mechanism": ("of SHA-1", f"SCRAM-SHA-1${tail}"),
        "case": ("of the mechanism in small letters", text.lower()),
        "zero": ("an iteration count with a leading zero", written("04096")),
        "sign": ("an iteration count with a sign", written("+4096")),
        "few": ("one iteration under the floor", written("4095")),
        "many": ("one iteration over the ceiling", written("10000001")),
        "digits": ("digits of another script", written("\u0664\u0660\u0669\u0666")),
        "salt": ("a salt of 11 bytes", written("4096", b64encode(SALT[:11]).decode())),
        "unpadded": ("base64 without its padding", written("4096", salt.rstrip("="))),
        "spare": (
            "spare bits of base64 set", written("4096", salt.replace(salt[-3:], "x=="))
        ),
        "key": ("a StoredKey of 31 bytes", written("4096", stored=b64encode(bytes(31)).decode())),
        "newline": ("a newline at its end", text + "\n"),
        "more": ("a third key", f"{text}:{server}"),
        "plain": ("a password in the clear", WORDS),
        "md5": ("PostgreSQL's old form", "md5" + "0" * 32),
        "empty": ("nothing", ""),
    }  # fmt: skip
    yield Vector(
        "scram-verifier-good", "parse-scram-verifier", OK, "R-SCRAM-1", "a verifier",
        {"text": text},
        {
            "iterations": ITERATIONS,
            "salt": SALT.hex(),
            "stored_key": made.stored_key.reveal().hex(),
            "server_key": made.server_key.reveal().hex(),
        },
    )  # fmt: skip
    for name, (why, shown) in bad.items():
        yield Vector(
            f"scram-verifier-{name}", "parse-scram-verifier", "scram.verifier", "R-SCRAM-1", why,
            {"text": shown}, None,
        )  # fmt: skip


def _exchanges() -> Iterator[Vector]:
    nonce, salt = begin("weber", drawn("scram")).nonce, b64encode(SALT).decode()
    other, both = b64encode(SALT[::-1]).decode(), f"r={nonce}c2VydmVy"
    first = f"{both},s={salt},i={ITERATIONS}"
    down, quiet = "scram.downgrade", "scram.message"
    lies = {
        "iterations": (down, "R-SCRAM-3", "fewer iterations", f"{both},s={salt},i=4095"),
        "more": (down, "R-SCRAM-3", "more iterations", f"{both},s={salt},i=4097"),
        "salt": (down, "R-SCRAM-3", "another salt", first.replace(salt, other)),
        "nonce": (quiet, "R-SCRAM-2", "a nonce that is not the client's", f"r=abc{first[2:]}"),
        "echo": (quiet, "R-SCRAM-2", "the client's nonce alone", first.replace("c2VydmVy", "")),
        "extension": (quiet, "R-SCRAM-2", "an extension", f"{first},x=1"),
        "mandatory": (quiet, "R-SCRAM-2", "a mandatory extension", f"m=1,{first}"),
        "order": (quiet, "R-SCRAM-2", "the count before the salt", f"{both},i=4096,s={salt}"),
        "base64": (quiet, "R-SCRAM-2", "a salt that is no base64", first.replace(salt, salt[1:])),
        "empty": (quiet, "R-SCRAM-2", "nothing", ""),
    }  # fmt: skip
    bound = ChannelBinding("tls-server-end-point", expand("certificate", 32))
    sound = {
        "good": ("weber", None),
        "binding": ("weber", bound),
        "name": ("Zu\u0308rich, a=b", None),
    }
    for name, (account, binding) in sound.items():
        given = _given(account, binding, first)
        start = begin(account, drawn("scram"), binding=binding)
        keys = scram_keys(WORDS, SALT, ITERATIONS)
        proof = start.prove(first, keys, salt=SALT, iterations=ITERATIONS)
        yield Vector(
            f"scram-exchange-{name}", "prove-scram", OK, "R-SCRAM-2",
            f"an exchange of {account!r}" + (" with channel binding" if binding else ""), given,
            {
                "client_first": start.first, "client_final": proof.final,
                "server_final": "v=" + b64encode(proof.expected).decode(),
            },
        )  # fmt: skip
    for name, (expect, requirement, why, message) in lies.items():
        given = _given("weber", None, message)
        yield Vector(f"scram-exchange-{name}", "prove-scram", expect, requirement, why, given, None)


def _given(account: str, binding: ChannelBinding | None, first: str) -> dict[str, Any]:
    return {
        "account": account,
        "password": WORDS,
        "random": drawn("scram")(18).hex(),
        "salt": SALT.hex(),
        "iterations": ITERATIONS,
        "server_first": first,
        "binding": [binding.kind, binding.data.hex()] if binding else None,
    }


def _enrolments() -> Iterator[Vector]:
    def made(*factors: EnrollableFactor) -> bytes:
        return enrol(
            SEED,
            factors,
            deployment_id=DEPLOYMENT,
            member_id=MEMBER,
            kem=Kem.DHKEM_P256,
            randomness=drawn("enrolment"),
            scram_alone=True,
        ).raw

    factor = ScramFactor(lambda: WORDS, salt=SALT)
    alone, both = made(factor), made(factor, device())
    label, aad, nonce, sealed = cbor.decode(alone)
    head = cbor.decode(aad)[:5]

    def changed(*parameters: Any) -> bytes:
        return cbor.encode(
            [label, cbor.encode([*head, [["scram", list(parameters)]]]), nonce, sealed]
        )

    key = {"device_key": DEVICE.reveal().hex()}
    least = MIN_ITERATIONS
    cases: dict[str, tuple[str, str, bytes, str, dict[str, str]]] = {
        "good": (OK, "ClientKey alone", alone, WORDS, {}),
        "both": (OK, "with a device key", both, WORDS, key),
        "wrong": ("factor.wrong", "another password", alone, "zürich", {}),
        "missing": ("factor.missing", "without the device key", both, WORDS, {}),
        "few": ("factor.parameters", "one iteration under the floor",
                changed(SALT, least - 1), WORDS, {}),
        "many": ("factor.parameters", "one iteration over the ceiling",
                 changed(SALT, 10_000_001), WORDS, {}),
        "salt": ("factor.parameters", "a salt of 11 bytes", changed(SALT[:11], least), WORDS, {}),
        "other-salt": ("factor.wrong", "another salt", changed(SALT[::-1], least), WORDS, {}),
        "items": ("format.malformed", "a parameter too many",
                  changed(SALT, least, 1), WORDS, {}),
    }  # fmt: skip
    keys = member_keys(SEED)
    output = {
        "kem_public": keys.kem.public.hex(),
        "signing_public": keys.signing.public.hex(),
        "state_key": keys.state_key.reveal().hex(),
    }
    for name, (expect, why, raw, words, more) in cases.items():
        yield Vector(
            f"scram-{name}", "unlock-scram", expect, "R-SCRAM-4", why,
            {"enrolment": raw.hex(), "password": words, **more},
            output if expect == OK else None,
        )  # fmt: skip
