"""Enrolments, factors, key files and the deployment's card."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from twinlock.core import cbor
from twinlock.core.deployment import DeploymentCard
from twinlock.core.enrolment import Enrolment, enrol, member_keys
from twinlock.core.factors import EnrollableFactor
from twinlock.core.factors.device_key import DeviceKeyFactor
from twinlock.core.factors.passphrase import PassphraseFactor
from twinlock.core.keyfile import encode_key_file
from twinlock.core.primitives import Kem
from twinlock.core.secret import Secret
from vectors.forge import DEPLOYMENT
from vectors.form import OK, Vector
from vectors.recording import expand

SEED = Secret(expand("member seed", 32))
DEVICE = Secret(expand("device key", 32))
WORDS = "Zürich, correct horse"


def vectors() -> Iterator[Vector]:
    """Yield the family's vectors."""
    yield from _enrolments()
    yield from _bad_parameters()
    yield from _texts()


def device() -> DeviceKeyFactor:
    """The member's device key."""
    return DeviceKeyFactor(lambda: DEVICE)


def passphrase() -> PassphraseFactor:
    """The member's passphrase."""
    return PassphraseFactor(lambda: WORDS)


def drawn(seed: str) -> Callable[[int], bytes]:
    """Randomness expanded from a seed, call by call."""
    calls = iter(range(1000))
    return lambda size: expand(f"{seed} {next(calls)}", size)


def _made(factors: Sequence[EnrollableFactor], kem: Kem = Kem.DHKEM_P256) -> Enrolment:
    return enrol(
        SEED,
        factors,
        deployment_id=DEPLOYMENT,
        member_id=expand("weber", 16),
        kem=kem,
        randomness=drawn("enrolment"),
    )


def _enrolments() -> Iterator[Vector]:
    key, words = {"device_key": DEVICE.reveal().hex()}, {"passphrase": WORDS}
    decomposed = {"passphrase": "Zu\u0308rich,\u3000correct horse"}
    one, both = _made([device()]), _made([passphrase(), device()])
    pq = _made([device()], Kem.MLKEM768_X25519)
    label, aad, nonce, sealed = cbor.decode(one.raw)
    items = cbor.decode(aad)
    moved = cbor.encode([*items[:2], bytes(16), *items[3:]])
    damaged = sealed[:-1] + bytes([sealed[-1] ^ 1])
    cases: dict[str, tuple[str, str, str, bytes, dict[str, str]]] = {
        "device-key": (OK, "R-FACTOR-5", "a device key alone", one.raw, key),
        "device-key-pq": (OK, "R-FACTOR-3", "with the hybrid KEM", pq.raw, key),
        "both": (OK, "R-FACTOR-1", "passphrase and device key together", both.raw,
                 {**words, **key}),
        "opaque": (OK, "R-FACTOR-4", "the passphrase typed decomposed, with a wide space", both.raw,
                   {**decomposed, **key}),
        "wrong-words": ("factor.wrong", "R-FACTOR-2", "another passphrase", both.raw,
                        {"passphrase": "zürich, correct horse", **key}),
        "wrong-key": ("factor.wrong", "R-FACTOR-2", "another device key", one.raw,
                      {"device_key": bytes(32).hex()}),
        "missing": ("factor.missing", "R-FACTOR-1", "the passphrase is not given", both.raw, key),
        "member": ("factor.wrong", "R-FACTOR-1", "it was moved to another member",
                   cbor.encode([label, moved, nonce, sealed]), key),
        "damaged": ("factor.wrong", "R-FACTOR-1", "a byte of the sealed seed is changed",
                    cbor.encode([label, aad, nonce, damaged]), key),
        "nonce": ("format.malformed", "R-FACTOR-1", "a nonce of 11 bytes",
                  cbor.encode([label, aad, nonce[1:], sealed]), key),
        "version": ("format.version", "R-CBOR-5", "of version 2",
                    cbor.encode(["twinlock/v2/enrolment-blob", aad, nonce, sealed]), key),
    }  # fmt: skip
    for name, (expect, requirement, why, raw, given) in cases.items():
        keys = member_keys(SEED, Kem.MLKEM768_X25519 if raw == pq.raw else Kem.DHKEM_P256)
        output = {
            "kem_public": keys.kem.public.hex(),
            "signing_public": keys.signing.public.hex(),
            "state_key": keys.state_key.reveal().hex(),
        }
        yield Vector(
            f"enrolment-{name}", "unlock-enrolment", expect, requirement, why,
            {"enrolment": raw.hex(), **given}, output if expect == OK else None,
        )  # fmt: skip


def _bad_parameters() -> Iterator[Vector]:
    label, aad, nonce, sealed = cbor.decode(_made([passphrase()]).raw)
    items = cbor.decode(aad)
    ((kind, good),) = items[5]
    bad: dict[str, tuple[str, list[Any]]] = {
        "memory": ("one KiB under the floor of memory", [good[0], (64 << 10) - 1, 3, 1]),
        "iterations": ("one iteration under the floor", [good[0], 64 << 10, 2, 1]),
        "ceiling": ("one KiB over the ceiling of memory", [good[0], (4 << 20) + 1, 3, 1]),
        "lanes": ("17 lanes", [good[0], 64 << 10, 3, 17]),
        "salt": ("a salt of 8 bytes", [good[0][:8], 64 << 10, 3, 1]),
    }
    for name, (why, parameters) in bad.items():
        weakened = cbor.encode([*items[:5], [[kind, parameters]]])
        yield Vector(
            f"passphrase-{name}", "unlock-enrolment", "factor.parameters", "R-FACTOR-4", why,
            {
                "enrolment": cbor.encode([label, weakened, nonce, sealed]).hex(),
                "passphrase": WORDS,
            },
        )  # fmt: skip


def _texts() -> Iterator[Vector]:
    text = encode_key_file("device-key", DEVICE)
    files = {
        "good": (OK, "a device key file", text),
        "slip": ("key-file.damaged", "a letter is another one", text.replace(text[30], "_")),
        "kind": (
            "key-file.damaged", "a writer's key", encode_key_file("writer-key", DEVICE),
        ),
        "renamed": (
            "key-file.damaged", "a writer's key under a device key's header",
            encode_key_file("writer-key", DEVICE).replace("writer", "device"),
        ),
        "cut": ("key-file.damaged", "the end is missing", text[:-8]),
    }  # fmt: skip
    for name, (expect, why, shown) in files.items():
        yield Vector(
            f"key-file-{name}", "decode-key-file", expect, "R-FACTOR-7", why,
            {"kind": "device-key", "text": shown},
            {"key": DEVICE.reveal().hex()} if expect == OK else None,
        )  # fmt: skip
    card = DeploymentCard(DEPLOYMENT, expand("fingerprint", 32))
    cards = {
        "good": (OK, "a deployment card", card.to_text()),
        "spaced": (OK, "typed in capitals and with spaces", " " + card.to_text().upper() + "\n"),
        "slip": ("deployment.card-malformed", "a digit is missing", card.to_text()[:-1]),
        "checksum": (
            "deployment.card-malformed", "the checksum is of another card",
            card.to_text()[:-8] + "00000000",
        ),
    }  # fmt: skip
    for name, (expect, why, shown) in cards.items():
        output = {
            "deployment": card.deployment_id.hex(),
            "fingerprint": card.identity_fingerprint.hex(),
        }
        yield Vector(
            f"deployment-card-{name}", "parse-deployment-card", expect, "R-STMT-7", why,
            {"text": shown}, output if expect == OK else None,
        )  # fmt: skip
