"""Every vector file, by this implementation and (where something is opened) by the second one."""

from __future__ import annotations

import hashlib
import uuid
from base64 import b64encode
from typing import Any

import pytest
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from twinlock.core import audit, cbor, envelope, locks, opening, primitives
from twinlock.core.adopted import LegacyCell, decode_adopted, prepare_adopted, verify_cell
from twinlock.core.context import Context
from twinlock.core.deployment import parse_deployment_card
from twinlock.core.device_key_backup import PRINTED_DEVICE_KEY, decode_backup, device_key_check
from twinlock.core.enrolment import MemberKeys, decode_enrolment, unlock
from twinlock.core.envelope import Field, GroupLock, Head
from twinlock.core.factors import Place
from twinlock.core.factors.device_key import DeviceKeyFactor
from twinlock.core.factors.passphrase import PassphraseFactor
from twinlock.core.factors.password import password_output, password_point
from twinlock.core.factors.recovery_code import RecoveryCodeFactor, read_recovery_code
from twinlock.core.factors.scram import ScramFactor
from twinlock.core.hardening.curve import decode_point, encode_point
from twinlock.core.hardening.evaluation import blind
from twinlock.core.keyfile import decode_key_file
from twinlock.core.login import login_secret, login_verifier
from twinlock.core.ports import KeyRole, OuterSuite
from twinlock.core.primitives import Kem, KemKey
from twinlock.core.release import (
    decode_release,
    decode_share,
    release_digest,
    share_info,
    verify_message,
)
from twinlock.core.request import GroupHead, RequestItem, RequestMessage, request_digest
from twinlock.core.scram.exchange import ChannelBinding, begin
from twinlock.core.scram.keys import scram_keys
from twinlock.core.scram.verifier import parse_verifier
from twinlock.core.secret import Secret, SecretText
from twinlock.core.statements import Statement, verify_directory, verify_transport
from twinlock.errors import DataError, TwinlockError, not_authentic
from vectors import hardening, passkey, smart_card
from vectors.form import OK, load_all
from vectors.generate import all_vectors
from vectors.recording import Recording
from vectors.statements import shown

from . import contact_vectors, reference

VECTORS = load_all()
Given = dict[str, Any]


def b(text: str) -> bytes:
    return bytes.fromhex(text)


# --- encodings -------------------------------------------------------------------------------


def decode_cbor(given: Given) -> Given:
    return {"message": cbor.encode(cbor.decode(b(given["message"]))).hex()}


def encode_context(given: Given) -> Given:
    context = Context(
        table=given["table"],
        column=given["column"],
        record=_record(given["record"]),
        version=given["version"],
        tenant=given["tenant"],
        purpose=given["purpose"],
    )
    return {"context": context.encode(b(given["deployment"])).hex()}


def _record(record: Given) -> Any:
    ((kind, value),) = record.items()
    match kind:
        case "uuid":
            return uuid.UUID(value)
        case "bytes":
            return b(value)
        case "tuple":
            return tuple(_record(part) for part in value)
        case _:
            return value


def derive_kem_key(given: Given) -> Given:
    key = primitives.kem_key_from_seed(Kem(given["kem"]), Secret(b(given["seed"])))
    return {"public": key.public.hex(), "kid": key.kid.hex()}


def derive_signing_key(given: Given) -> Given:
    key = primitives.signing_key_from_seed(Secret(b(given["seed"])))
    return {"public": key.public.hex(), "kid": key.kid.hex()}


def verify_signature(given: Given) -> Given:
    primitives.verify(b(given["public"]), b(given["message"]), b(given["signature"]))
    return {}


def open_hpke(given: Given) -> Given:
    key = primitives.kem_key_from_seed(Kem(given["kem"]), Secret(b(given["seed"])))
    return {"plaintext": key.open(b(given["sealed"]), b(given["info"])).reveal().hex()}


def unwrap_key(given: Given) -> Given:
    return {"key": primitives.aes_key_unwrap(b(given["kek"]), b(given["wrapped"])).hex()}


# --- opening: the member's part with the core, the token's part in software -------------------


def open_value(given: Given) -> Given:
    head, field = envelope.decode_value(b(given["sealed"]))
    return {"plaintext": _open_fields(given, head, {given["column"]: field})[0].hex()}


