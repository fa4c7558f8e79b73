"""What the tests of this folder share."""

from __future__ import annotations

import pytest

from tests.passkey.site import Site


@pytest.fixture
def site() -> Site:
    """An application where kim has one passkey."""
    made = Site()
    made.register()
    return made
