"""Members over HTTP: arriving with a password alone, changing, revoking, signing in three ways."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.http.clinic import code
from tests.http.test_uvicorn import serving
from tests.http.ward import (
    BASE,
    HERE,
    WORDS,
    Ward,
    client_of,
    home,
    service_of,
    ward_in_memory,
    ward_of,
)
from tests.passkey.browser import AGENT, APPLICATION, SoftwareBrowser, decoded
from tests.server.world import world_on_softhsm
from tests.token.rigs import init_softhsm
from twinlock.agent.agent import Agent
from twinlock.agent.factors import DeviceKey
from twinlock.agent.home import FileHome
from twinlock.agent.scram import Scram
from twinlock.agent.state import state_path
from twinlock.agent.ways import NewWay
from twinlock.core.enrolment import Enrolment, decode_enrolment
from twinlock.core.member_bundle import decode_member_bundle
from twinlock.core.member_change import Login
from twinlock.core.secret import Secret
from twinlock.errors import TwinlockError
from twinlock.integrations.async_member_client import AsyncMemberService
from twinlock.integrations.http_client import AgentAuth
from twinlock.integrations.member_client import (
    MemberService,
    arrive_online,
    finish_online,
    follow_online,
)
from twinlock.server.passkeys import PasskeyLogin
from twinlock.store.members import MemberStore


@pytest.fixture
def ward() -> Iterator[Ward]:
    with ward_in_memory() as made:
        yield made


def kim(ward: Ward) -> Agent:
    return ward.world.kim.agent


def code_of(call: Any, *given: Any, **named: Any) -> str:
    with pytest.raises(TwinlockError) as caught:
        call(*given, **named)
    return caught.value.code


def enrolled(ward: Ward, service: MemberService, *more: Any, text: str = WORDS) -> Enrolment:
    """Kim gets a password as a way in, and a login by it."""
    made: list[Enrolment] = []
    password = ward.password(service, text)

    def logins_of(enrolment: Enrolment) -> list[Login]:
        made.append(enrolment)
        return [Login("split", password.new_login(enrolment))]

    kim(ward).ways.enrol(NewWay([password, *more]), logins_of=logins_of, send=service.change)
    follow_online(service, kim(ward))
    return made[0]


def opens(client: httpx.Client, agent: Agent, base: str = HERE) -> Any:
    """What the agent's member sees of the page, after 428."""
    answer = client.get(f"{base}/patients", auth=AgentAuth(agent))
    return answer.json() if answer.status_code == 200 else answer.status_code


SEEN = [{"name": "Ada", "diagnosis": "I48.0"}]


def test_a_name_and_a_password_are_enough_on_a_new_computer(ward: Ward, tmp_path: Path) -> None:
    """R-HTTP-17, R-WAYS-7: enrolled over HTTP, fetched over HTTP, and a record opens."""
    app = ward.application()
    whole_flow(ward, client_of(app), client_of(app), tmp_path, HERE)


def test_the_same_over_a_real_server_with_keys_in_softhsm(
    tmp_path: Path, softhsm_folder: Path
) -> None:
    """R-HTTP-17: TCP between, PKCS#11 behind."""
    folder = home(tmp_path, "server")
    with (
        world_on_softhsm(folder, init_softhsm("members"), groups={"cardiology": ["kim"]}) as world,
        ward_of(world) as ward,
        serving(ward.application()) as base,
        httpx.Client(timeout=60) as old,
        httpx.Client(timeout=60) as new,
    ):
        whole_flow(ward, old, new, tmp_path, base)


def whole_flow(ward: Ward, old: httpx.Client, new: httpx.Client, folder: Path, base: str) -> None:
    enrolment = enrolled(ward, service_of(old, base=base))
    service = service_of(new, base=base)
    password = ward.password(service)
    arrived = arrive_online(service, [password], deployment=ward.card, clock=ward.world.clock)
    arrived.settle(home=home(folder))
    assert opens(new, arrived.agent(), base) == 401
    # One evaluation unlocked; the same value logs in.
    assert service.log_in(password.login_secret(enrolment)) == {"name": "kim"}
    assert service.signed_in == {"name": "kim"}
    [who] = ward.signed_in
    assert (who.name, who.member_id, who.way) == ("kim", kim(ward).member_id, "split")
    with Agent.unlock(
        "kim", ward.password(service), home=folder / "new-laptop", clock=ward.world.clock
    ) as agent:
        assert opens(new, agent, base) == SEEN
        follow_online(service, agent)
    assert opens(new, arrived.agent(), base) == SEEN
    by_id = decode_member_bundle(service.bundle(["password"], enrolment.enrolment_id))
    assert [decode_enrolment(blob) for blob in by_id.blobs] == [enrolment]


