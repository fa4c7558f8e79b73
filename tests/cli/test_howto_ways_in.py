"""docs/howto-ways-in.md says what works: its commands run, in their order."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from tests.cli.ward import code_on, ward_here

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "howto-ways-in.md").read_text(
    encoding="utf-8"
)
BLOCKS = re.findall(r"^```sh\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
COMMANDS = [line for block in BLOCKS for line in block.splitlines()]
TYPED = {"--new-password": ("--new-password-env", "WORDS")}


def test_every_command_of_the_page_works_in_its_order(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a person would be asked for comes from the environment."""
    assert len(COMMANDS) == 9
    with ward_here(monkeypatch) as ward:
        cli = ward.cli
        cli.env |= {"WORDS": "a password of the page"}
        cli.file("card.txt", ward.card)
        for command in COMMANDS:
            program, *arguments = shlex.split(command)
            assert program == "twinlock"
            given = [word for one in arguments for word in TYPED.get(one, (one,))]
            if "revoke" in given or "recover" in given:
                cli.env["CODE"] = code_on((cli.folder / "weber.paper").read_text())
                given += ["--recovery-env", "CODE"]
            if "revoke" in given and "--status" not in given:
                given += ["--yes", "--with", "device-key"]
            cli.fine(*given)
        assert (cli.folder / "new" / "weber.member").exists()
