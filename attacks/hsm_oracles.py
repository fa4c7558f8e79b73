"""RSA as an oracle: other mechanisms on the RSA keys, and damaged blocks through the server.

Broken is a padding failure that whoever sends a block can tell from a block that decrypts to
something else: by the error's face, or by the token calls that the server makes for it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import Any, Final

from attacks.harness import Mutation, Trial, attack, weakened
from attacks.hsm_interface import by_id, interface, live_token
from attacks.people import Insider
from attacks.places import Place
from attacks.world import World
from twinlock.core.envelope import decode_value, encode_value
from twinlock.core.ports import KeyRole, OuterSuite, TokenKey
from twinlock.core.primitives import rsa_oaep_encrypt, sha256
from twinlock.core.release import decode_release, sign_message, split_signed
from twinlock.core.sealing import outer_binding
from twinlock.errors import TwinlockError
from twinlock.server.records import Sealed
from twinlock.token import keys, opening, pkcs11_token, policy
from twinlock.token.calls import SessionCalls
from twinlock.token.ck import Cka, Ckm, Cko
from twinlock.token.pkcs11_token import Pkcs11Token
from twinlock.token.profiles import TokenProfile
from twinlock.token.returns import CallError
from twinlock.token.structures import Attributes, FixedMechanism

_LONG_LIVED: Final = policy.long_lived
_TRANSPORT: Final = policy.transport_private
_DECRYPT: Final = SessionCalls.decrypt

Face = tuple[str, ...]


def _any_mechanism(
    profile: TokenProfile, role: KeyRole, suite: OuterSuite | None, kid: bytes, label: str
) -> Attributes:
    return _LONG_LIVED(replace(profile, allowed_mechanisms=False), role, suite, kid, label)


def _any_transport(profile: TokenProfile) -> Attributes:
    return _TRANSPORT(replace(profile, allowed_mechanisms=False))


def _decrypt_again(
    calls: SessionCalls, mechanism: FixedMechanism, key: int, ciphertext: bytes
) -> bytes:
    try:
        return _DECRYPT(calls, mechanism, key, ciphertext)
    except CallError:
        return _DECRYPT(calls, mechanism, key, ciphertext)


@attack(
    id="hsm-raw-rsa",
    claim="hsm",
    attack=10,
    says="raw RSA and PKCS#1 v1.5 on the RSA wrapping key and on a live transport key",
    mutations=[
        Mutation(
            "keys answer every mechanism of their usage",
            lambda: weakened(
                (keys, "long_lived", _any_mechanism),
                (pkcs11_token, "transport_private", _any_transport),
            ),
            rebuild=True,
        )
    ],
    databases=False,
)
def hsm_raw_rsa(world: World, trial: Trial) -> None:
    """A key that answers them would be an oracle for what was encrypted with OAEP."""
    token = live_token(world)
    token.generate_transport_key()
    into = policy.session_attributes(token.profile)["session_key"]
    with interface(world) as api:
        (wrapping,) = by_id(api, _rsa_wrapping(world).kid)
        live = api.objects({Cka.CLASS: Cko.PRIVATE_KEY, Cka.TOKEN: False})
        for mechanism in (Ckm.RSA_X_509, Ckm.RSA_PKCS):
            for name in ("Decrypt", "Sign"):
                with trial.attempt("another mechanism on the wrapping key") as attempt:
                    attempt.says(api.begins(name, mechanism, None, wrapping))
            for key in live:
                with trial.attempt("another mechanism on a transport key") as attempt:
                    modulus = api.attribute(key, Cka.MODULUS) or b""
                    block = _v15(modulus, os.urandom(32))
                    attempt.says(api.unwrap(mechanism, None, key, block, into) is not None)
    world.restart()


@attack(
    id="hsm-padding-oracle",
    claim="database-write",
    attack=10,
    says="damaged OAEP blocks in records and in releases: one error, the same calls",
    mutations=[
        Mutation(
            "a padding failure is reported as the token's own error",
            lambda: weakened(
                (opening, "refuses_data", lambda *_: False),
                (pkcs11_token, "refuses_data", lambda *_: False),
            ),
        ),
        Mutation(
            "a block that does not decrypt is tried a second time",
            lambda: weakened((SessionCalls, "decrypt", _decrypt_again)),
        ),
    ],
    databases=False,
)
def hsm_padding_oracle(world: World, trial: Trial) -> None:
    """Whoever writes rows sends blocks in O; a member sends them in releases of his own."""
    place = world.place("first-rsa-oaep")
    world.read(place)
    with _traced(live_token(world)) as trace:
        reference, *others = [
            _outcome(partial(_open_with_outer, world, place, block), trace)
            for block in _outer_blocks(world, place)
        ]
        for face, calls in others:
            with trial.attempt("error for a damaged block in O") as attempt:
                attempt.says(face != reference[0])
            with trial.attempt("token calls for a damaged block in O") as attempt:
                attempt.says(calls != reference[1])
        for block in _no_residues(world, place):
            face, _ = _outcome(partial(_open_with_outer, world, place, block), trace)
            with trial.attempt("error for a damaged block in O") as attempt:
                attempt.says(face != reference[0])
        reference, *others = [
            _outcome(partial(_open_with_session_key, world, place, make), trace)
            for make in _SESSION_BLOCKS
        ]
        for face, _ in others:
            with trial.attempt("error for a damaged session key") as attempt:
                attempt.says(face != reference[0])


def _outer_blocks(world: World, place: Place) -> list[bytes]:
    """Blocks for O. The first decrypts, and belongs to another record."""
    public = _rsa_wrapping(world).public
    other = decode_value(_raw(world, world.place("other-record-rsa-oaep")))[0]
    genuine = decode_value(_raw(world, place))[0]
    raw = place.context.encode(world.config.deployment_id)
    binding = sha256(outer_binding(genuine.core.raw, raw, genuine.header))
    insides = (b"", os.urandom(71), os.urandom(73), bytes(40) + binding[:16] + bytes(16))
    return [
        other.outer,
        _flipped(genuine.outer),
        b"\0" + os.urandom(len(genuine.outer) - 1),
        bytes(len(genuine.outer)),
        *(rsa_oaep_encrypt(public, "sha1", inside) for inside in insides),
    ]


def _no_residues(world: World, place: Place) -> list[bytes]:
    """What is no number below the modulus, for all to see: the token is not asked at all."""
    genuine = decode_value(_raw(world, place))[0].outer
    return [genuine[:-1], genuine + b"\0", b"\xff" * len(genuine)]


def _open_with_outer(world: World, place: Place, block: bytes) -> object:
    head, field = decode_value(_raw(world, place))
    return world.read(place, Sealed(encode_value(replace(head, outer=block), field)))


_SESSION_BLOCKS: Final[tuple[Callable[[bytes], bytes], ...]] = (
    lambda public: rsa_oaep_encrypt(public, "sha1", os.urandom(32)),
    lambda public: rsa_oaep_encrypt(public, "sha1", os.urandom(31)),
    lambda public: rsa_oaep_encrypt(public, "sha1", os.urandom(33)),
    lambda public: rsa_oaep_encrypt(public, "sha1", os.urandom(16)),
    lambda public: rsa_oaep_encrypt(public, "sha1", b""),
    lambda public: _flipped(rsa_oaep_encrypt(public, "sha1", os.urandom(32))),
    lambda public: b"\0" + os.urandom(len(rsa_oaep_encrypt(public, "sha1", b"")) - 1),
    lambda public: bytes(len(rsa_oaep_encrypt(public, "sha1", b""))),
    lambda public: b"\xff" * len(rsa_oaep_encrypt(public, "sha1", b"")),
    lambda public: b"short",
)
"""Blocks for the encrypted session key. The first decrypts, to a key of nobody's."""