def open_row(given: Given) -> Given:
    head = envelope.decode_row_head(b(given["head"]))
    fields = {
        column: envelope.decode_cell(b(cell), head) for column, cell in given["cells"].items()
    }
    opened = _open_fields(given, head, fields)
    plain = dict(zip(fields, (value.hex() for value in opened), strict=True))
    return {"plaintexts": plain}


def open_adopted(given: Given) -> Given:
    adopted, context = decode_adopted(b(given["head"])), b(given["context"])
    cells = {
        column: LegacyCell(b(cell["nonce"]), b(cell["ciphertext"]), b(cell["aad"]))
        for column, cell in given["cells"].items()
    }
    for column, cell in cells.items():
        verify_cell(adopted, context, column, cell, b(given["writer"]))
    opened = _decrypt(given, prepare_adopted(adopted, context, cells))
    return {"plaintexts": dict(zip(cells, (value.hex() for value in opened), strict=True))}


def open_file(given: Given) -> Given:
    sealed = b(given["sealed"])
    if sealed[:3] == b"TWF" and sealed[3] != 1:
        raise DataError("suite.unknown", "another version")
    size = int.from_bytes(sealed[4:8], "big")
    head, prefix = envelope.decode_file_head(sealed[8 : 8 + size])
    field = Field(prefix, sealed[8 + size : -64], sealed[-64:])
    return {"plaintext": _open_fields(given, head, {given["column"]: field})[0].hex()}


def _open_fields(given: Given, head: Head, fields: dict[str, Field]) -> list[bytes]:
    context = b(given["context"])
    for column, field in fields.items():
        opening.verify_author(head, context, column, field, b(given["writer"]))
    return _decrypt(given, opening.prepare_record(head, context, fields))


def _decrypt(given: Given, record: opening.PreparedRecord) -> list[bytes]:
    release_key = _release_key(given, record.head, record.context)
    wrapped = _open_outer(given["wrapping"], record.outer)
    dek = primitives.aes_key_unwrap(release_key.reveal(), wrapped)
    return [
        record.content(
            b"".join(primitives.gcm_open(dek, p.nonce, p.ciphertext, p.aad) for p in parts)
        )
        for parts in record.fields
    ]


def _release_key(given: Given, head: Head, context: bytes) -> Secret:
    held: dict[tuple[bytes, int], KemKey] = {
        (b(g["group_id"]), g["epoch"]): primitives.kem_key_from_seed(
            Kem(g["kem"]), Secret(b(g["seed"]))
        )
        for g in given["groups"]
    }
    rc = head.header.commitment
    for lock in head.header.locks:
        parts = (lock,) if isinstance(lock, GroupLock) else lock.shares
        if not all((p.group_id, p.epoch) in held for p in parts):
            continue
        shares = []
        for index, part in enumerate(parts):
            share = locks.open_sealed(
                part,
                held[part.group_id, part.epoch],
                core=head.core.raw,
                context=context,
                index=index,
                count=len(parts),
                commitment=rc,
            )
            if not isinstance(part, GroupLock):
                locks.check_share(share, head.core.dek_id, index, part.commitment)
            shares.append(share)
        release_key = locks.combine(shares)
        locks.check_release_key(release_key, head.core.dek_id, rc)
        return release_key
    raise AssertionError("the vector gives no group of this record")


def _open_outer(wrapping: Given, outer: Any) -> bytes:
    try:
        if outer.suite is OuterSuite.TOKEN_AES:
            key = AESGCM(b(wrapping["aes"]))
            return key.decrypt(outer.sealed[:12], outer.sealed[12:], outer.binding)
        private = serialization.load_der_private_key(b(wrapping["rsa_pkcs8"]), None)
        digest = hashes.SHA1() if outer.suite is OuterSuite.RSA_OAEP_SHA1 else hashes.SHA256()
        plain = private.decrypt(outer.sealed, padding.OAEP(padding.MGF1(digest), digest, None))
    except (InvalidTag, ValueError) as error:
        raise not_authentic("O") from error
    if len(plain) != 72 or plain[40:] != hashlib.sha256(outer.binding).digest():
        raise not_authentic("binding")
    return plain[:40]


