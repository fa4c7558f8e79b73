"""Secrets do not show themselves."""

from __future__ import annotations

import copy
import dataclasses
import json
import logging
import pickle
import traceback

import pytest

from twinlock.agent.new_device import Asked
from twinlock.core.enrolment import MemberKeys, member_keys
from twinlock.core.locks import LockSealer
from twinlock.core.member_change import Login, MemberChange
from twinlock.core.primitives import Kem, kem_key_from_seed, signing_key_from_seed
from twinlock.core.secret import Secret, SecretText
from twinlock.errors import TwinlockError
from twinlock.store.members import PutMember

from .scenes import CONTEXT, Stream, group

CANARY = b"kolibri-0123456789abcdef-kolibri"
SECRETS = [Secret(CANARY), SecretText(CANARY.decode())]


def leaks(text: object) -> bool:
    shown = str(text).lower()
    return "kolibri" in shown or CANARY.hex() in shown or "a29saWJyaS".lower() in shown


SHOWN = {
    "repr": repr,
    "str": str,
    "format": "{}".format,
    "format with a width": "{:>40}".format,
    "percent": lambda s: "%s %r" % (s, s),  # noqa: UP031 - another way to show it
    "a list": lambda s: repr([s]),
    "a dict": lambda s: repr({"k": s}),
    "ascii": ascii,
    "a dataclass": lambda s: repr(dataclasses.make_dataclass("D", ["s"])(s)),
    "an exception": lambda s: repr(Exception(s)),
    "dir": lambda s: repr(dir(s)),
    "json with a default": lambda s: json.dumps(s, default=str),
}


@pytest.mark.parametrize("show", SHOWN.values(), ids=SHOWN)
@pytest.mark.parametrize("secret", SECRETS, ids=lambda s: type(s).__name__)
def test_a_secret_is_shown_redacted(show, secret):
    """R-SECRET-1: whatever shows it."""
    shown = show(secret)
    assert not leaks(shown)


FORBIDDEN = {
    "pickle": pickle.dumps,
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
    "deepcopy of a list": lambda s: copy.deepcopy([s]),
    "hash": hash,
    "a set": lambda s: {s},
    "bool": bool,
    "if": lambda s: 1 if s else 0,
    "== bytes": lambda s: s == CANARY,
    "!= bytes": lambda s: s != CANARY,
    "bytes ==": lambda s: s == CANARY,
    "== text": lambda s: s == CANARY.decode(),
    "== None": lambda s: s == None,  # noqa: E711 - what must not pass
    "in a list": lambda s: CANARY in [s],
    "json": json.dumps,
    "bytes()": lambda s: bytes(s),
    "iteration": iter,
    "an index": lambda s: s[0],
    "concatenation": lambda s: s + s,
    "vars": vars,
    "a new attribute": lambda s: setattr(s, "note", 1),
    "<": lambda s: s < s,
}


@pytest.mark.parametrize("use", FORBIDDEN.values(), ids=FORBIDDEN)
@pytest.mark.parametrize("secret", SECRETS, ids=lambda s: type(s).__name__)
def test_a_secret_is_not_used_by_accident(use, secret):
    """R-SECRET-2: it raises, and the error does not show it either."""
    with pytest.raises((TypeError, AttributeError)) as caught:
        use(secret)
    assert not leaks(caught.value)


def test_reveal_is_the_only_way_out():
    """R-SECRET-1: and equality of two Secrets works."""
    assert Secret(CANARY).reveal() == CANARY
    assert SecretText("x").reveal() == "x"
    assert len(Secret(CANARY)) == 32
    assert Secret(CANARY) == Secret(CANARY)
    assert Secret(CANARY) != Secret(b"other")
    with pytest.raises(TypeError):
        SecretText("x") == SecretText("x")  # noqa: B015


def test_a_secret_keeps_its_own_copy():
    """R-SECRET-2: a buffer that the caller wipes does not change it."""
    buffer = bytearray(CANARY)
    secret = Secret(buffer)
    buffer[:] = bytes(32)
    assert secret.reveal() == CANARY


@pytest.mark.parametrize("base", [Secret, SecretText])
def test_a_secret_is_final_for_type_checkers_and_has_no_dict(base):
    """R-SECRET-2: no attribute beside the value."""
    assert base.__final__
    assert base.__slots__ == ("_value",)


def test_objects_that_hold_secrets_do_not_show_them():
    """R-SECRET-1: reprs of keys, sealers and members."""
    secret = Secret(CANARY)
    holders = [
        kem_key_from_seed(Kem.DHKEM_P256, secret),
        kem_key_from_seed(Kem.MLKEM768_X25519, secret),
        signing_key_from_seed(secret),
        LockSealer(b"", b"", b"", secret, Stream("x")),
        member_keys(secret),
    ]
    assert isinstance(holders[-1], MemberKeys)
    for holder in holders:
        assert not leaks(holder)
        assert "private" not in repr(holder).lower() or "_private" not in repr(holder)


def test_a_traceback_and_a_log_do_not_show_a_secret(caplog):
    """R-SECRET-3: an error inside an opening, printed the way logs print it."""
    ward = group("ward")

    def fail(release_key: Secret) -> None:
        sealed = LockSealer(b"c", CONTEXT, bytes(16), release_key, Stream("x")).seal([ward.target])
        ward.key.open(sealed[0].sealed, b"another info")

    with pytest.raises(TwinlockError) as caught:
        fail(Secret(CANARY))
    text = "".join(traceback.format_exception(caught.value))
    assert "HPKE" in text
    assert not leaks(text)
    try:
        fail(Secret(CANARY))
    except TwinlockError:
        logging.getLogger("t").exception("opening %s failed", Secret(CANARY))
    assert not leaks(caplog.text)


def test_the_canary_would_be_seen():
    """R-SECRET-1: the check itself can fail."""
    assert leaks(CANARY)
    assert leaks(CANARY.hex())
    assert leaks(Secret(CANARY).reveal())


@pytest.mark.parametrize(
    "holder",
    [
        Login("scram", CANARY),
        MemberChange(b"", (), (Login("scram", CANARY),)),
        Asked(bytes(16), CANARY, b"", CANARY),
        PutMember(
            member_id=bytes(16),
            name="weber",
            counter=1,
            signed_list=CANARY,
            blobs={bytes(16): CANARY},
            logins=[("scram", CANARY)],
        ),
    ],
    ids=lambda holder: type(holder).__name__,
)
def test_what_signs_in_and_what_contacts_hand_over_is_in_no_repr(holder: object) -> None:
    """R-SECRET-1: a verifier before the token locked it, and a share of a recovery."""
    assert not leaks(holder)