def test_scram_signs_in_and_unlocks_with_a_device_key(ward: Ward, tmp_path: Path) -> None:
    """R-HTTP-17: one password, two uses; the second computer has the key too."""
    client = client_of(ward.application())
    service = service_of(client)
    scram, key = Scram(WORDS), DeviceKey.create(tmp_path / "kim2.key")
    verifier = scram.new_verifier().to_text()
    login = Login("scram", verifier.reveal())
    kim(ward).ways.enrol(NewWay([scram, key]), logins=[login], send=service.change)
    [enrolment] = [e for e in kim(ward).ways.state.enrolments if "scram" in e.kinds]
    again = Scram(WORDS)
    again.sign_in("kim", enrolment, service)
    assert (ward.signed_in[0].way, service.signed_in) == ("scram", {"name": "kim"})
    arrived = arrive_online(service, [again, key], deployment=ward.card, clock=ward.world.clock)
    assert opens(client, arrived.agent()) == SEEN
    assert code_of(Scram("wrong").sign_in, "kim", enrolment, service) == "scram.refused"
    assert len(ward.signed_in) == 1


def test_a_password_is_changed_and_the_old_one_is_no_way_in(ward: Ward) -> None:
    """R-HTTP-17."""
    service = service_of(client_of(ward.application()))
    old = enrolled(ward, service)
    kim(ward).ways.enrol(
        NewWay([ward.password(service, "new words")]),
        instead_of=old.enrolment_id,
        send=service.change,
    )
    given = {"deployment": ward.card, "clock": ward.world.clock}
    assert code_of(arrive_online, service, [ward.password(service)], **given) == "factor.wrong"
    arrive_online(service, [ward.password(service, "new words")], **given)


def test_a_change_that_the_server_refuses_leaves_the_agent_as_it_was(ward: Ward) -> None:
    """R-HTTP-22: and says why, to the member who signed it."""
    service = service_of(client_of(ward.application()))
    enrolled(ward, service)
    stale: list[bytes] = []
    kim(ward).ways.enrol(NewWay([ward.password(service)]), send=stale.append)
    service.change(stale[0])
    assert code_of(service.change, stale[0]) == "enrolment.list-stale"

    def refusing(change: bytes) -> None:
        service.change(stale[0])

    before = kim(ward).ways.all()
    again = NewWay([ward.password(service, "more")])
    assert code_of(kim(ward).ways.enrol, again, send=refusing) == "enrolment.list-stale"
    assert kim(ward).ways.all() == before


def test_a_revocation_is_finished_over_http(ward: Ward, tmp_path: Path) -> None:
    """R-HTTP-17, R-WAYS-10: after the server took it; then the old factors are nobody's."""
    client = client_of(ward.application())
    service = service_of(client)
    enrolled(ward, service)
    kept = FileHome(state_path(ward.world.founding.folder, "kim"))
    key = DeviceKey.create(tmp_path / "new.key")
    assert code_of(finish_online, service, kept, [key]) == "revocation.none"
    new = NewWay([ward.password(service, "new words"), key])
    change = kim(ward).ways.revoke([new])
    factors = [ward.password(service, "new words"), key]
    finish = {"clock": ward.world.clock}
    assert code_of(finish_online, service, kept, factors, **finish) == "revocation.pending"
    service.change(change)
    renewed = finish_online(service, kept, factors, **finish)
    follow_online(service, renewed)
    # Both unlock, the signed request tells them apart.
    assert code_of(service.full_bundle, kim(ward).bundle_request()) == "member.not-proved"
    given = {"deployment": ward.card, "clock": ward.world.clock}
    assert code_of(arrive_online, service, [ward.password(service)], **given) == "factor.wrong"
    token = "renewed"
    ward.sessions[token] = renewed.member_id
    client.cookies.set("session", token)
    assert opens(client, renewed) == SEEN