def _open_with_session_key(world: World, place: Place, make: Callable[[bytes], bytes]) -> object:
    """A release of the member's own, signed, with another encrypted session key in it."""
    kim = Insider.of(world, place.reader)
    request = world.vault.request([(place.context, world.stored(place))])
    message = decode_release(split_signed(world.release(request, place))[0])
    forged = replace(message, session_key=make(request.pending[0].transport.public))
    return world.open(request, sign_message(forged.encode(), kim.keys.signing), place)


def _outcome(act: Callable[[], object], trace: list[str]) -> tuple[Face, list[str]]:
    """What the sender sees (code, message, hint), and the calls that the token got."""
    trace.clear()
    try:
        act()
    except TwinlockError as error:
        return (error.code, error.message, error.hint), list(trace)
    return ("opened",), list(trace)


@contextmanager
def _traced(token: Pkcs11Token) -> Iterator[list[str]]:
    """The names of the PKCS#11 functions, in the order in which the server calls them."""
    trace: list[str] = []
    table: dict[str, Any] = token.module.functions._call
    genuine = dict(table)

    def traced(name: str) -> Callable[..., int]:
        def call(*arguments: Any) -> int:
            trace.append(name)
            answer: int = genuine[name](*arguments)
            return answer

        return call

    table.update({name: traced(name) for name in genuine})
    try:
        yield trace
    finally:
        table.update(genuine)


def _rsa_wrapping(world: World) -> TokenKey:
    keys = [entry.key for entry in world.vault.directory.entries]
    return next(key for key in keys if key.suite not in (None, OuterSuite.TOKEN_AES))


def _raw(world: World, place: Place) -> bytes:
    stored = world.stored(place)
    if not isinstance(stored, Sealed):
        raise TypeError(f"{place.name} is no value")
    return stored.raw


def _flipped(block: bytes) -> bytes:
    middle = len(block) // 2
    return block[:middle] + bytes([block[middle] ^ 1]) + block[middle + 1 :]


def _v15(modulus: bytes, message: bytes) -> bytes:
    """A block with the padding of PKCS#1 v1.5, encrypted with exponent 65537 to a modulus."""
    size = len(modulus)
    padded = b"\0\2" + b"\xaa" * (size - 3 - len(message)) + b"\0" + message
    n = int.from_bytes(modulus, "big")
    return pow(int.from_bytes(padded, "big"), 65537, n).to_bytes(size, "big")
