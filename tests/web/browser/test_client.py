"""The library for applications' pages, against the real middleware."""

from __future__ import annotations

from tests.web.browser.driver import Browser


def test_once_the_session_is_known_a_page_takes_two_round_trips(browser: Browser) -> None:
    browser.play("shortWay")


def test_an_unsafe_request_is_repeated_only_where_the_page_says_open(browser: Browser) -> None:
    before = len(browser.clinic.letters)
    letter = browser.play("unsafe")
    assert browser.clinic.letters[before:] == [letter]


def test_a_request_waits_until_the_agent_is_opened_and_unlocked(browser: Browser) -> None:
    browser.play("waitsForTheAgent")


def test_a_request_that_was_given_up_is_not_decided_any_more(browser: Browser) -> None:
    browser.play("gaveUp")


def test_an_agent_that_is_not_opened_in_time_is_an_error(browser: Browser) -> None:
    browser.play("notOpened")


def test_a_request_outlives_the_agents_window(browser: Browser) -> None:
    browser.play("windowCrashed")


def test_leaving_the_page_withdraws_its_questions(browser: Browser) -> None:
    browser.play("pageLeft")


def test_an_agent_on_the_applications_own_origin_is_refused(browser: Browser) -> None:
    browser.play("sameOrigin")


def test_a_request_that_the_server_forgot_begins_anew(browser: Browser) -> None:
    browser.play("processRestarted")
