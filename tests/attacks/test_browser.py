"""Attacks that need Node.js or Chromium: weakened sources, and what is said without the tools."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from attacks.browser_agent import present_build, source_changed, weaker_source
from attacks.harness import Result
from attacks.node_peer import NodeError, NodePeer, Patch
from attacks.tools import CHROMIUM, NODE, missing
from tests.attacks.test_command import run
from twinlock.errors import CallerError, DataError

RELAY = (("relay", "src/agent/relay.ts"),)
ORIGIN_CHECK = Patch("agent/relay.ts", "if (!origins.has(event.origin)) return;", "")

needs_node = pytest.mark.skipif(bool(missing([NODE])), reason=missing([NODE]))


@needs_node
def test_a_weakened_build_lacks_one_check_and_ends_with_its_block() -> None:
    whole = Path(present_build(RELAY), "relay.js").read_text()
    with weaker_source("", ORIGIN_CHECK).apply():
        weak = Path(present_build(RELAY), "relay.js").read_text()
    assert "origins.has(event.origin)" in whole
    assert "origins.has(event.origin)" not in weak
    assert Path(present_build(RELAY), "relay.js").read_text() == whole


@needs_node
@pytest.mark.parametrize(
    "patch",
    [
        Patch("agent/relay.ts", "a check that is not there", ""),
        Patch("agent/relay.ts", "const ", "let "),
        Patch("agent/nowhere.ts", "const ", "let "),
    ],
    ids=["no such text", "text that stands twice", "no such file"],
)
def test_a_change_that_does_not_fit_exactly_is_an_error_of_the_attack(patch: Patch) -> None:
    with source_changed(patch), pytest.raises(NodeError):
        present_build(RELAY)


@needs_node
def test_refusals_of_the_script_are_refusals_and_its_mistakes_are_not(tmp_path: Path) -> None:
    from attacks.node_peer import SCRIPTS

    script = tmp_path / "script.mjs"
    script.write_text(
        f"import {{ serve }} from {json.dumps(str(SCRIPTS / 'peer.mjs'))};\n"
        "const refuse = (code) => { throw Object.assign(new Error('no'), { code }); };\n"
        "await serve({ echo: ({ raw }) => raw, refuse: ({ code }) => refuse(code) });\n"
    )
    with NodePeer(str(script)) as peer:
        assert peer.call("echo", raw=b"\0\xff") == b"\0\xff"
        with pytest.raises(DataError) as refused:
            peer.call("refuse", code="log.fork")
        assert refused.value.code == "log.fork"
        with pytest.raises(CallerError):
            peer.call("refuse", code="release.needs-approval")
        for mistake in ("ERR_MODULE", ""):
            with pytest.raises(NodeError):
                peer.call("refuse", code=mistake)
        with pytest.raises(NodeError):
            peer.call("no such function")


def test_what_cannot_be_tried_is_said_in_the_report_and_is_no_success(tmp_path: Path) -> None:
    report = tmp_path / "report.json"
    named = ["--sqlite-only", "--only", "browser-csrf", "--report", str(report)]
    done = run(*named, PATH=str(tmp_path), TWINLOCK_CHROMIUM="")
    assert done.returncode != 0
    assert "NOT RUN: browser-csrf" in done.stdout
    [row] = json.loads(report.read_text())
    assert (row["id"], row["attempts"]) == ("browser-csrf", 0)
    assert "Chromium" in row["not_run"]


def test_attacks_on_browsers_can_be_left_out(tmp_path: Path) -> None:
    report = str(tmp_path / "report.json")
    done = run("--sqlite-only", "--no-browser", "--only", "browser-csrf", "--report", report)
    assert "NOT RUN" not in done.stdout
    assert done.returncode != 0, "nothing was tried, so nothing is proved"


def test_an_attack_that_was_not_run_proves_nothing() -> None:
    assert not Result.left_out("any", "softhsm+web", "there is no Chromium").ok


def test_nothing_is_missing_for_attacks_without_needs() -> None:
    assert missing([]) == ""


@pytest.mark.parametrize("tool", [NODE, CHROMIUM])
def test_a_missing_tool_is_named(tool: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(f"attacks.tools.{tool}", lambda: None)
    assert missing([tool]) != ""
