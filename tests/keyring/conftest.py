"""Every test here has a real keyring of its own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import keyring.core
import pytest
from keyring.backends import SecretService

from tests.keyring.desktop import Desktop, desktop


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desktop]:
    """A session whose keyring stays unlocked."""
    with desktop(tmp_path_factory.mktemp("desktop")) as begun:
        yield begun


@pytest.fixture
def here(session: Desktop, monkeypatch: pytest.MonkeyPatch) -> None:
    """This process is in the session, and its ``keyring`` uses what it finds there."""
    for name, value in session.env.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(keyring.core, "_keyring_backend", SecretService.Keyring())


@pytest.fixture
def own_session(tmp_path: Path) -> Iterator[Desktop]:
    """A session that a test may lock."""
    folder = tmp_path / "desktop"
    folder.mkdir()
    with desktop(folder) as begun:
        yield begun
