"""What scripts of the application, other origins and the agent's own page cannot do. R-WEB-1..3."""

from __future__ import annotations

from tests.web.browser.driver import Browser


def test_the_agents_window_cannot_be_framed(browser: Browser) -> None:
    """R-WEB-1."""
    browser.play("windowCannotBeFramed")


def test_the_relay_is_for_listed_origins_and_no_others(browser: Browser) -> None:
    browser.play("relayIsForListedOrigins")


def test_the_relay_drops_every_message_that_is_not_exactly_one(browser: Browser) -> None:
    """R-WEB-3."""
    browser.play("garbageIsDropped")


def test_the_applications_scripts_reach_neither_keys_nor_state_nor_channel(
    browser: Browser,
) -> None:
    browser.play("scriptsReachNothing")


def test_the_window_checks_origins_by_itself(browser: Browser) -> None:
    """R-WEB-2."""
    browser.play("windowChecksOrigins")


def test_the_agents_page_reaches_no_network_and_runs_no_other_script(browser: Browser) -> None:
    tried = browser.play("agentReachesNoNetwork")
    assert tried["outcomes"] == {
        "fetch": "TypeError",
        "own fetch": "TypeError",
        "beacon": "true",
        "socket": "Error",
        "image": "blocked",
        "inline script": "TypeError",
        "html": "TypeError",
        "another worker": "TypeError",
        "another policy": "TypeError",
        "form": "/",
    }
    assert set(tried["violations"]) >= {
        "connect-src",
        "form-action",
        "img-src",
        "require-trusted-types-for",
        "trusted-types",
    }
