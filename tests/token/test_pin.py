"""A PIN comes from a private file, an environment variable or a question."""

from __future__ import annotations

from pathlib import Path

import pytest

from twinlock.core.secret import Secret
from twinlock.errors import CallerError, TwinlockError
from twinlock.token.pin import pin_from_environment, pin_from_file, pin_from_source, resolve_pin


def pin_file(folder: Path, content: bytes, mode: int = 0o600) -> Path:
    path = folder / "pin of the token"
    path.write_bytes(content)
    path.chmod(mode)
    return path


@pytest.mark.parametrize("content", [b"4711", b"4711\n", b"4711\r\n"])
def test_the_first_line_of_a_private_file_is_the_pin(tmp_path: Path, content: bytes) -> None:
    assert pin_from_file(pin_file(tmp_path, content)).reveal() == b"4711"


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o644, 0o777, 0o610])
def test_a_file_that_others_may_use_is_refused(tmp_path: Path, mode: int) -> None:
    with pytest.raises(CallerError) as caught:
        pin_from_file(pin_file(tmp_path, b"4711", mode))
    assert caught.value.code == "pin.file-open-to-others"
    assert "4711" not in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"\n", b"47\n11\n", b"47\x0011", b"4" * 257, b"4711\n\n"])
def test_a_file_that_is_not_one_line_is_refused(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(CallerError) as caught:
        pin_from_file(pin_file(tmp_path, content))
    assert caught.value.code == "pin.malformed"


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(TwinlockError) as caught:
        pin_from_file(tmp_path / "none")
    assert caught.value.code == "pin.file-unreadable"


def test_a_folder_is_no_pin_file(tmp_path: Path) -> None:
    with pytest.raises(TwinlockError) as caught:
        pin_from_file(tmp_path)
    assert caught.value.code in ("pin.file-unreadable", "pin.file-open-to-others")


def test_an_environment_variable_holds_the_pin() -> None:
    assert pin_from_environment("HSM_PIN", {"HSM_PIN": "4711"}).reveal() == b"4711"


@pytest.mark.parametrize(
    ("environment", "code"), [({}, "pin.missing"), ({"HSM_PIN": ""}, "pin.malformed")]
)
def test_an_unset_or_empty_variable_is_refused(environment: dict, code: str) -> None:
    with pytest.raises(CallerError) as caught:
        pin_from_environment("HSM_PIN", environment)
    assert caught.value.code == code


@pytest.mark.parametrize("form", ["{}", "file:{}", "file://{}"])
def test_a_pin_source_names_a_file(tmp_path: Path, form: str) -> None:
    path = pin_file(tmp_path, b"4711\n")
    assert pin_from_source(form.format(path)).reveal() == b"4711"


def test_a_pin_source_names_a_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TWINLOCK_TEST_PIN", "4711")
    assert pin_from_source("env:TWINLOCK_TEST_PIN").reveal() == b"4711"


@pytest.mark.parametrize("source", ["|cat /etc/pin", "pin.txt", "file:pin.txt", "https://pin"])
def test_commands_and_relative_paths_are_no_pin_source(source: str) -> None:
    with pytest.raises(CallerError) as caught:
        pin_from_source(source)
    assert caught.value.code == "pin.source"


def test_a_given_pin_goes_before_the_source_and_a_question_is_asked_once() -> None:
    asked = []

    def ask() -> Secret:
        asked.append(1)
        return Secret(b"asked")

    assert resolve_pin(Secret(b"given"), "env:UNSET").reveal() == b"given"
    assert resolve_pin(ask, "env:UNSET").reveal() == b"asked"
    assert asked == [1]


def test_no_pin_at_all_is_said() -> None:
    with pytest.raises(CallerError) as caught:
        resolve_pin(None, None)
    assert caught.value.code == "pin.missing"
