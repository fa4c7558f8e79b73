"""A smart card behind PKCS#11: finds a member's key on it, and has it multiply points.

Each use logs in, does its one thing and closes the session, so that the card is not left open to
other programs. A person's PIN is asked for once and kept for this object.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Final

from twinlock.card.failures import as_card_errors, key_missing, key_replaced, pin_doubted
from twinlock.core.factors.smart_card import CardKey, SmartCardFactor
from twinlock.core.ports import KeyRole, Randomness
from twinlock.core.primitives import agreement_key_from_seed, equal, p256_point
from twinlock.core.secret import Secret
from twinlock.token.binding import Module, TokenInfo
from twinlock.token.ck import Cka, Cko
from twinlock.token.keys import multiply, read_p256
from twinlock.token.pin import pin_from_source, resolve_pin
from twinlock.token.policy import long_lived, long_lived_public
from twinlock.token.pool import Login, SessionPool
from twinlock.token.profiles import detect_profile
from twinlock.token.returns import CallError
from twinlock.token.slots import locate
from twinlock.token.structures import Attributes
from twinlock.token.uri import TokenUri, parse_uri

_ID_SIZE: Final = 16
_WAIT_SECONDS: Final = 30.0
_SEED_SIZE: Final = 32


class SmartCard:
    """One card, named by a ``pkcs11:`` URI (RFC 7512) with its module.

    ``ask_pin`` asks the person; the URI's ``pin-source`` goes before it, unless the card says that
    a wrong PIN was given last: a stored PIN that is wrong shall not use up the tries. ``reserved``
    is C_Initialize's pReserved. Nothing is loaded before the first use.
    """

    def __init__(
        self,
        uri: str | TokenUri,
        ask_pin: Callable[[], Secret] | None = None,
        *,
        reserved: str | None = None,
        randomness: Randomness = os.urandom,
    ) -> None:
        self.uri = parse_uri(uri) if isinstance(uri, str) else uri
        self._ask_pin = ask_pin
        self._asked: Secret | None = None
        self._reserved = reserved
        self._randomness = randomness

    def factor(self, key: CardKey | None = None) -> SmartCardFactor:
        """Return this card as a factor; a new enrolment takes ``key``, or a key made for it."""
        return SmartCardFactor(self.generate_key if key is None else lambda: key, self.multiply)

    def generate_key(self) -> CardKey:
        """Make a P-256 key on the card: sensitive, not extractable, DERIVE only, with a random id.

        Raises like ``multiply``, but for the key.
        """
        with self._logged_in() as (login, info):
            key_id = self._randomness(_ID_SIZE)
            profile, label = detect_profile(info.manufacturer, info.model), "twinlock member"
            # A hardening key's templates: that one multiplies points too, and does nothing else.
            public = long_lived_public(None, key_id, label, KeyRole.HARDENING)
            private = long_lived(profile, KeyRole.HARDENING, None, key_id, label)
            made, _ = login.session.generate_p256(public, private)
            return CardKey(key_id, p256_point(read_p256(login.calls, made)))

    def key(self, key_id: bytes) -> CardKey:
        """Return a key that is on the card, with the public point that the card shows for it.

        Raises ``card.key-missing``, and like ``multiply``.
        """
        with self._logged_in() as (login, _):
            shown = _public_points(login, key_id)
        if len(shown) != 1:
            raise key_missing(key_id, "shows no P-256 public key" if not shown else "shows several")
        return CardKey(key_id, shown[0])

    def multiply(self, key: CardKey, point: bytes) -> Secret:
        """Return the x-coordinate of this very key times a point of the curve, 32 bytes.

        Raises ``card.key-missing``, ``card.key-replaced``, ``card.cannot-derive``,
        ``card.pin-wrong``, ``card.pin-unusable``, ``card.pin-doubted``, ``pin.*`` and ``token.*``.
        """
        with self._logged_in() as (login, _):
            handle = self._private(login, key)
            return Secret(multiply(login.calls, handle, point))

    def destroy_key(self, key: CardKey) -> None:
        """Destroy a key that this card made, with its public half; without effect if it is gone."""
        with self._logged_in() as (login, _):
            for found in login.session.find({Cka.TOKEN: True, Cka.ID: key.key_id}):
                login.calls.destroy(found)

    def _private(self, login: Login, key: CardKey) -> int:
        """The handle of the private key, checked against the public key that is pinned."""
        found = login.session.find(
            {Cka.CLASS: Cko.PRIVATE_KEY, Cka.TOKEN: True, Cka.ID: key.key_id}
        )
        if not found:
            raise key_missing(key.key_id, "has no private key")
        if len(found) > 1:
            raise key_replaced(key.key_id, "it has several with this id")
        shown = _public_points(login, key.key_id)
        if any(public != key.public for public in shown):
            raise key_replaced(key.key_id, "its public key is another")
        if not shown and not self._proved(login, found[0], key):
            raise key_replaced(key.key_id, "it computes otherwise")
        return found[0]

    def _proved(self, login: Login, handle: int, key: CardKey) -> bool:
        """Try a private key whose public half the card does not keep."""
        drawn = agreement_key_from_seed(Secret(self._randomness(_SEED_SIZE)))
        return equal(multiply(login.calls, handle, drawn.public), drawn.x_of(key.public))

    @contextmanager
    def _logged_in(self) -> Iterator[tuple[Login, TokenInfo]]:
        with as_card_errors():
            module, info = locate(self.uri, self._reserved)
            pool = SessionPool(
                module,
                info,
                self._pin(module, info),
                limit=1,
                wait_seconds=_WAIT_SECONDS,
                on_login=lambda _login: None,
            )
            try:
                with pool.main() as login:
                    yield login, info
            finally:
                with suppress(CallError):
                    pool.close()

    def _pin(self, module: Module, info: TokenInfo) -> Secret:
        """The PIN: stored, while the card has no wrong one to complain of; else a person's."""
        source = self.uri.pin_source
        if source is not None and not module.pin_failed(info.slot):
            return pin_from_source(source)
        if source is not None and self._ask_pin is None:
            raise pin_doubted()
        if self._asked is None:
            self._asked = resolve_pin(self._ask_pin, None)
        return self._asked


def _public_points(login: Login, key_id: bytes) -> list[bytes]:
    """The P-256 points that the card shows under an id."""
    wanted: Attributes = {Cka.CLASS: Cko.PUBLIC_KEY, Cka.TOKEN: True, Cka.ID: key_id}
    spkis = [read_p256(login.calls, found) for found in login.session.find(wanted)]
    return [p256_point(spki) for spki in spkis if spki]
