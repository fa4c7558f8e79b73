"""One clinic and one Chromium for all tests of the browser agent's pages."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.web.browser.clinic import Clinic, running_clinic
from tests.web.browser.driver import Browser, build, missing


@pytest.fixture(scope="session")
def clinic(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Clinic]:
    """The application and the agent's site, served."""
    if why := missing():
        pytest.skip(why)
    with running_clinic(build(tmp_path_factory.mktemp("agent"))) as running:
        yield running


@pytest.fixture(scope="session")
def browser(clinic: Clinic) -> Iterator[Browser]:
    """Chromium."""
    with Browser(clinic) as running:
        yield running
