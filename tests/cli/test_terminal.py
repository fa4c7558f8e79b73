"""What commands say cannot harm a terminal, and results are apart from talk."""

from __future__ import annotations

import json

import pytest

from twinlock.cli.failure import exit_code, report
from twinlock.cli.terminal import Terminal, one_line, table, visible
from twinlock.errors import CallerError, DataError, EnvError, not_authentic


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Grüße, 3B", "Grüße, 3B"),
        ("red \x1b[31m", "red \\x1b[31m"),
        ("back\x08space", "back\\x08space"),
        ("\u202egnp.exe", "\\u202egnp.exe"),
        ("two\nlines", "two\nlines"),
    ],
)
def test_what_could_move_or_recolour_a_terminal_is_escaped(text: str, shown: str) -> None:
    assert visible(text) == shown


def test_a_cell_has_one_line() -> None:
    assert one_line("a\nb\tc") == "a\\nb\\x09c"


def test_markup_in_a_cell_is_text(capsys: pytest.CaptureFixture[str]) -> None:
    Terminal().result({}, table(["[b]name[/b]"], [["[red]kim[/red] :smile:"]]))
    assert capsys.readouterr().out == "[b]name[/b]\n[red]kim[/red] :smile:\n"


def test_a_long_line_is_not_cut_where_no_terminal_is(capsys: pytest.CaptureFixture[str]) -> None:
    Terminal().result({}, table(["a", "b"], [["x" * 500, "y" * 500]]))
    assert f"{'x' * 500}  {'y' * 500}\n" in capsys.readouterr().out


def test_json_is_one_object_with_the_warnings_in_it(capsys: pytest.CaptureFixture[str]) -> None:
    terminal = Terminal(json=True)
    terminal.warn("take care")
    terminal.say("talk")
    terminal.result({"rows": 3}, "shown")
    shown = capsys.readouterr()
    assert json.loads(shown.out) == {"rows": 3, "warnings": ["take care"]}
    assert shown.err == ""


def test_quiet_leaves_the_result_and_warnings(capsys: pytest.CaptureFixture[str]) -> None:
    terminal = Terminal(quiet=True)
    terminal.say("talk")
    terminal.warn("take care")
    terminal.result({}, "shown")
    shown = capsys.readouterr()
    assert (shown.out, shown.err) == ("shown\n", "warning: take care\n")


def test_nobody_is_asked_where_the_answer_could_not_be_seen(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert Terminal(json=True).confirm("Release?") is False
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (CallerError("a.b", "m"), 2),
        (DataError("a.b", "m"), 3),
        (not_authentic("why"), 3),
        (EnvError("a.b", "m"), 4),
    ],
)
def test_the_exit_code_tells_the_family(error: CallerError, code: int) -> None:
    assert exit_code(error) == code


def test_an_error_for_programs_has_four_facts(capsys: pytest.CaptureFixture[str]) -> None:
    error = EnvError("store.locked", "It is locked.", hint="Wait.", retryable=True)
    assert report(error, as_json=True) == 4
    assert json.loads(capsys.readouterr().out) == {
        "error": {
            "code": "store.locked",
            "message": "It is locked.",
            "hint": "Wait.",
            "retryable": True,
        }
    }


def test_a_fault_of_our_own_shows_its_type_and_nothing_that_it_quotes(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TWINLOCK_DEBUG", raising=False)
    assert report(KeyError("CANARY-SECRET"), as_json=False) == 70
    shown = capsys.readouterr()
    assert "internal.unexpected" in shown.err
    assert "KeyError" in shown.err
    assert "CANARY" not in shown.out + shown.err


def test_a_traceback_is_shown_when_it_is_asked_for(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TWINLOCK_DEBUG", "1")
    with pytest.raises(KeyError) as caught:
        raise KeyError("value")
    assert report(caught.value, as_json=False) == 70
    assert "Traceback" in capsys.readouterr().err


def test_the_cause_of_a_failed_check_stays_inside(capsys: pytest.CaptureFixture[str]) -> None:
    report(not_authentic("CANARY-CAUSE"), as_json=False)
    report(not_authentic("CANARY-CAUSE"), as_json=True)
    shown = capsys.readouterr()
    assert "CANARY" not in shown.out + shown.err
