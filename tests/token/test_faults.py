"""What a failing token's return values become, and that nothing stays behind then."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.token.rigs import MAKERS, Rig
from twinlock.core.secret import Secret
from twinlock.errors import EnvError, TwinlockError
from twinlock.token.ck import Ckr
from twinlock.token.profiles import PROFILES
from twinlock.token.returns import CallError, refuses_data, translate


@pytest.fixture(scope="module")
def softhsm(softhsm_folder: Path) -> Iterator[Rig]:
    rig = MAKERS["softhsm"](softhsm_folder)
    yield rig
    rig.token.close()


@contextmanager
def failing(rig: Rig, function: str, value: int, after: int) -> Iterator[None]:
    """Let one function of the module fail from its ``after``-th call on."""
    functions, seen = rig.token.module.functions, []
    real = functions[function]

    def faulty(*arguments: object) -> int:
        seen.append(1)
        return value if len(seen) > after else real(*arguments)

    functions._call[function] = faulty
    try:
        yield
    finally:
        functions._call[function] = real


FAULTS = [
    (Ckr.DEVICE_ERROR, "token.device-error", True),
    (Ckr.DEVICE_REMOVED, "token.session-lost", True),
    (Ckr.SESSION_HANDLE_INVALID, "token.session-lost", True),
    (Ckr.TOKEN_NOT_PRESENT, "token.session-lost", True),
    (Ckr.USER_NOT_LOGGED_IN, "token.session-lost", True),
    (Ckr.HOST_MEMORY, "token.exhausted", True),
    (Ckr.SESSION_COUNT, "token.exhausted", True),
    (Ckr.MECHANISM_INVALID, "token.unsupported", False),
    (Ckr.FUNCTION_FAILED, "token.failed", False),
    (0x80000001, "token.failed", False),
]


@pytest.mark.parametrize(("value", "code", "retryable"), FAULTS)
@pytest.mark.parametrize(
    "function", ["OpenSession", "UnwrapKey", "DecryptInit", "Decrypt", "DestroyObject"]
)
def test_a_failing_call_is_never_taken_for_bad_data_and_leaves_nothing(
    softhsm: Rig, function: str, value: int, code: str, retryable: bool
) -> None:
    """R-TOKEN-4."""
    items = [softhsm.seal("rsa", [b"x"]) for _ in range(3)]
    before = softhsm.count_objects()
    with pytest.raises(EnvError) as caught, failing(softhsm, function, value, after=1):
        softhsm.open_many(items)
    assert (caught.value.code, caught.value.retryable) == (code, retryable)
    assert softhsm.count_objects() == before
    assert softhsm.open_many(items) == [[b"x"]] * 3


@pytest.mark.parametrize(
    "function",
    ["GenerateKey", "UnwrapKey", "WrapKey", "DestroyObject", "EncryptInit", "Encrypt"],
)
def test_a_sealing_that_fails_leaves_nothing(softhsm: Rig, function: str) -> None:
    softhsm.seal("aes", [b"x"])
    before = softhsm.count_objects()
    with (
        pytest.raises(EnvError) as caught,
        failing(softhsm, function, Ckr.DEVICE_ERROR, after=0),
        softhsm.token.sealing(softhsm.wrapping_aes.kid, Secret(bytes(32)), b"binding"),
    ):
        pass
    assert caught.value.code == "token.device-error"
    assert softhsm.count_objects() == before


def test_an_import_key_whose_pair_does_not_serve_leaves_nothing(softhsm_folder: Path) -> None:
    """R-TOKEN-4."""
    rig = MAKERS["softhsm"](softhsm_folder)
    before = rig.count_objects()
    fault = failing(rig, "GetAttributeValue", Ckr.DEVICE_ERROR, after=0)
    with pytest.raises(EnvError) as caught, fault:
        rig.seal("aes", [b"x"])
    assert caught.value.code == "token.device-error"
    assert rig.count_objects() == before
    assert rig.open_many([rig.seal("aes", [b"x"])]) == [[b"x"]]
    rig.token.close()


def test_an_import_key_that_does_not_come_in_leaves_nothing(
    softhsm: Rig, softhsm_folder: Path
) -> None:
    """R-TOKEN-4."""
    with failing(softhsm, "UnwrapKey", Ckr.DEVICE_ERROR, after=0):
        rig = MAKERS["softhsm"](softhsm_folder)  # a session takes this function when it is made
        before = rig.count_objects()
        with pytest.raises(EnvError) as caught:
            rig.seal("aes", [b"x"])
    assert caught.value.code == "token.device-error"
    assert rig.count_objects() == before
    rig.token.close()


def test_a_failure_in_one_worker_waits_for_the_others(softhsm: Rig) -> None:
    items = [softhsm.seal("aes", [b"x"])] * 100
    before = softhsm.count_objects()
    with pytest.raises(EnvError), failing(softhsm, "Decrypt", Ckr.DEVICE_ERROR, after=40):
        softhsm.open_many(items)
    assert softhsm.count_objects() == before
    assert softhsm.open_many(items) == [[b"x"]] * 100


def test_a_plaintext_of_another_length_is_not_believed(softhsm: Rig) -> None:
    functions = softhsm.token.module.functions
    real = functions["Decrypt"]
    item = softhsm.seal("aes", [b"four"])

    def short(session: int, data: bytes, size: int, buffer: int, length: int) -> int:
        value = real(session, data, size, buffer, length)
        ctypes.c_ulong.from_address(length).value -= 1
        return value

    functions._call["Decrypt"] = short
    try:
        with pytest.raises(EnvError) as caught:
            softhsm.open_many([item])
    finally:
        functions._call["Decrypt"] = real
    assert caught.value.code == "token.failed"


@pytest.mark.parametrize(
    ("value", "code", "family"),
    [
        (Ckr.PIN_INCORRECT, "token.pin-incorrect", "CallerError"),
        (Ckr.PIN_LEN_RANGE, "token.pin-incorrect", "CallerError"),
        (Ckr.PIN_LOCKED, "token.pin-unusable", "EnvError"),
        (Ckr.USER_PIN_NOT_INITIALIZED, "token.pin-unusable", "EnvError"),
    ],
)
def test_pin_failures_have_their_codes(value: Ckr, code: str, family: str) -> None:
    error: TwinlockError = translate(CallError(value, "C_Login"))
    assert (error.code, type(error).__name__) == (code, family)
    assert value.name in str(error)


@pytest.mark.parametrize(
    ("value", "function", "profile", "is_data"),
    [
        (Ckr.ENCRYPTED_DATA_INVALID, "C_Decrypt", "luna", True),
        (Ckr.WRAPPED_KEY_INVALID, "C_UnwrapKey", "luna", True),
        (Ckr.ENCRYPTED_DATA_INVALID, "C_DecryptInit", "luna", False),
        (Ckr.GENERAL_ERROR, "C_Decrypt", "softhsm", True),
        (Ckr.GENERAL_ERROR, "C_DecryptInit", "softhsm", False),
        (Ckr.GENERAL_ERROR, "C_Decrypt", "nss", False),
        (Ckr.DEVICE_ERROR, "C_Decrypt", "softhsm", False),
    ],
)
def test_only_what_judges_data_refuses_data(
    value: Ckr, function: str, profile: str, is_data: bool
) -> None:
    failed = CallError(value, function)
    assert refuses_data(failed, PROFILES[profile].refusals) is is_data
