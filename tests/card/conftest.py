"""Cards to unlock with: tokens of their own beside a vault's, on two implementations."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.token.rigs import NSS, PIN, init_nss, init_softhsm
from twinlock.card.smart_card import SmartCard
from twinlock.core.secret import Secret
from twinlock.token.binding import Module
from twinlock.token.slots import locate
from twinlock.token.uri import parse_uri


@dataclass
class Reader:
    """A card in a reader: its URI, pReserved, and how often its PIN was asked for."""

    uri: str
    reserved: str | None
    asked: int = 0

    def ask(self) -> Secret:
        self.asked += 1
        return PIN

    def card(self, ask: Callable[[], Secret] | None = None) -> SmartCard:
        return SmartCard(self.uri, ask or self.ask, reserved=self.reserved)

    @property
    def place(self) -> tuple[Module, int]:
        """The module and the slot."""
        module, info = locate(parse_uri(self.uri), self.reserved)
        return module, info.slot


@pytest.fixture
def softhsm_card(softhsm_folder: Path) -> Reader:
    """A card of its own in the process's SoftHSM."""
    return Reader(init_softhsm(f"card {os.urandom(4).hex()}"), None)


@pytest.fixture
def second_card(softhsm_folder: Path) -> Reader:
    """One more of these."""
    return Reader(init_softhsm(f"card {os.urandom(4).hex()}"), None)


@pytest.fixture
def nss_card(nss_folder: Path) -> Reader:
    """The one card that NSS is; the process's other tests may be logged in to it."""
    return Reader(f"pkcs11:slot-id=2?module-name={NSS}", init_nss(nss_folder))


@pytest.fixture(params=["softhsm_card", "nss_card"])
def reader(request: pytest.FixtureRequest) -> Reader:
    """Every card that the contract runs on."""
    found = request.getfixturevalue(request.param)
    assert isinstance(found, Reader)
    return found
