"""``token retire | needed-by | relock-verifiers | destroy`` on a real token."""

from __future__ import annotations

from tests.cli.deployment import Cli


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