# --- statements, messages, audit ---------------------------------------------------------------


def verify_transport_statement(given: Given) -> Given:
    key = verify_transport(
        Statement(b(given["statement"]), b(given["signature"])),
        identity_spki=b(given["identity"]),
        fingerprint=b(given["fingerprint"]),
        deployment_id=b(given["deployment"]),
        agent_nonce=b(given["agent_nonce"]),
        now=given["now"],
    )
    return {"kid": key.kid.hex(), "public": key.public.hex(), "oaep_hash": key.oaep_hash}


def verify_token_directory(given: Given) -> Given:
    directory = verify_directory(
        [Statement(b(s["statement"]), b(s["signature"])) for s in given["statements"]],
        deployment_id=b(given["deployment"]),
        fingerprint=b(given["fingerprint"]),
        now=given["now"],
    )
    wrapping = directory.current(KeyRole.WRAPPING, OuterSuite.RSA_OAEP_SHA256)
    return {"log": directory.current(KeyRole.LOG).kid.hex(), "wrapping/2": wrapping.kid.hex()}


def encode_request(given: Given) -> Given:
    binary = {k: b(v) for k, v in given.items() if isinstance(v, str) and k != "purpose"}
    heads = tuple(GroupHead(b(h["group_id"]), h["seq"], b(h["head"])) for h in given["heads"])
    items = tuple(
        RequestItem(b(i["core"]), b(i["context"]), b(i["header"])) for i in given["items"]
    )
    raw = RequestMessage(**{**given, **binary, "heads": heads, "items": items}).encode()
    return {"message": raw.hex(), "digest": request_digest(raw).hex()}


def _verify_signed(given: Given, decode: Any) -> Given:
    signed = b(given["signed"])
    message = decode(verify_message(signed, b(given["public"])))
    return {"fields": shown(message), "digest": release_digest(signed).hex()}


def encode_share_info(given: Given) -> Given:
    place = (given["position"], given["lock"], given["index"])
    info = share_info(b(given["request_digest"]), b(given["requester_kid"]), place)
    return {"info": info.hex()}


def walk_audit(given: Given) -> Given:
    heads = {int(seq): b(digest) for seq, digest in given["heads"].items()}
    hashes: list[str] = []
    try:
        for _, digest in audit.walk_chain(map(b, given["lines"]), heads=heads):
            hashes.append(digest.hex())
    finally:
        assert len(hashes) == given.get("named_line", len(given["lines"]))
    return {"hashes": hashes}


# --- enrolments ------------------------------------------------------------------------------


def unlock_enrolment(given: Given) -> Given:
    factors: list[Any] = []
    if "passphrase" in given:
        factors.append(PassphraseFactor(lambda: given["passphrase"]))
    if "device_key" in given:
        factors.append(DeviceKeyFactor(lambda: Secret(b(given["device_key"]))))
    return _keys_of(unlock(decode_enrolment(b(given["enrolment"])), factors))


def unlock_recovery_code(given: Given) -> Given:
    code = RecoveryCodeFactor(lambda: read_recovery_code(given["recovery_code"]))
    return _keys_of(unlock(decode_enrolment(b(given["enrolment"])), [code]))


def read_device_key(given: Given) -> Given:
    key = PRINTED_DEVICE_KEY.read(given["text"])
    return {"key": key.reveal().hex(), "check": device_key_check(key)}


def open_backup(given: Given) -> Given:
    found = decode_backup(b(given["file"]))
    return {"key": found.open(SecretText(given["passphrase"])).reveal().hex(), "check": found.check}


def read_code(given: Given) -> Given:
    return {"code": read_recovery_code(given["text"]).reveal().hex()}


def unlock_smart_card(given: Given) -> Given:
    card = smart_card.factor(b(given["card_seed"]))
    return _keys_of(unlock(decode_enrolment(b(given["enrolment"])), [card]))


def unlock_passkey(given: Given) -> Given:
    factor = passkey.factor(b(given["cred_random"]))
    return _keys_of(unlock(decode_enrolment(b(given["enrolment"])), [factor]))


def unlock_contacts(given: Given) -> Given:
    return _keys_of(contact_vectors.unlock_with_contacts(given))


