"""A recovery by contacts over HTTP: a device that nobody knows, contacts who are signed in."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.agent.contact_scene import CONTACTS, DAY, SHARING, Scene, paper, scene
from tests.http.probes import b64, limited
from tests.http.ward import BASE, Ward, asked, client_of, refusal, service_of
from twinlock.agent.arrival import Arrival
from twinlock.agent.home import FileHome
from twinlock.agent.new_device import NewDevice
from twinlock.agent.recovering import FromServer, recover
from twinlock.agent.state import state_path
from twinlock.core.contacts.messages import decode_reply
from twinlock.core.member_bundle import decode_member_bundle
from twinlock.errors import TwinlockError
from twinlock.integrations.member_client import MemberService, finish_online
from twinlock.integrations.recovery_client import RecoveryService


@dataclass
class Lost:
    """Weber lost everything. ``allowed``: who the application lets recover, by name."""

    scene: Scene
    ward: Ward
    allowed: set[str] = field(default_factory=lambda: {"weber"})

    @property
    def app(self) -> Any:
        return self.ward.application(may_recover=self.may_recover)

    def may_recover(self, connection: Any, name: str) -> bool:
        return name in self.allowed

    def device(self, service: MemberService) -> NewDevice:
        (blob,) = decode_member_bundle(service.recoveries.letters()).blobs
        return NewDevice.begin("weber", blob, lambda _: None, clock=self.ward.world.clock)

    def contact(self, app: Any, name: str) -> RecoveryService:
        """A contact who is signed in."""
        client = client_of(app)
        self.ward.sessions[f"{name}'s"] = self.scene.id_of(name)
        client.cookies.set("session", f"{name}'s")
        return service_of(client, name).recoveries


@pytest.fixture
def lost() -> Iterator[Lost]:
    with scene() as made:
        yield Lost(made, Ward(made.world))


def code_of(call: Any, *given: Any, **named: Any) -> str:
    with pytest.raises(TwinlockError) as caught:
        call(*given, **named)
    return caught.value.code


def test_a_recovery_passes_over_http_to_its_end(lost: Lost, tmp_path: Path) -> None:
    """R-HTTP-26, R-CONTACTS-12: from the letters to new ways in, nothing goes by another way."""
    app, made = lost.app, lost.scene
    service = service_of(client_of(app), "weber")
    device = lost.device(service)
    digest, codes = service.recoveries.begin(device.ask.encode()), {}

    def at(name: str, step: str) -> bytes:
        messages = service.recoveries.messages(digest)
        [found] = [m for m in messages if (m.contact_id, m.step) == (made.id_of(name), step)]
        return found.message

    for name in CONTACTS[:2]:
        box = lost.contact(app, name)
        (ask,) = box.waiting()
        box.reply(made.aid(name).reply(ask).reply)
        opened = device.open(at(name, "reply"))
        service.recoveries.open(opened.opening)
        done = made.aid(name).confirm(at(name, "opening"), opened.code)
        codes[name] = done.code
        if done.notice is not None:
            box.notice(done.notice.encode())
            made.follow(*CONTACTS)
    made.world.clock.forward(DAY)
    for name in CONTACTS[:2]:
        lost.contact(app, name).share(made.aid(name).share(digest, made.news(name)))
        device.accept(at(name, "share"), codes[name])
    arrival = Arrival.begin(
        service.recoveries.letters(),
        [device.factor(SHARING)],
        deployment=lost.ward.card,
        clock=made.world.clock,
    )
    hello = arrival.agent(service.full_bundle(arrival.ask())).hello()
    server = FromServer(service.full_bundle(arrival.ask()), service.groups(hello, arrival.ask()))
    kept, (code, way) = FileHome(state_path(tmp_path, "weber")), paper()
    service.change(recover(device, server, [way], kept, sharing=SHARING, clock=made.world.clock))
    with finish_online(service, kept, [code], clock=made.world.clock) as agent:
        assert agent.name == "weber"
    assert code_of(service.recoveries.letters) == "contacts.none"


def test_the_application_says_who_may_begin(lost: Lost) -> None:
    """R-HTTP-26: for a stranger and a member the same is said."""
    app = lost.app
    client = client_of(app)
    device = lost.device(service_of(client, "weber"))
    lost.allowed.clear()
    answers = {
        asked(client, "recovery/letters", {"name": name}).content for name in ("weber", "nobody")
    }
    answers.add(asked(client, "recovery/begin", {"ask": b64(device.ask.encode())}).content)
    place = replace(device.ask.request.place, member_id=bytes(16))
    other = replace(device.ask, request=replace(device.ask.request, place=place))
    answers.add(asked(client, "recovery/begin", {"ask": b64(other.encode())}).content)
    [only] = answers
    assert b"recovery.not-allowed" in only
    lost.allowed |= {"kim", "nobody"}
    for name in ("kim", "nobody"):
        assert refusal(client, "recovery/letters", {"name": name}) == (404, "contacts.none")


def test_beginning_is_counted(lost: Lost) -> None:
    """R-HTTP-18, R-HTTP-26."""
    client = client_of(lost.app)
    limited(lost.ward, account_per_hour=1)
    body = {"name": "weber"}
    assert asked(client, "recovery/letters", body).status_code == 200
    assert refusal(client, "recovery/letters", body) == (429, "sign-in.limit")


CONTACTS_ROUTES = ("waiting", "reply", "notice", "share")


@pytest.mark.parametrize("route", CONTACTS_ROUTES)
def test_contacts_are_signed_in(lost: Lost, route: str) -> None:
    """R-HTTP-26."""
    client = client_of(lost.app)
    assert refusal(client, f"recovery/{route}", {}) == (401, "http.no-session")
    nobody = client_of(lost.ward.application(may_recover=lost.may_recover, member=None))
    assert refusal(nobody, f"recovery/{route}", {}) == (404, "http.no-route")
    none = client_of(lost.ward.application())
    assert refusal(none, f"recovery/{route}", {}) == (404, "http.no-route")


def test_a_contact_speaks_for_nobody_else(lost: Lost) -> None:
    """R-HTTP-26, R-CONTACTS-12."""
    app = lost.app
    service = service_of(client_of(app), "weber")
    device = lost.device(service)
    service.recoveries.begin(device.ask.encode())
    reply = lost.scene.aid("anna").reply(device.ask.encode()).reply
    berta, anna = lost.contact(app, "berta"), lost.contact(app, "anna")
    assert code_of(berta.reply, reply) == "recovery.other-ceremony"
    anna.reply(reply)
    other = replace(decode_reply(reply), nonce=bytes(32)).encode()
    assert code_of(anna.reply, other) == "recovery.message-exists"
    assert len(berta.waiting()) == 1


@pytest.mark.parametrize("route", ["begin", "open", "reply", "share", "notice"])
def test_what_is_no_message_is_refused(lost: Lost, route: str) -> None:
    """R-HTTP-21."""
    app = lost.app
    client = client_of(app)
    lost.ward.sessions["anna's"] = lost.scene.id_of("anna")
    client.cookies.set("session", "anna's")
    name = {"begin": "ask", "notice": "proposal"}.get(route, "message")
    body = {name: base64.urlsafe_b64encode(b"garbage").rstrip(b"=").decode()}
    assert refusal(client, f"recovery/{route}", body) == (400, "http.body")
    answer = client.post(f"{BASE}recovery/{route}", json={name: "A" * 200_000})
    assert answer.status_code == 413


def test_only_entries_about_recoveries_are_appended(lost: Lost) -> None:
    """R-HTTP-26: the mailbox is no way around what the application allows admins."""
    weber = lost.scene.agent("kim")
    group_id = lost.scene.world.ward.group_id
    lost.scene.follow("kim")
    proposal = weber.admin.new_epoch(group_id)
    assert code_of(lost.contact(lost.app, "kim").notice, proposal.encode()) == ("recovery.no-entry")


@pytest.mark.parametrize("rows", [[1], [["AA", "x"]], [["AA", 1, "AA"]], [["!", "x", "AA"]], 5])
def test_messages_of_another_form_are_not_taken(rows: Any) -> None:
    """R-HTTP-25."""
    transport = httpx.MockTransport(lambda _: httpx.Response(200, json={"messages": rows}))
    service = MemberService("https://a.example/", "x", client=httpx.Client(transport=transport))
    assert code_of(service.recoveries.messages, bytes(32)) == "member-service.answer"
