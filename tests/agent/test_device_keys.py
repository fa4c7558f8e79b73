"""Device keys in files: made, printed, backed up and brought back."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from twinlock.agent.device_keys import (
    device_key_page,
    load_device_key,
    read_backup,
    rows,
    save_device_key,
    write_backup,
    write_page,
)
from twinlock.agent.factors import DeviceKey
from twinlock.core.device_key_backup import PRINTED_DEVICE_KEY, device_key_check
from twinlock.core.factors import Place
from twinlock.core.factors.stretching import MIN_MEMORY_KIB
from twinlock.core.secret import Secret, SecretText
from twinlock.errors import CallerError, TwinlockError

KEY = Secret(os.urandom(32))
PLACE = Place(b"d" * 16, b"m" * 16, b"e" * 16)


def rows_on(page: str) -> list[str]:
    """The rows of a page, without their numbers."""
    lines = [line.split() for line in page.splitlines()]
    return [words[1] for words in lines if len(words) == 2 and words[0].isdigit()]


def test_a_page_shows_the_whole_key_in_numbered_rows_and_its_check() -> None:
    """R-DEVICE-1, R-DEVICE-3."""
    page = device_key_page("weber", KEY).reveal()
    assert [len(row.split("-")) for row in rows_on(page)] == [count for _, count in rows()]
    assert PRINTED_DEVICE_KEY.read(" ".join(rows_on(page))) == KEY
    assert device_key_check(KEY) in page
    assert max(map(len, page.splitlines())) <= 90


def test_rows_cover_every_group_once() -> None:
    """R-DEVICE-1."""
    covered = [at for first, count in rows() for at in range(first, first + count)]
    assert covered == list(range(1, 15))


def test_a_key_comes_back_from_each_backup_as_the_same_file(tmp_path: Path) -> None:
    """R-DEVICE-1, R-DEVICE-4, R-DEVICE-5."""
    made = DeviceKey.create(tmp_path / "weber.key")
    key = load_device_key(made.path)
    write_page(tmp_path / "page", "weber", key)
    write_backup(tmp_path / "stick", key, SecretText("seven words"), memory_kib=MIN_MEMORY_KIB)
    typed = PRINTED_DEVICE_KEY.read(" ".join(rows_on((tmp_path / "page").read_text())))
    opened = read_backup(tmp_path / "stick").open(SecretText("seven words"))
    for name, restored in (("typed.key", typed), ("opened.key", opened)):
        save_device_key(tmp_path / name, restored)
        assert (tmp_path / name).read_bytes() == made.path.read_bytes()
        factor, parameters = DeviceKey(tmp_path / name), made.new_parameters(os.urandom, PLACE)
        assert factor.output(parameters, PLACE) == made.output(parameters, PLACE)


def test_what_holds_a_key_is_its_owner_s_alone_and_replaces_nothing(tmp_path: Path) -> None:
    """R-DEVICE-5."""
    path = tmp_path / "new"
    for write in (
        lambda: save_device_key(path, KEY),
        lambda: write_page(path, "weber", KEY),
        lambda: write_backup(path, KEY, SecretText("words"), memory_kib=MIN_MEMORY_KIB),
    ):
        write()
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        before = path.read_bytes()
        with pytest.raises(CallerError) as caught:
            write()
        assert caught.value.code == "file.exists"
        assert path.read_bytes() == before
        path.unlink()


def test_a_backup_file_shows_nothing_of_key_or_passphrase(tmp_path: Path) -> None:
    """R-DEVICE-4."""
    write_backup(tmp_path / "stick", KEY, SecretText("seven words"), memory_kib=MIN_MEMORY_KIB)
    raw = (tmp_path / "stick").read_bytes()
    assert KEY.reveal() not in raw
    assert b"seven" not in raw


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"", "device-key.backup-damaged"),
        (b"twinlock-device-key-1\n", "device-key.backup-damaged"),
        (b"\x80" * 1025, "file.too-large"),
        (None, "file.missing"),
    ],
    ids=["empty", "a key file", "too long", "missing"],
)
def test_what_is_no_backup_is_said_so(tmp_path: Path, content: bytes | None, code: str) -> None:
    """R-DEVICE-4."""
    if content is not None:
        (tmp_path / "stick").write_bytes(content)
    with pytest.raises(TwinlockError) as caught:
        read_backup(tmp_path / "stick")
    assert caught.value.code == code
