"""The pictures of docs/browser-agent.md: ``TWINLOCK_PICTURES=docs/images`` takes them anew."""

from __future__ import annotations

import os
from pathlib import Path

from tests.web.browser.driver import Browser

MOST = 150_000


def test_the_pictures_of_the_page_can_be_taken(browser: Browser, tmp_path: Path) -> None:
    folder = Path(os.environ.get("TWINLOCK_PICTURES", tmp_path)).resolve()
    browser.play("pictures", folder=str(folder))
    taken = [folder / f"agent-{name}.png" for name in ("setup", "decision", "dark")]
    assert [path.name for path in taken if not 1000 < path.stat().st_size < MOST] == []
