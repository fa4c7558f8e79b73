"""The routes of recoveries by contacts: the server's mailbox (SPEC 31).

A new device is nobody that the server knows: the application says who may begin.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from starlette.requests import HTTPConnection

from twinlock.core.contacts.messages import MAX_SIZE, decode_ask
from twinlock.core.membership import RecoveryBegin, RecoveryCancel, SignedEntry
from twinlock.core.ports import Clock
from twinlock.core.proposal import decode_proposal
from twinlock.errors import CallerError, TwinlockError
from twinlock.integrations.asgi.calls import VaultCalls
from twinlock.integrations.asgi.member_problems import message_refused
from twinlock.integrations.asgi.member_reach import Call, Reply, Route, in_json
from twinlock.integrations.asgi.member_signed_in import member_signed_in
from twinlock.integrations.asgi.visit import MemberOf
from twinlock.server.contacts import Recoveries

MayRecover = Callable[[HTTPConnection, str], Awaitable[bool] | bool]
"""Whether who asks may begin a recovery of the member of this name, which may be a stranger's."""

_DIGEST_SIZE: Final = 32

T = TypeVar("T")


class RecoveryRoutes:
    """What a new device and the contacts post. Of a recovery all may be read by its digest, which
    its device and its contacts know.
    """

    def __init__(
        self, calls: VaultCalls, may_recover: MayRecover, member: MemberOf | None, clock: Clock
    ) -> None:
        self._calls = calls
        self._may_recover = may_recover
        self._member = member
        self._box = Recoveries.of(calls.vault, clock=clock)

    def routes(self) -> dict[str, Route]:
        """Return the routes by name; without ``member`` no contact takes part here."""
        size = in_json(MAX_SIZE)
        device = {
            "recovery/letters": Route(self.letters),
            "recovery/begin": Route(self.begin, size),
            "recovery/open": Route(self.open, size),
            "recovery/messages": Route(self.messages),
        }
        if self._member is None:
            return device
        contact = {
            "recovery/waiting": Route(self.waiting),
            "recovery/reply": Route(self.reply, size),
            "recovery/notice": Route(self.notice, size),
            "recovery/share": Route(self.share, size),
        }
        return device | contact

    async def letters(self, call: Call) -> Reply:
        """{name} -> {bundle}: the enrolment with contacts, for the new device."""
        name = call.fields.text("name")
        await self._require_allowed(call, name)
        return Reply({"bundle": await self._run(lambda: self._box.letters(name))}, [])

    async def begin(self, call: Call) -> Reply:
        """{ask} -> {digest}."""
        ask = call.fields.octets("ask", MAX_SIZE)

        def named() -> str:
            place = decode_ask(ask).request.place
            member = self._calls.vault.store.members.member_by_id(place.member_id)
            return "" if member is None else member.name

        await self._require_allowed(call, await self._run(named))
        return Reply({"digest": await self._run(lambda: self._box.begin(ask))}, [])

    async def open(self, call: Call) -> Reply:
        """{message} -> {}: the device's opening for one contact."""
        message = call.fields.octets("message", MAX_SIZE)
        await self._run(lambda: self._box.open(message))
        return Reply({}, [])

    async def messages(self, call: Call) -> Reply:
        """{digest} -> {messages: [[contact_id, step, message], ...]}."""
        digest = call.fields.exactly("digest", _DIGEST_SIZE)
        found = await self._run(lambda: self._box.messages(digest))
        return Reply({"messages": [[m.contact_id, m.step, m.message] for m in found]}, [])

    async def waiting(self, call: Call) -> Reply:
        """{} -> {asks: [...]}: those that lie here for the contact who is signed in."""
        contact_id = await member_signed_in(self._member, call.connection)
        return Reply({"asks": await self._run(lambda: self._box.waiting(contact_id))}, [])

    async def reply(self, call: Call) -> Reply:
        """{message} -> {}: of the contact who is signed in."""
        contact_id = await member_signed_in(self._member, call.connection)
        message = call.fields.octets("message", MAX_SIZE)
        await self._run(lambda: self._box.reply(contact_id, message))
        return Reply({}, [])

    async def notice(self, call: Call) -> Reply:
        """{proposal} -> {}: announces a recovery in the group's log, or cancels it there."""
        await member_signed_in(self._member, call.connection)
        raw = call.fields.octets("proposal", MAX_SIZE)

        def append() -> None:
            proposal = decode_proposal(raw)
            op = SignedEntry.decode(proposal.signed_entry).entry.op
            if not isinstance(op, RecoveryBegin | RecoveryCancel):
                raise CallerError(
                    "recovery.no-entry",
                    "This entry of a group's log is not about a recovery.",
                    hint="Have an operator append it: `twinlock group append`.",
                )
            self._calls.vault.append(proposal)

        await self._run(append)
        return Reply({}, [])

    async def share(self, call: Call) -> Reply:
        """{message} -> {}: the sealed share of the contact who is signed in."""
        contact_id = await member_signed_in(self._member, call.connection)
        message = call.fields.octets("message", MAX_SIZE)
        await self._run(lambda: self._box.share(contact_id, message))
        return Reply({}, [])

    async def _require_allowed(self, call: Call, name: str) -> None:
        await self._calls.run(self._calls.vault.sign_ins.count, name, call.source)
        allowed = self._may_recover(call.connection, name)
        if inspect.isawaitable(allowed):
            allowed = await allowed
        if not allowed:
            raise CallerError(
                "recovery.not-allowed",
                "The application does not let this computer begin a recovery of that member.",
                hint="Ask whoever runs the application what it wants to see first.",
            )

    async def _run(self, call: Callable[[], T]) -> T:
        try:
            return await self._calls.run(call)
        except TwinlockError as error:
            raise message_refused(error) from error