def _keys_of(keys: MemberKeys) -> Given:
    return {
        "kem_public": keys.kem.public.hex(),
        "signing_public": keys.signing.public.hex(),
        "state_key": keys.state_key.reveal().hex(),
    }


def unlock_password(given: Given) -> Given:
    token = primitives.agreement_key_from_seed(Secret(b(given["hardening_seed"])))
    factor = hardening.factor(given["password"], token, b(given["pinned"]))
    return _keys_of(unlock(decode_enrolment(b(given["enrolment"])), [factor]))


def unlock_scram(given: Given) -> Given:
    factors: list[Any] = [ScramFactor(lambda: given["password"])]
    if "device_key" in given:
        factors.append(DeviceKeyFactor(lambda: Secret(b(given["device_key"]))))
    return _keys_of(unlock(decode_enrolment(b(given["enrolment"])), factors))


def split_login(given: Given) -> Given:
    secret = login_secret(Secret(b(given["hardened"])))
    verifier = login_verifier(b(given["member"]), secret)
    return {"login_secret": secret.reveal().hex(), "verifier": verifier.hex()}


def parse_scram_verifier(given: Given) -> Given:
    found = parse_verifier(given["text"])
    assert found.to_text().reveal() == given["text"].encode()
    return {
        "iterations": found.iterations,
        "salt": found.salt.hex(),
        "stored_key": found.stored_key.reveal().hex(),
        "server_key": found.server_key.reveal().hex(),
    }


def prove_scram(given: Given) -> Given:
    binding = given["binding"] and ChannelBinding(given["binding"][0], b(given["binding"][1]))
    start = begin(given["account"], lambda size: b(given["random"]), binding=binding)
    salt, iterations = b(given["salt"]), given["iterations"]
    keys = scram_keys(given["password"], salt, iterations)
    proof = start.prove(given["server_first"], keys, salt=salt, iterations=iterations)
    server_final = "v=" + b64encode(proof.expected).decode()
    proof.accept(server_final)
    return {
        "client_first": start.first,
        "client_final": proof.final,
        "server_final": server_final,
    }


def accept_evaluation(given: Given) -> Given:
    place = Place(b(given["deployment"]), b(given["member"]), b(given["enrolment"]))
    kid, stretched, public = b(given["kid"]), Secret(b(given["stretched"])), b(given["public"])
    drawn = iter([b(given["r"]), b(given["t"]), b(given["s"]), bytes([given["swapped"]])])
    point = password_point(place, kid, stretched)
    blinded = blind(point, lambda size: next(drawn))
    first, second = (b(answer) for answer in given["answers"])
    hardened = blinded.accept(public, (first, second))
    return {
        "point": encode_point(point).hex(),
        "sent": [sent.hex() for sent in blinded.sent],
        "output": password_output(place, kid, public, hardened, stretched).reveal().hex(),
    }


def check_point(given: Given) -> Given:
    return {"point": encode_point(decode_point(b(given["point"]))).hex()}


def decode_key(given: Given) -> Given:
    return {"key": decode_key_file(given["kind"], given["text"].encode()).reveal().hex()}


def parse_card(given: Given) -> Given:
    card = parse_deployment_card(given["text"])
    return {
        "deployment": card.deployment_id.hex(),
        "fingerprint": card.identity_fingerprint.hex(),
    }


OPERATIONS = {
    "unlock-password": unlock_password,
    "accept-evaluation": accept_evaluation,
    "split-login": split_login,
    "parse-scram-verifier": parse_scram_verifier,
    "prove-scram": prove_scram,
    "unlock-scram": unlock_scram,
    "check-point": check_point,
    "unlock-recovery-code": unlock_recovery_code,
    "read-recovery-code": read_code,
    "read-device-key": read_device_key,
    "open-device-key-backup": open_backup,
    "unlock-smart-card": unlock_smart_card,
    "unlock-passkey": unlock_passkey,
    "unlock-contacts": unlock_contacts,
    "compare-recovery": contact_vectors.compare_recovery,
    "open-recovery-share": contact_vectors.open_recovery_share,
    "unlock-enrolment": unlock_enrolment,
    "decode-key-file": decode_key,
    "parse-deployment-card": parse_card,
    "decode-cbor": decode_cbor,
    "encode-context": encode_context,
    "derive-kem-key": derive_kem_key,
    "derive-signing-key": derive_signing_key,
    "verify-signature": verify_signature,
    "open-hpke": open_hpke,
    "unwrap-key": unwrap_key,
    "open-value": open_value,
    "open-row": open_row,
    "open-adopted": open_adopted,
    "open-file": open_file,
    "verify-transport": verify_transport_statement,
    "verify-directory": verify_token_directory,
    "encode-request": encode_request,
    "verify-release": lambda given: _verify_signed(given, decode_release),
    "verify-share": lambda given: _verify_signed(given, decode_share),
    "encode-share-info": encode_share_info,
    "walk-audit": walk_audit,
}