def test_programs_that_await_arrive_too(ward: Ward) -> None:
    """R-HTTP-17."""
    client = client_of(ward.application())
    enrolled(ward, service_of(client))

    async def work() -> None:
        async with AsyncMemberService(f"{HERE}{BASE}", "kim", client=client) as service:
            password = ward.password(service.sync)
            arrived = await service.arrive([password], deployment=ward.card, clock=ward.world.clock)
            agent = arrived.agent()
            await service.follow(agent)
            spare = NewWay([ward.password(service.sync, "spare")])
            sent: list[bytes] = []
            await asyncio.to_thread(agent.ways.enrol, spare, send=sent.append)
            await service.change(sent[0])
            with pytest.raises(TwinlockError) as caught:
                await service.log_in(Secret(bytes(32)))
            assert caught.value.code == "login.refused"

    asyncio.run(work())


# --- passkeys -------------------------------------------------------------------------------------


def with_passkeys(ward: Ward, **options: Any) -> tuple[Any, SoftwareBrowser]:
    login = PasskeyLogin(
        audience=APPLICATION,
        agent_origin=AGENT,
        unknown=ward.world.vault.stranger_secret,
        clock=ward.world.clock,
    )
    return client_of(ward.application(passkeys=login, **options)), SoftwareBrowser()


def sign_in(client: Any, ward: Ward) -> None:
    """As kim, by whatever way; here by a session that is simply there."""
    ward.sessions["kim's"] = kim(ward).member_id
    client.cookies.set("session", "kim's")


def registered(ward: Ward, client: Any, browser: SoftwareBrowser) -> None:
    """Kim registers a passkey, and hands it in with the next change."""
    sign_in(client, ward)
    begun = client.post(f"{BASE}register/begin", json={"name": "kim"}).json()
    assert set(begun) == {"session", "nonce", "exclude"}
    response = browser.register(begun, kim(ward).member_id)
    finish = {"session": begun["session"], "response": response}
    said = client.post(f"{BASE}register/finish", json=finish).json()
    service = service_of(client)
    way = NewWay([ward.password(service)])
    login = Login("passkey", decoded(said["login"]))
    kim(ward).ways.enrol(way, logins=[login], send=service.change)
    follow_online(service, kim(ward))
    client.cookies.clear()


def passkey_tried(client: Any, browser: SoftwareBrowser, name: str | None) -> httpx.Response:
    begun = client.post(f"{BASE}sign-in/begin", json={"name": name}).json()
    response, _ = browser.sign_in(begun)
    return client.post(
        f"{BASE}sign-in/finish", json={"session": begun["session"], "response": response}
    )


@pytest.mark.parametrize("name", ["kim", None])
def test_a_registered_passkey_signs_in_again_and_again(ward: Ward, name: str | None) -> None:
    """R-HTTP-17, R-PASSKEY-10: with a name and without; the count is kept."""
    client, browser = with_passkeys(ward)
    registered(ward, client, browser)
    before = ward.world.vault.members.logins("kim", "passkey")
    for _ in range(2):
        answer = passkey_tried(client, browser, name)
        assert (answer.status_code, answer.json()) == (200, {"name": "kim"})
    assert [who.way for who in ward.signed_in] == ["passkey"] * 2
    assert ward.world.vault.members.logins("kim", "passkey") != before


def test_a_passkey_of_nobodys_and_a_copy_are_refused_alike(
    ward: Ward, monkeypatch: pytest.MonkeyPatch
) -> None:
    """R-HTTP-19, R-PASSKEY-10: also where the count changed between check and store."""
    client, browser = with_passkeys(ward)
    registered(ward, client, browser)
    known = client.post(f"{BASE}sign-in/begin", json={"name": "kim"}).json()
    response, _ = browser.sign_in(known)
    stranger = client.post(f"{BASE}sign-in/begin", json={"name": "bob"}).json()
    monkeypatch.setattr(MemberStore, "replace_login", lambda *given: False)
    answers = [
        client.post(f"{BASE}sign-in/finish", json={"session": session, "response": response})
        for session in (known["session"], stranger["session"], known["session"])
    ]
    assert {code(answer) for answer in answers} == {(401, "passkey.refused")}
    assert len({answer.content for answer in answers}) == 1
    assert ward.signed_in == []
