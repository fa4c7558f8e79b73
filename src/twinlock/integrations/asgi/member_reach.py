"""The routes by which an agent reaches its ways in: passwords, enrolments, groups, changes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from starlette.requests import HTTPConnection

from twinlock.core.primitives import equal
from twinlock.errors import TwinlockError
from twinlock.integrations.asgi.calls import VaultCalls
from twinlock.integrations.asgi.member_problems import change_refused, is_no_proof, not_proved
from twinlock.integrations.asgi.member_wire import Fields
from twinlock.integrations.asgi.visit import read_hello
from twinlock.integrations.asgi.wire import MAX_HELLO_BODY

SMALL_BODY: Final = 16 << 10
_MAX_KINDS: Final = 8
_POINT_SIZE: Final = 65
_KID_SIZE: Final = 16
_ID_SIZE: Final = 16
_MAX_REQUEST: Final = 4096


class Call(NamedTuple):
    """One call of a route: ``source`` is where it comes from, as attempts are counted."""

    connection: HTTPConnection
    fields: Fields
    source: str


class Reply(NamedTuple):
    """A JSON object, and headers that the application added."""

    body: Mapping[str, Any]
    headers: list[tuple[bytes, bytes]]


class Route(NamedTuple):
    """How a route is served, and the bytes that its body may have."""

    serve: Callable[[Call], Awaitable[Reply]]
    limit: int = SMALL_BODY


@dataclass(frozen=True, slots=True)
class Reach:
    """The routes that need no session: they count, or ask for the member's signature."""

    calls: VaultCalls
    max_change: int

    def routes(self) -> dict[str, Route]:
        """Return the routes by name."""
        return {
            "offer": Route(self.offer),
            "evaluate": Route(self.evaluate),
            "bundle": Route(self.bundle),
            "full-bundle": Route(self.full_bundle),
            "groups": Route(self.groups, in_json(MAX_HELLO_BODY)),
            "change": Route(self.change, in_json(self.max_change)),
        }

    async def offer(self, call: Call) -> Reply:
        """{account} -> {kid, directory: [[raw, signature], ...]}."""
        account = call.fields.text("account").encode()
        offer = await self.calls.run(self.calls.vault.hardening.offer, account)
        directory = [[s.raw, s.signature] for s in offer.statements]
        return Reply({"kid": offer.kid, "directory": directory}, [])

    async def evaluate(self, call: Call) -> Reply:
        """{account, kid, first, second} -> {first, second}."""
        fields = call.fields
        first, second = await self.calls.run(
            self.calls.vault.hardening.evaluate,
            fields.exactly("kid", _KID_SIZE),
            fields.octets("first", _POINT_SIZE),
            fields.octets("second", _POINT_SIZE),
            account=fields.text("account").encode(),
            source=call.source,
        )
        return Reply({"first": first, "second": second}, [])

    async def bundle(self, call: Call) -> Reply:
        """{name, kinds, enrolment_id?} -> {bundle}: before unlocking, for strangers too."""
        name, kinds = call.fields.text("name"), call.fields.texts("kinds", _MAX_KINDS)
        enrolment_id = call.fields.perhaps("enrolment_id", _ID_SIZE)

        def counted() -> bytes:
            self.calls.vault.sign_ins.count(name, call.source)
            return self.calls.vault.members.bundle(name, kinds, enrolment_id)

        return Reply({"bundle": await self.calls.run(counted)}, [])

    async def full_bundle(self, call: Call) -> Reply:
        """{request} -> {bundle}: for the unlocked member."""
        request = call.fields.octets("request", _MAX_REQUEST)

        def proved() -> bytes:
            return self.calls.vault.members.everything(self._asker(request))

        return Reply({"bundle": await self.calls.run(proved)}, [])

    async def groups(self, call: Call) -> Reply:
        """{hello, request} -> {bundle}: the news of the groups, for the unlocked member."""
        hello = call.fields.octets("hello", MAX_HELLO_BODY)
        request = call.fields.octets("request", _MAX_REQUEST)
        said = read_hello(hello)

        def proved() -> bytes:
            if not equal(self._asker(request), said.member_id):
                raise not_proved()
            return self.calls.vault.group_bundle(hello)

        return Reply({"bundle": await self.calls.run(proved)}, [])

    async def change(self, call: Call) -> Reply:
        """{change} -> {counter}."""
        change = call.fields.octets("change", self.max_change)

        def counted() -> int:
            self.calls.vault.sign_ins.count(None, call.source)
            try:
                return self.calls.vault.members.accept(change).counter
            except TwinlockError as error:
                raise change_refused(error) from error

        return Reply({"counter": await self.calls.run(counted)}, [])

    def _asker(self, request: bytes) -> bytes:
        """Return who signed a request. All that is no member's request has one face."""
        try:
            return self.calls.vault.members.asker(request)
        except TwinlockError as error:
            if is_no_proof(error):
                raise not_proved() from error
            raise


def in_json(size: int) -> int:
    """Return how long a body may be that holds so many bytes in base64url."""
    return size * 4 // 3 + SMALL_BODY
