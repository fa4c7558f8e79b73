"""A second implementation of opening, written from docs/spec.md alone.

It imports nothing of Twinlock: CBOR comes from cbor2, HPKE is written out after RFC 9180, and the
whole envelope is taken apart by hand. What ``Sealer`` seals must open here.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import cbor2
from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives import hashes, keywrap
from cryptography.hazmat.primitives.asymmetric import ec, mlkem, padding, rsa, x25519
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

P256 = 0x0010
XWING = 0x647A
N = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551


class RefusedError(Exception):
    """The value does not open; the text says at which step."""


@dataclass(frozen=True)
class GroupKey:
    """A group's key of one epoch, as the seed that it is made from."""

    group_id: bytes
    epoch: int
    kem: int
    seed: bytes


@dataclass(frozen=True)
class Keys:
    """Everything that opens: members' side, token's side, and the writer that is trusted."""

    groups: Sequence[GroupKey]
    wrapping: rsa.RSAPrivateKey | bytes
    writer: bytes


def open_value(sealed: bytes, context: bytes, column: str, keys: Keys) -> bytes:
    """Open a self-contained value."""
    _demand(sealed[:4] == b"TWL\x01", "magic")
    core, header, outer, prefix, ciphertext, signature = cbor2.loads(sealed[4:])
    dek = open_dek(core, header, outer, context, keys)
    return open_content(dek, core, context, column, prefix, ciphertext, signature, keys.writer)


def open_row(
    head: bytes, cells: Mapping[str, bytes], context: bytes, keys: Keys
) -> dict[str, bytes]:
    """Open columns that share one wrapped DEK."""
    _demand(head[:4] == b"TWH\x01", "magic")
    core, header, outer = cbor2.loads(head[4:])
    dek = open_dek(core, header, outer, context, keys)
    opened = {}
    for column, cell in cells.items():
        _demand(cell[:4] == b"TWC\x01", "magic")
        dek_id, prefix, ciphertext, signature = cbor2.loads(cell[4:])
        _demand(dek_id == cbor2.loads(core)[2], "cell of another DEK")
        opened[column] = open_content(
            dek, core, context, column, prefix, ciphertext, signature, keys.writer
        )
    return opened


def open_adopted(
    head: bytes, cells: Mapping[str, tuple[bytes, bytes, bytes]], context: bytes, keys: Keys
) -> dict[str, bytes]:
    """Open an adopted row's columns: ``cells`` are (nonce, additional data, ciphertext)."""
    _demand(head[:4] == b"TWA\x01", "magic")
    core, header, outer, origin, signed = cbor2.loads(head[4:])
    dek = open_dek(core, header, outer, context, keys)
    _demand(cbor2.loads(core)[3] == 4, "layout")
    kid = hashlib.sha256(keys.writer).digest()[:16]
    _demand(cbor2.loads(core)[4] == kid, "writer")
    signatures = dict(signed)
    opened = {}
    for column, (nonce, aad, ciphertext) in cells.items():
        _demand(column in signatures, "column")
        digest = hashlib.sha256(_array(nonce, aad, ciphertext)).digest()
        label = "twinlock/v1/adopted-sig"
        message = _array(label, kid, core, context, column, origin, digest)
        verify(keys.writer, message, signatures[column])
        try:
            opened[column] = AESGCM(dek).decrypt(nonce, ciphertext, aad)
        except InvalidTag as error:
            raise RefusedError(column) from error
    return opened


def open_file(head: bytes, body: bytes, context: bytes, column: str, keys: Keys) -> bytes:
    """Open a sealed file: ``body`` is all segments and the signature."""
    core, header, outer, prefix = cbor2.loads(head)
    dek = open_dek(core, header, outer, context, keys)
    return open_content(dek, core, context, column, prefix, body[:-64], body[-64:], keys.writer)


def open_dek(core: bytes, header: bytes, outer: bytes, context: bytes, keys: Keys) -> bytes:
    """Open both locks of a DEK."""
    label, suite, _, layout, _ = cbor2.loads(core)
    _demand(label == "twinlock/v1/core", "core")
    _demand((suite, layout) in ((1, 1), (1, 2), (1, 3), (2, 4)), "suite and layout")
    release_key = open_release_key(core, header, context, keys.groups)
    rc, outer_suite, wrapping_kid, _ = cbor2.loads(header)
    binding = _array("twinlock/v1/outer", core, context, rc, outer_suite, wrapping_kid)
    wrapped = _open_outer(outer_suite, outer, binding, keys.wrapping)
    try:
        return keywrap.aes_key_unwrap(release_key, wrapped)
    except keywrap.InvalidUnwrap as error:
        raise RefusedError("W") from error


