"""Ways in, in Chromium with its virtual authenticator: passkeys, passwords, recovery codes."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

import pytest

from tests.web.browser.clinic import SCRAM_PASSWORD, running_clinic
from tests.web.browser.driver import Browser, build
from tests.web.browser.test_pictures import MOST


class Play(Protocol):
    """Plays a scenario against a clinic of the test's own."""

    def __call__(self, scenario: str, **given: str) -> Any:
        """Return what the scenario found."""
        ...


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The agent, as ``make web`` builds it."""
    return build(tmp_path_factory.mktemp("agent"))


@pytest.fixture
def play(browser: Browser, built: Path) -> Iterator[Play]:
    """A clinic whose member has no way in yet but key file and passphrase."""
    with running_clinic(built) as clinic:
        files = [str(clinic.key_file), str(clinic.state_file)]
        own = {"app": clinic.app, "agent": clinic.agent, "files": files}
        yield lambda scenario, **given: browser.play(scenario, **own, **given)


def test_one_touch_signs_in_and_unlocks_and_the_prf_stays_in_the_agent(play: Play) -> None:
    """R-WEB-7, R-PASSKEY-1, R-PASSKEY-4, R-PASSKEY-6, R-PASSKEY-11."""
    play("oneTouch")


def test_an_unlocked_agent_signs_in_too(play: Play) -> None:
    play("signInUnlocked")


def test_signing_in_can_be_refused_in_the_window_and_given_up_in_the_page(play: Play) -> None:
    """R-WEB-4."""
    play("signInRefused")


def test_a_click_to_sign_in_opens_the_agent(play: Play) -> None:
    play("signInOpensAgent")


def test_a_lost_passkey_leaves_the_other_way_in(play: Play) -> None:
    play("lostPasskey")


def test_a_passkey_is_refused_as_the_only_way_in(play: Play) -> None:
    assert "passkeys get lost" in play("soleRefused")


def test_an_authenticator_without_a_prf_becomes_no_way_in(play: Play) -> None:
    """R-PASSKEY-1."""
    play("noPrf")


def test_a_name_and_a_password_set_another_computer_up(play: Play) -> None:
    """R-HARD-5, R-HARD-6, R-FACTOR-8."""
    assert "do not open" in play("arrivesWithPassword")


def test_a_recovery_code_sets_another_computer_up(play: Play) -> None:
    """R-RECOVERY-1, R-RECOVERY-2, R-RECOVERY-4."""
    play("arrivesWithCode")


def test_a_passkey_signs_in_on_another_computer_and_sets_it_up(play: Play) -> None:
    play("arrivesWithPasskey")


def test_a_changed_passphrase_takes_the_place_of_the_old_one(play: Play) -> None:
    play("changesPassphrase")


def test_a_change_that_another_device_was_ahead_of_catches_up_first(play: Play) -> None:
    play("twoDevices")


def test_without_a_page_of_the_application_no_way_in_is_made(play: Play) -> None:
    play("withoutPage")


def test_a_way_in_is_made_only_with_a_present_one(play: Play) -> None:
    """R-WEB-9."""
    assert "do not open" in play("needsPresent")


def test_what_a_page_tells_is_checked_and_a_lie_changes_nothing(play: Play) -> None:
    """R-WEB-8, R-HARD-5, R-HARD-6."""
    evaluated, offered = play("lyingPage")
    assert "not made with the token's hardening key" in evaluated
    assert "not authentic" in offered


def test_an_account_of_scram_signs_in_and_unlocks(browser: Browser, built: Path) -> None:
    """R-SCRAM-2, R-SCRAM-3, R-SCRAM-4: with the key file beside it."""
    with running_clinic(built, scram=True) as clinic:
        files = [str(clinic.key_file), str(clinic.state_file)]
        own = {"app": clinic.app, "agent": clinic.agent, "files": files}
        browser.play("scram", **own, password=SCRAM_PASSWORD)


def test_the_pictures_of_ways_in_can_be_taken(play: Play, tmp_path: Path) -> None:
    folder = Path(os.environ.get("TWINLOCK_PICTURES", tmp_path)).resolve()
    play("picturesOfWays", folder=str(folder))
    taken = [folder / f"agent-{name}.png" for name in ("ways", "sign-in", "name")]
    assert [path.name for path in taken if not 1000 < path.stat().st_size < MOST] == []
