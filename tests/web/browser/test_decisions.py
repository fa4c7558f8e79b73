"""What the agent's window answers by itself, what it asks, and what a press takes. R-AGENT-6."""

from __future__ import annotations

from tests.web.browser.driver import Browser


def test_requests_within_the_budget_are_answered_and_listed(browser: Browser) -> None:
    browser.play("withinBudget")


def test_a_group_that_wants_a_click_gets_one_after_everything_was_shown(browser: Browser) -> None:
    """R-AGENT-5."""
    browser.play("clickEach")


def test_beyond_the_budget_the_member_decides_and_sees_why(browser: Browser) -> None:
    browser.play("beyondBudget")


def test_the_budget_counts_over_all_tabs(browser: Browser) -> None:
    """R-WEB-5."""
    browser.play("budgetOfAllTabs")


def test_refusing_by_button_escape_or_enter_releases_nothing(browser: Browser) -> None:
    browser.play("refused")


def test_the_card_works_by_keyboard_alone(browser: Browser) -> None:
    browser.play("byKeyboard")


def test_a_press_in_a_cards_first_moment_does_not_release(browser: Browser) -> None:
    """R-WEB-4."""
    browser.play("tooEarly")


def test_a_window_without_focus_releases_nothing(browser: Browser) -> None:
    """R-WEB-4."""
    browser.play("withoutFocus")


def test_a_double_press_does_not_release_the_next_card_too(browser: Browser) -> None:
    """R-WEB-4."""
    browser.play("oneAfterTheOther")


def test_an_application_cannot_pile_up_decisions(browser: Browser) -> None:
    """R-WEB-4."""
    browser.play("crowded")