def open_release_key(
    core: bytes, header: bytes, context: bytes, groups: Sequence[GroupKey]
) -> bytes:
    """Do a member's part: the first lock that these groups can open, checked against rc."""
    rc, _, _, locks = cbor2.loads(header)
    dek_id = cbor2.loads(core)[2]
    held = {(group.group_id, group.epoch): group for group in groups}
    for lock in locks:
        shares = [["share", *lock[1:], None]] if lock[0] == "group" else lock[1]
        if not all((share[1], share[2]) in held for share in shares):
            continue
        release_key = bytes(32)
        for index, (_, group_id, epoch, kem, sealed, sc) in enumerate(shares):
            group = held[group_id, epoch]
            _demand(group.kem == kem, "KEM")
            info = _array(
                "twinlock/v1/lock", core, context, group_id, epoch, kem,
                hashlib.sha256(public_key(kem, group.seed)).digest(), index, len(shares), rc,
            )  # fmt: skip
            share = hpke_open(kem, group.seed, info, sealed)
            if sc is not None:
                label = b"twinlock/v1/share-commit" + dek_id + bytes([index])
                _demand(_hmac(share, label) == sc, f"share {index}")
            release_key = bytes(a ^ b for a, b in zip(release_key, share, strict=True))
        _demand(_hmac(release_key, b"twinlock/v1/rk-commit" + dek_id) == rc, "rc")
        return release_key
    raise RefusedError("no lock for these groups")


def open_content(
    dek: bytes,
    core: bytes,
    context: bytes,
    column: str,
    prefix: bytes,
    ciphertext: bytes,
    signature: bytes,
    writer: bytes,
) -> bytes:
    """Check the writer's signature, decrypt every segment, check and strip the zero bytes."""
    size = 16384 + 16
    pieces = [ciphertext[at : at + size] for at in range(0, len(ciphertext), size)]
    kid = hashlib.sha256(writer).digest()[:16]
    _demand(cbor2.loads(core)[4] == kid, "writer")
    digest = hashlib.sha256(prefix + ciphertext).digest()
    verify(
        writer,
        _array("twinlock/v1/data-sig", kid, core, context, column, len(pieces), digest),
        signature,
    )
    plaintext = b""
    for part, piece in enumerate(pieces):
        last = part == len(pieces) - 1
        nonce = prefix + part.to_bytes(4, "big") + bytes([last])
        aad = _array("twinlock/v1/data", core, context, column, part, last)
        try:
            plaintext += AESGCM(dek).decrypt(nonce, piece, aad)
        except InvalidTag as error:
            raise RefusedError(f"segment {part}") from error
    _demand(plaintext[:32] == bytes(32), "zeros")
    return plaintext[32:]


def verify(public: bytes, message: bytes, signature: bytes) -> None:
    """ECDSA P-256/SHA-256, r || s, low s."""
    r, s = int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big")
    _demand(len(signature) == 64 and s <= N // 2, "form of the signature")
    key = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), public)
    try:
        key.verify(encode_dss_signature(r, s), message, ec.ECDSA(hashes.SHA256()))
    except InvalidSignature as error:
        raise RefusedError("signature") from error


def _open_outer(
    suite: int, outer: bytes, binding: bytes, wrapping: rsa.RSAPrivateKey | bytes
) -> bytes:
    if suite == 3:
        try:
            return AESGCM(wrapping).decrypt(outer[:12], outer[12:], binding)
        except InvalidTag as error:
            raise RefusedError("O") from error
    digest = {1: hashes.SHA1(), 2: hashes.SHA256()}[suite]
    try:
        plain = wrapping.decrypt(outer, padding.OAEP(padding.MGF1(digest), digest, None))
    except ValueError as error:
        raise RefusedError("O") from error
    _demand(len(plain) == 72 and plain[40:] == hashlib.sha256(binding).digest(), "binding")
    return plain[:40]


# --- HPKE, written out -----------------------------------------------------------------------


