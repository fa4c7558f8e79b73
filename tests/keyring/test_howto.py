"""The page about device keys says what works."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from tests.agent.test_device_keys import rows_on
from tests.cli.deployment import PASSPHRASE, Cli
from tests.cli.test_members import CARD
from tests.keyring.desktop import Desktop

PAGE = Path(__file__).resolve().parents[2] / "docs" / "howto-device-keys.md"
COMMANDS = re.findall(r"^twinlock (.*)$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)


@pytest.mark.usefixtures("here")
def test_every_command_of_the_page_works_in_its_order(session: Desktop, tmp_path: Path) -> None:
    """R-DEVICE-7: what a person would be asked for comes from the environment."""
    cli = Cli(tmp_path, {**session.env, "TWINLOCK_KEYRING": "1", "PW": PASSPHRASE})
    cli.fine("member", "create", "weber", "--deployment", CARD)
    key = (tmp_path / "weber.key").read_bytes()
    check = cli.fine("device-key", "check", "weber")["check"]
    assert len(COMMANDS) == 11
    for command in COMMANDS:
        arguments = shlex.split(command.replace("CHECK", check))
        if "--file" in arguments:
            arguments += ["--passphrase-env", "PW"]
        elif "restore" in arguments:
            cli.env["ROWS"] = " ".join(rows_on((tmp_path / "weber.page").read_text()))
            arguments += ["--page-env", "ROWS"]
        cli.fine(*arguments)
    for name in ("weber.key", "from-page.key", "from-stick.key"):
        assert (tmp_path / name).read_bytes() == key
