"""``token retire | needed-by | relock-verifiers | destroy`` on a real token."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.cli.deployment import Cli
from tests.cli.ward import Ward, ward_here
from twinlock.server.rotation import dependents, destroy, retire
from twinlock.server.setup import add_hardening_key


def test_a_hardening_key_is_rotated_by_commands(own: Cli) -> None:
    old = own.ok("token", "add-hardening-key")["kid"]
    refused = own.run("token", "retire", old[:8], "--until", "2030-01-01", "--json")
    assert (refused.code, refused.error) == (2, "directory.last-key")
    new = own.ok("token", "add-hardening-key")["kid"]
    for arguments, code in (
        ((old, "--until", "soon"), "directory.retire-when"),
        ((old, "--until", "1999-01-01"), "directory.retire-when"),
        (("zz", "--until", "2030-01-01"), "directory.no-such-key"),
    ):
        assert own.run("token", "retire", *arguments, "--json").error == code
    assert own.ok("token", "retire", old[:12], "--until", "2030-01-01")["kid"] == old
    keys = {key["kid"]: key for key in own.fine("token", "needed-by")["keys"]}
    assert (keys[old]["retiring"], keys[new]["retiring"]) == (True, False)
    assert keys[old]["members"] == []
    asked = own.run("token", "destroy", old, "--json")
    assert asked.error == "cli.not-confirmed"
    assert own.run("token", "destroy", new, "--yes", "--json").error == "directory.not-retiring"
    own.ok("token", "destroy", old, "--yes")
    assert [key["kid"] for key in own.fine("token", "needed-by")["keys"]] == [new]
    assert own.ok("token", "check")["ok"] is True
    assert own.ok("token", "relock-verifiers") == {"relocked": 0, "of": 0}


@pytest.fixture
def ward(monkeypatch: pytest.MonkeyPatch) -> Iterator[Ward]:
    with ward_here(monkeypatch) as made:
        yield made


def test_a_command_that_unlocks_by_password_moves_it_to_the_new_key(ward: Ward) -> None:
    """R-ROTATE-2: nobody has to think of it, and a server that is away stops nothing."""
    ward.cli.env["PW"] = "correct horse battery staple"
    ward.kim("enrol", "--new-password-env", "PW", "--label", "words", "--with", "device-key")
    vault, now = ward.made.vault, ward.made.founding.clock()
    add_hardening_key(vault.store, vault.token, vault.config, now=now)
    vault.read_directory_again()
    (old, names), *_ = [(d.entry.key.kid, d.names) for d in dependents(vault) if d.names]
    assert names == ("kim",)
    retire(vault, old, until=now + 86400)
    before = ward.ways("--password-env", "PW", "--with", "password")
    assert [d.entry.key.kid for d in dependents(vault) if d.names] != [old]
    after = ward.ways("--password-env", "PW", "--with", "password")
    assert before["words"]["id"] == after["words"]["id"]
    assert len(before) == len(after) == 2
    destroy(vault, old)
    assert ward.kim("show", "--password-env", "PW", "--with", "password")["releases"] == 0
