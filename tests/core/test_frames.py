"""What was typed stands in no frame of the package that an error passes through."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from pathlib import Path

import pytest

import twinlock
from twinlock.agent.recovery import RecoveryCode
from twinlock.agent.scram import Scram
from twinlock.core.device_key_backup import PRINTED_DEVICE_KEY, seal_backup
from twinlock.core.factors.recovery_code import read_recovery_code
from twinlock.core.factors.stretching import Stretching, stretch
from twinlock.core.secret import Secret, SecretText
from twinlock.errors import CallerError

PACKAGE = str(Path(twinlock.__file__).parent)
TYPED = "seven geese\x00 crossed"
BACKED_UP = bytes(range(32))
CODE = "FM0M2-FR67S-R4DET-446ZF-R3RRV-25KPR-F08C1"


def shown(error: BaseException | None) -> str:
    """Local variables of the package's frames, of an error and all that it came from."""
    found = []
    while error is not None:
        formed = traceback.TracebackException.from_exception(error, capture_locals=True)
        for frame in formed.stack:
            if frame.filename.startswith(PACKAGE):
                found.append(repr(frame.locals))
        error = error.__cause__ or error.__context__
    return " ".join(found)


def _backup(passphrase: str) -> bytes:
    return seal_backup(Secret(BACKED_UP), SecretText(passphrase), randomness=bytes)


@pytest.mark.parametrize(
    ("act", "secrets"),
    [
        (lambda: stretch(TYPED, Stretching(bytes(16), 65536, 3, 1)), ("seven geese",)),
        (lambda: Scram(TYPED).keys(bytes(16), 600_000), ("seven geese",)),
        (lambda: read_recovery_code(CODE), ("FM0M2", "FR67S", "446ZF")),
        (lambda: RecoveryCode(CODE), ("FM0M2", "FR67S", "446ZF")),
        (lambda: PRINTED_DEVICE_KEY.read(CODE), ("FM0M2", "FR67S", "446ZF")),
        (lambda: PRINTED_DEVICE_KEY.check_row(CODE, 1, 7), ("FM0M2", "FR67S", "446ZF")),
        (lambda: _backup(TYPED), ("seven geese", BACKED_UP.hex(), str(BACKED_UP))),
    ],
    ids=[
        *("a password", "a SCRAM password", "a recovery code", "a recovery code's factor"),
        *("a printed device key", "a row of it", "a backup's passphrase"),
    ],
)
def test_what_was_typed_is_in_no_frame(act: Callable[[], object], secrets: tuple[str, ...]) -> None:
    """R-RECOVERY-4, R-DEVICE-5."""
    with pytest.raises(CallerError) as caught:
        act()
    frames = shown(caught.value)
    assert frames
    assert not [secret for secret in secrets if secret in frames]