@pytest.mark.parametrize("vector", VECTORS, ids=lambda v: v.name)
def test_this_implementation_does_what_the_vector_says(vector):
    """R-VEC-1, R-OUTER-5: output, or the error code; padding and binding of O show as one."""
    if vector.expect == OK:
        assert OPERATIONS[vector.operation](vector.given) == vector.output
    else:
        with pytest.raises(TwinlockError) as caught:
            OPERATIONS[vector.operation](vector.given)
        assert caught.value.code == vector.expect


OPENED = [
    v for v in VECTORS if v.operation in ("open-value", "open-row", "open-file", "open-adopted")
]
AUTHENTIC_FORM = [v for v in OPENED if v.expect in (OK, "data.not-authentic")]


@pytest.mark.parametrize("vector", AUTHENTIC_FORM, ids=lambda v: v.name)
def test_the_second_implementation_agrees(vector):
    """R-VEC-2: what opens and what does not, without a line in common."""
    given = vector.given
    wrapping = given["wrapping"]
    key = (
        b(wrapping["aes"])
        if "aes" in wrapping
        else serialization.load_der_private_key(b(wrapping["rsa_pkcs8"]), None)
    )
    groups = [
        reference.GroupKey(b(g["group_id"]), g["epoch"], g["kem"], b(g["seed"]))
        for g in given["groups"]
    ]
    keys = reference.Keys(groups, key, b(given["writer"]))
    if vector.expect == OK:
        assert _reference_output(vector.operation, given, keys) == vector.output
    else:
        with pytest.raises(reference.RefusedError):
            _reference_output(vector.operation, given, keys)


def _reference_output(operation: str, given: Given, keys: reference.Keys) -> Given:
    context = b(given["context"])
    if operation == "open-row":
        cells = {column: b(cell) for column, cell in given["cells"].items()}
        opened = reference.open_row(b(given["head"]), cells, context, keys)
        return {"plaintexts": {column: value.hex() for column, value in opened.items()}}
    if operation == "open-adopted":
        old = {
            column: (b(cell["nonce"]), b(cell["aad"]), b(cell["ciphertext"]))
            for column, cell in given["cells"].items()
        }
        opened = reference.open_adopted(b(given["head"]), old, context, keys)
        return {"plaintexts": {column: value.hex() for column, value in opened.items()}}
    sealed = b(given["sealed"])
    if operation == "open-file":
        size = int.from_bytes(sealed[4:8], "big")
        head, body = sealed[8 : 8 + size], sealed[8 + size :]
        plaintext = reference.open_file(head, body, context, given["column"], keys)
    else:
        plaintext = reference.open_value(sealed, context, given["column"], keys)
    return {"plaintext": plaintext.hex()}


def test_making_the_vectors_again_changes_nothing():
    """R-VEC-3: every file, and no recorded part that nobody needs."""
    recording = Recording()
    made = {vector.name: vector.to_text() for vector in all_vectors(recording)}
    assert made == {vector.name: vector.to_text() for vector in VECTORS}
    assert recording.unused() == set()


def test_every_operation_has_vectors_that_pass_and_fail():
    """R-VEC-1: and no vector is of an operation that nobody checks."""
    assert {v.operation for v in VECTORS} == set(OPERATIONS)
    for operation in {v.operation for v in VECTORS if v.expect != OK}:
        assert any(v.expect == OK for v in VECTORS if v.operation == operation), operation
