"""The command line as a whole: help, global options, usage errors, interrupts."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
import typer.main

from tests.cli.deployment import Cli, eventually
from twinlock.cli.main import app


def _commands(group: Any = None, before: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    for name, found in (group or typer.main.get_command(app)).commands.items():
        if hasattr(found, "commands"):
            yield from _commands(found, (*before, name))
        else:
            yield (*before, name)


COMMANDS = sorted(_commands())


def test_every_promised_command_is_there() -> None:
    families = {command[0] for command in COMMANDS}
    promised = (
        "init dev doctor token group member device-key seal request release open adopt "
        "unseal-column audit guess-cost version"
    )
    assert families == set(promised.split())


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_every_command_has_help_the_global_options_and_an_example(
    command: tuple[str, ...], bare: Cli
) -> None:
    shown = bare.here(*command, "--help")
    assert shown.code == 0
    for option in ("--json", "--config", "--quiet"):
        assert option in shown.out
    example = f"twinlock {' '.join(command)}"
    assert command == ("version",) or shown.out.count(example) >= 2


@pytest.mark.parametrize("group", [(), ("group",), ("member",), ("token",), ("audit",)])
def test_a_family_without_a_command_shows_its_help(group: tuple[str, ...], bare: Cli) -> None:
    shown = bare.here(*group)
    assert shown.code == 2
    assert "Usage" in shown.out


@pytest.mark.parametrize(
    "arguments",
    [("--json", "version"), ("version", "--json")],
    ids=["before", "after"],
)
def test_global_options_stand_before_or_after_the_command(
    arguments: tuple[str, ...], bare: Cli
) -> None:
    assert "version" in bare.here(*arguments).json


@pytest.mark.parametrize(
    "arguments",
    [
        ("no-such-command",),
        ("group", "no-such-command"),
        ("version", "--no-such-option"),
        ("group", "show"),
        ("group", "add", "ward", "card", "--as", "x", "--role", "emperor"),
        ("audit", "show", "--last", "none"),
    ],
    ids=" ".join,
)
def test_a_wrong_command_line_is_a_usage_error_in_both_shapes(
    arguments: tuple[str, ...], bare: Cli
) -> None:
    for shown in (bare.here(*arguments), bare.here(*arguments, "--json")):
        assert shown.code == 2
        assert shown.error == "cli.usage"
        assert "Traceback" not in shown.err


def test_without_a_configuration_the_error_says_what_to_do(bare: Cli) -> None:
    shown = bare.here("group", "list")
    assert (shown.code, shown.error) == (2, "config.missing")
    assert "hint: Run `twinlock init`" in shown.err
    assert shown.out == ""


def test_the_configuration_comes_from_the_option_then_the_environment(bare: Cli) -> None:
    option = bare.here("group", "list", "--config", "a.toml", env={"TWINLOCK_CONFIG": "b.toml"})
    variable = bare.here("group", "list", env={"TWINLOCK_CONFIG": "b.toml"})
    assert "a.toml" in option.err
    assert "b.toml" in variable.err


@pytest.mark.parametrize("command", ["group list", "group found x --as y", "audit verify"])
def test_a_broken_configuration_is_refused(command: str, bare: Cli) -> None:
    bare.file("twinlock.toml", "[deployment\n")
    assert bare.here(*command.split()).error == "config.invalid"


def test_an_unexpected_failure_is_an_internal_error(
    bare: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_path: object) -> None:
        raise ZeroDivisionError("CANARY-SECRET")

    monkeypatch.setattr("twinlock.server.config.load_config", broken)
    shown = bare.here("group", "list", "--json")
    assert (shown.code, shown.error) == (70, "internal.unexpected")
    assert "CANARY" not in shown.out + shown.err


def test_an_interrupt_ends_quietly(shared: Cli) -> None:
    waiting = shared.folder / "interrupted.hello"
    shared.ok("member", "hello", "kim", "-o", waiting)
    request = shared.folder / "interrupted.twl"
    ids = ("--table", "patients", "--all", "-o", request)
    with shared.start("request", "--for", waiting, *ids, "--foreground") as process:
        eventually(request.exists)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in out + err


def test_colours_are_left_out_when_asked(bare: Cli) -> None:
    coloured = bare.here("group", "list", env={"FORCE_COLOR": "1", "NO_COLOR": ""})
    plain = bare.here("group", "list", env={"FORCE_COLOR": "1", "NO_COLOR": "1"})
    assert "\x1b[1;31m" in coloured.err
    assert "\x1b[1;31m" not in plain.err
    assert "31m" not in plain.err


def test_the_module_and_the_entry_point_are_one(bare: Cli) -> None:
    code = "from twinlock.cli.main import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", code, "version"],
        cwd=bare.folder,
        env=bare._environment({}),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0
    assert done.stdout.startswith("twinlock ")


def test_the_shell_is_told_what_could_come_next(bare: Cli) -> None:
    done = subprocess.run(
        [sys.executable, "-c", "from twinlock.cli.main import main; main()"],
        cwd=bare.folder,
        env=bare._environment(
            {
                "_TWINLOCK_COMPLETE": "complete_bash",
                "COMP_WORDS": "twinlock group set-",
                "COMP_CWORD": "2",
            }
        ),
        capture_output=True,
        text=True,
        check=False,
    )
    assert set(done.stdout.split()) == {
        "set-admins",
        "set-identity",
        "set-policy",
        "set-writers",
    }