def hpke_open(kem: int, seed: bytes, info: bytes, sealed: bytes) -> bytes:
    """RFC 9180 base mode, HKDF-SHA256, AES-256-GCM, no aad."""
    size = {P256: 65, XWING: 1120}[kem]
    key, nonce = hpke_key(kem, decapsulate(kem, seed, sealed[:size]), info)
    try:
        return AESGCM(key).decrypt(nonce, sealed[size:], b"")
    except InvalidTag as error:
        raise RefusedError("HPKE") from error


def decapsulate(kem: int, seed: bytes, enc: bytes) -> bytes:
    """The KEM's shared secret."""
    return _decap_p256(seed, enc) if kem == P256 else _decap_xwing(seed, enc)


def hpke_key(kem: int, shared: bytes, info: bytes) -> tuple[bytes, bytes]:
    """The key schedule of RFC 9180 section 5.1: AES key and nonce of the first message."""
    suite = b"HPKE" + kem.to_bytes(2, "big") + b"\x00\x01" + b"\x00\x02"
    context = (
        b"\x00"
        + _extract(suite, b"", b"psk_id_hash", b"")
        + _extract(suite, b"", b"info_hash", info)
    )
    secret = _extract(suite, shared, b"secret", b"")
    key = _expand(suite, secret, b"key", context, 32)
    return key, _expand(suite, secret, b"base_nonce", context, 12)


def public_key(kem: int, seed: bytes) -> bytes:
    """The public key that a seed gives."""
    if kem == P256:
        return _point(_p256_private(seed).public_key())
    lattice, curve = _xwing_private(seed)
    return lattice.public_key().public_bytes_raw() + curve.public_key().public_bytes_raw()


def p256_scalar(seed: bytes) -> int:
    """DeriveKeyPair, RFC 9180 section 7.1.3."""
    suite = b"KEM\x00\x10"
    prk = _extract(suite, b"", b"dkp_prk", seed)
    for counter in range(256):
        scalar = int.from_bytes(_expand(suite, prk, b"candidate", bytes([counter]), 32), "big")
        if 0 < scalar < N:
            return scalar
    raise RefusedError("DeriveKeyPair")


def _p256_private(seed: bytes) -> ec.EllipticCurvePrivateKey:
    return ec.derive_private_key(p256_scalar(seed), ec.SECP256R1())


def _xwing_private(seed: bytes) -> tuple[mlkem.MLKEM768PrivateKey, x25519.X25519PrivateKey]:
    expanded = hashlib.shake_256(seed).digest(96)
    return (
        mlkem.MLKEM768PrivateKey.from_seed_bytes(expanded[:64]),
        x25519.X25519PrivateKey.from_private_bytes(expanded[64:]),
    )


def _decap_p256(seed: bytes, enc: bytes) -> bytes:
    suite = b"KEM\x00\x10"
    private = _p256_private(seed)
    try:
        peer = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), enc)
    except ValueError as error:
        raise RefusedError("enc") from error
    shared = private.exchange(ec.ECDH(), peer)
    prk = _extract(suite, b"", b"eae_prk", shared)
    return _expand(suite, prk, b"shared_secret", enc + _point(private.public_key()), 32)


def _decap_xwing(seed: bytes, enc: bytes) -> bytes:
    lattice, curve = _xwing_private(seed)
    ours = curve.public_key().public_bytes_raw()
    first = lattice.decapsulate(enc[:1088])
    second = curve.exchange(x25519.X25519PublicKey.from_public_bytes(enc[1088:]))
    return hashlib.sha3_256(first + second + enc[1088:] + ours + rb"\.//^" + b"\\").digest()


def _extract(suite: bytes, salt: bytes, label: bytes, material: bytes) -> bytes:
    return _hmac(salt or bytes(32), b"HPKE-v1" + suite + label + material)


def _expand(suite: bytes, prk: bytes, label: bytes, info: bytes, length: int) -> bytes:
    labelled = length.to_bytes(2, "big") + b"HPKE-v1" + suite + label + info
    return _hmac(prk, labelled + b"\x01")[:length]


def _point(public: ec.EllipticCurvePublicKey) -> bytes:
    numbers = public.public_numbers()
    return b"\x04" + numbers.x.to_bytes(32, "big") + numbers.y.to_bytes(32, "big")


def _hmac(key: bytes, message: bytes) -> bytes:
    return hmac.digest(key, message, "sha256")


def _array(*items: Any) -> bytes:
    return cbor2.dumps(list(items), canonical=True)


def _demand(held: bool, step: str) -> None:
    if not held:
        raise RefusedError(step)
