"""The agent's window in Chromium: what unlocks it, what locks it, what stays on the device."""

from __future__ import annotations

import base64
from pathlib import Path

from tests.web.browser.clinic import PASSPHRASE
from tests.web.browser.driver import Browser
from twinlock.agent.agent import Agent
from twinlock.agent.factors import DeviceKey, Passphrase


def test_a_wrong_passphrase_opens_and_stores_nothing(browser: Browser) -> None:
    """R-FACTOR-2: which factor was wrong is not told."""
    said = browser.play("wrongPassphrase")
    assert "passphrase" not in said.lower().split(".")[0].replace("passphrase or", "")


def test_other_files_than_a_members_are_told_apart_before_anything_is_tried(
    browser: Browser,
) -> None:
    assert "NAME.member" in browser.play("wrongFiles")


def test_files_can_be_dropped_into_the_window(browser: Browser) -> None:
    browser.play("dropped")


def test_files_are_remembered_with_their_counters_and_the_passphrase_is_not(
    browser: Browser,
) -> None:
    """R-WEB-6."""
    browser.play("remembered")


def test_locking_ends_the_worker_that_held_the_keys_and_what_waits_goes_on_after_unlocking(
    browser: Browser,
) -> None:
    """R-WEB-6."""
    browser.play("locked")


def test_an_agent_that_nobody_uses_locks_itself(browser: Browser) -> None:
    """R-WEB-6."""
    browser.play("unused")


def test_one_window_at_a_time_holds_the_keys(browser: Browser) -> None:
    """R-WEB-5."""
    browser.play("second")


def test_forgetting_a_device_asks_first_and_removes_both_files(browser: Browser) -> None:
    browser.play("forgotten")


def test_the_saved_member_file_goes_on_in_the_program_with_the_browsers_counts(
    browser: Browser, tmp_path: Path
) -> None:
    """R-AGENT-8: it is one format."""
    saved = base64.b64decode(browser.play("exported"))
    state = tmp_path / "weber.member"
    state.write_bytes(saved)
    state.chmod(0o600)
    factors = [DeviceKey(browser.clinic.key_file), Passphrase(PASSPHRASE)]
    with Agent.unlock("weber", *factors, home=tmp_path) as agent:
        assert sum(agent.status().released_this_hour.values()) == 1


def test_a_release_that_could_not_be_counted_on_disk_does_not_leave(browser: Browser) -> None:
    """R-AGENT-7."""
    browser.play("notStored")
