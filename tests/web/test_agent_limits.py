"""What the member and the group limit, and what a TypeScript agent refuses by itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from tests.agent.enrolling import add_enrolment
from tests.agent.lying import Liar, rules
from tests.agent.test_lies import plant_token
from tests.server.world import DIAGNOSIS, World, world_in_memory
from tests.web.peer import Peer, PeerAgent, PeerRefusedError
from twinlock import AllOf
from twinlock.agent.agent import Release
from twinlock.agent.factors import DeviceKey, Passphrase
from twinlock.agent.member import create_member
from twinlock.core.membership import AgentPlacement
from twinlock.core.primitives import Kem
from twinlock.core.release import decode_release, split_signed
from twinlock.server.requests import Request
from twinlock.server.setup import deployment_card


def asked_for(world: World, count: int) -> Request:
    contexts = [replace(DIAGNOSIS, record=number + 1) for number in range(count)]
    items = [(c, world.vault.seal("x", to=world.ward, context=c)) for c in contexts]
    return world.asked(*items, purpose="ward round")


def bound(world: World, agent: PeerAgent, count: int) -> bytes:
    return asked_for(world, count).bind(agent.hello())


def released(world: World, agent: PeerAgent, count: int, **options: Any) -> str:
    """Release ``count`` records; returns the refusal's code."""
    agent.peer.call("clock", now=world.clock())
    try:
        agent.release(bound(world, agent, count), **options)
    except PeerRefusedError as error:
        return error.code
    return "released"


def test_a_budget_is_spent_over_many_requests_and_comes_back_with_the_hour(peer: Peer) -> None:
    """R-AGENT-6: also beyond a restart, and a clock that is set back frees nothing."""
    with world_in_memory(policy=rules(budget_per_hour=5)) as world:
        world.clock.forward(8 * 86400)
        agent = peer.member(world, "kim")
        assert [released(world, agent, n) for n in (6, 3, 2, 1)] == [
            "release.needs-approval",
            "released",
            "released",
            "release.needs-approval",
        ]
        (world.founding.folder / "kim.member").write_bytes(agent.state())
        agent = peer.member(world, "kim")
        world.clock.forward(-7 * 86400)
        assert released(world, agent, 1) == "release.needs-approval"
        world.clock.forward(7 * 86400 + 3500)
        assert released(world, agent, 1) == "release.needs-approval"
        world.clock.forward(160)
        assert [released(world, agent, n) for n in (5, 1)] == ["released", "release.needs-approval"]


def test_requests_at_once_spend_one_budget_and_make_one_chain(peer: Peer) -> None:
    """R-AGENT-6, R-REL-1: releases that overlap take turns."""
    with world_in_memory(policy=rules(budget_per_hour=5)) as world:
        agent = peer.member(world, "kim")
        bundles = [bound(world, agent, 2) for _ in range(4)]
        ends = agent.call("together", bundles=bundles)
        refused = [end for end in ends if end == "release.needs-approval"]
        signed = [bytes.fromhex(end) for end in ends if end not in refused]
        assert (len(refused), len(signed)) == (2, 2)
        releases = sorted(
            (decode_release(split_signed(s)[0]) for s in signed), key=lambda r: r.counter
        )
        assert [r.counter for r in releases] == [1, 2]
        assert len({r.previous for r in releases}) == 2
        assert agent.call("status")["groups"][0]["used"] == 4


@pytest.mark.parametrize(
    ("policy", "options", "reason"),
    [
        ({"budget_per_hour": 0}, {}, "1 records of group cardiology in an hour, budget 0"),
        ({"click_each": True}, {}, "group cardiology wants a click for every release"),
        ({}, {"budget": 0}, "1 records of group cardiology in an hour, budget 0"),
    ],
)
def test_the_member_decides_and_sees_why(
    peer: Peer, policy: dict[str, Any], options: dict[str, Any], reason: str
) -> None:
    """R-AGENT-6."""
    with world_in_memory(policy=rules(**policy)) as world:
        agent = peer.member(world, "kim", **options)
        shown = agent.call("examine", bundle=bound(world, agent, 1))
        assert shown["reasons"] == [reason]
        for decision in ({}, {"approve": False}):
            assert released(world, agent, 1, **decision) == "release.needs-approval"
        assert agent.call("status")["releases"] == 0
        answer = agent.call("release", bundle=bound(world, agent, 1), approve=True)
        assert answer["asked"] == [reason]
        assert agent.call("status")["groups"][0]["used"] == 1


@pytest.mark.parametrize("placement", list(AgentPlacement))
@pytest.mark.parametrize("allowed", list(AgentPlacement))
def test_an_agent_releases_only_from_where_its_group_allows(
    peer: Peer, placement: AgentPlacement, allowed: AgentPlacement
) -> None:
    """R-AGENT-6."""
    with world_in_memory(policy=rules(agent_placement=allowed)) as world:
        agent = peer.member(world, "kim", placement=placement.value)
        order = list(AgentPlacement)
        allows = order.index(placement) <= order.index(allowed)
        assert released(world, agent, 1) == ("released" if allows else "release.placement")


def test_within_the_budget_there_is_nothing_to_decide(peer: Peer, shared: World) -> None:
    """R-AGENT-5: what is shown is what the request says."""
    agent = peer.member(shared, "kim")
    shown = agent.call("examine", bundle=bound(shared, agent, 1))
    assert shown["reasons"] == shown["warnings"] == []
    assert (shown["purpose"], shown["expires"]) == ("ward round", shared.clock() + 120)
    [group] = shown["groups"]
    assert (group["name"], group["verified"], group["count"]) == ("cardiology", True, 1)
    assert shown["records"] == [
        {
            "tenant": "",
            "table": "patient",
            "record": "1",
            "scope": "diagnosis",
            "purpose": "",
            "version": 3,
            "group": "cardiology",
        }
    ]


def test_nothing_that_is_shown_can_be_forged(peer: Peer, shared: World) -> None:
    """R-AGENT-5, R-CTX-8."""
    liar = Liar.asking(shared)
    context = replace(DIAGNOSIS, table="patient\nRecords: 0", record="\u202e4711\x1b[2J")
    liar.item(context=context.encode(shared.config.deployment_id))
    liar.say(purpose="ward round\u2066\r\n\U000e0041")
    key = (shared.founding.folder / "kim.key").read_bytes()
    peer.call("clock", now=shared.clock())
    state = liar.agent._state.encode(liar.agent._unlocked().state_key)
    shown = peer.unlock(state, key).call("examine", bundle=liar.encoded())
    assert shown["purpose"] == "ward round\\u2066\\u000d\\u000a\\ue0041"
    [record] = shown["records"]
    assert record["table"] == "patient\\u000aRecords: 0"
    assert record["record"] == "\u202e4711\x1b[2J".encode().hex()


@pytest.mark.parametrize(
    ("context", "expected"),
    [
        ({"table": "patient", "record": "4711", "column": "diagnosis", "version": 3}, "released"),
        ({"table": "patient", "record": "4712", "column": "diagnosis", "version": 3}, ""),
        ({"table": "patient", "record": 4711, "column": "diagnosis", "version": 3}, ""),
        ({"table": "patient", "record": "4711", "column": "diagnosis"}, ""),
        ({"table": "patient", "record": "4711", "version": 3}, ""),
    ],
)
def test_what_the_user_did_not_open_is_not_released(
    peer: Peer, shared: World, context: dict[str, Any], expected: str
) -> None:
    """R-AGENT-5."""
    agent = peer.member(shared, "kim")
    bundle = shared.asked_for().bind(agent.hello())
    other = {**context, "record": "another"}
    try:
        end = "released" if agent.release(bundle, expect=[other, context]) else ""
    except PeerRefusedError as error:
        end = error.code
    assert end == (expected or "request.unexpected")


def test_a_record_that_needs_two_groups_is_left_to_the_program(peer: Peer, shared: World) -> None:
    """R-LOCK-4: it is shown with a warning, and refused by name."""
    both = AllOf(shared.ward, shared.groups["data-office"])
    sealed = shared.vault.seal("x", to=both, context=DIAGNOSIS)
    agent = peer.member(shared, "kim")
    bundle = shared.asked((DIAGNOSIS, sealed)).bind(agent.hello())
    shown = agent.call("examine", bundle=bundle)
    assert shown["warnings"] == ["1 records also need a member of another group."]
    with pytest.raises(PeerRefusedError) as caught:
        agent.release(bundle)
    assert caught.value.code == "release.share-missing"


def test_keys_of_the_other_kem_are_left_to_the_program(peer: Peer, shared: World) -> None:
    """R-LOG-21: the group can be followed, and a member of that KEM is not unlocked."""
    with (
        world_in_memory(kem=Kem.MLKEM768_X25519) as world,
        pytest.raises(PeerRefusedError) as caught,
    ):
        peer.member(world, "kim")
    assert caught.value.code == "agent.kem-unsupported"
    with world_in_memory() as world:
        founder, key = world.weber.agent, Kem.MLKEM768_X25519
        for proposal in founder.admin.found("quantum", rules(), writers=[], kem=key):
            world.vault.append(proposal)
        world.founding.follow(founder)
        agent = peer.member(world, "weber")
        assert "quantum" in [group["name"] for group in agent.call("groups")]
        assert released(world, agent, 1) == "released"


def test_a_session_is_continued_within_an_hour_and_ends_after_two(peer: Peer, world: World) -> None:
    """R-REQ-1, R-AGENT-1: each login session has an agent's session of its own."""
    agent = peer.member(world, "kim")
    first = agent.hello(bytes(32))
    assert agent.hello(bytes(32)) == first
    assert agent.hello(b"\x01" * 32) != first
    bundle = world.asked_for().bind(first)
    world.clock.forward(3600)
    peer.call("clock", now=world.clock())
    assert agent.hello(bytes(32)) != first
    with pytest.raises(PeerRefusedError) as caught:
        agent.release(bundle)
    assert caught.value.code == "request.expired"


def test_a_locked_agent_does_nothing(peer: Peer, shared: World) -> None:
    agent = peer.member(shared, "kim")
    bundle = bound(shared, agent, 1)
    agent.call("lock")
    for name, given in (
        ("release", {"bundle": bundle}),
        ("examine", {"bundle": bundle}),
        ("hello", {}),
        ("state", {}),
    ):
        with pytest.raises(PeerRefusedError) as caught:
            agent.call(name, **given)
        assert caught.value.code == "agent.locked"


@pytest.mark.parametrize("data", [b"", b"\x00", b"\x80", b"\xff" * 50, b"\x9f" * 100, b"{}" * 9])
def test_what_is_no_request_is_refused(peer: Peer, shared: World, data: bytes) -> None:
    """R-REQ-5."""
    with pytest.raises(PeerRefusedError) as caught:
        peer.member(shared, "kim").release(data)
    assert caught.value.code.startswith("format.")


def test_no_byte_of_the_state_can_be_changed(peer: Peer, shared: World) -> None:
    """R-AGENT-8."""
    folder = shared.founding.folder
    good, key = (folder / "kim.member").read_bytes(), (folder / "kim.key").read_bytes()
    allowed = {"format.malformed", "format.version", "format.too-large", "agent.state-damaged"}
    allowed |= {"factor.wrong", "factor.missing"}
    for at in range(0, len(good), max(1, len(good) // 150)):
        with pytest.raises(PeerRefusedError) as caught:
            peer.unlock(good[:at] + bytes([good[at] ^ 1]) + good[at + 1 :], key)
        assert caught.value.code in allowed, at


ENROLMENTS: dict[str, Sequence[str]] = {
    "device": ("key",),
    "words": ("passphrase",),
    "both": ("key", "passphrase"),
}


@pytest.mark.parametrize("given", sorted(ENROLMENTS))
@pytest.mark.parametrize("enrolled", sorted(ENROLMENTS))
def test_all_factors_of_an_enrolment_are_needed_and_no_others(
    peer: Peer, shared: World, tmp_path_factory: pytest.TempPathFactory, enrolled: str, given: str
) -> None:
    """R-FACTOR-1, R-FACTOR-4, R-FACTOR-5."""
    folder = tmp_path_factory.mktemp("member")
    key = DeviceKey.create(folder / "ann.key")
    words = Passphrase("Zu\u0308rich,\u3000correct horse")
    factors = {"key": key, "passphrase": words}
    chosen = [factors[name] for name in ENROLMENTS[enrolled]]
    create_member("ann", chosen, deployment=deployment_card(shared.config), home=folder)
    held = {"key": key.path.read_bytes(), "passphrase": "Zürich, correct horse"}
    options = {name: held[name] for name in ENROLMENTS[given]}
    state = (folder / "ann.member").read_bytes()
    if given == enrolled:
        agent = peer.unlock(state, options.pop("key", None), **options)
        assert agent.call("status")["releases"] == 0
        return
    with pytest.raises(PeerRefusedError) as caught:
        peer.unlock(state, options.pop("key", None), **options)
    assert caught.value.code == "factor.missing"


def test_any_enrolment_opens(peer: Peer, world: World, tmp_path_factory: Any) -> None:
    """R-FACTOR-1: a second device key opens, another member's does not."""
    folder = world.founding.folder
    second = DeviceKey.create(folder / "second.key")
    add_enrolment("kim", [DeviceKey(folder / "kim.key")], [second], home=folder)
    state = (folder / "kim.member").read_bytes()
    for name in ("kim", "second"):
        agent = peer.unlock(state, (folder / f"{name}.key").read_bytes())
        assert released(world, agent, 1) == "released"
    with pytest.raises(PeerRefusedError) as caught:
        peer.unlock(state, (folder / "weber.key").read_bytes())
    assert caught.value.code == "factor.wrong"
    with pytest.raises(PeerRefusedError) as caught:
        peer.unlock(state, b"no key file")
    assert caught.value.code == "key-file.damaged"


@pytest.mark.parametrize("words", ["", "\x00", "a\nb", "\u00ad", "\u1100", "\ue000", "a\u0378"])
def test_a_passphrase_that_cannot_be_one_is_refused(
    peer: Peer, shared: World, tmp_path_factory: pytest.TempPathFactory, words: str
) -> None:
    """R-FACTOR-4."""
    folder = tmp_path_factory.mktemp("member")
    card = deployment_card(shared.config)
    create_member("ann", [Passphrase("good words")], deployment=card, home=folder)
    with pytest.raises(PeerRefusedError) as caught:
        peer.unlock((folder / "ann.member").read_bytes(), None, passphrase=words)
    assert caught.value.code == ("factor.passphrase-invalid" if words else "factor.missing")


def test_one_groups_admin_cannot_bring_a_token_for_another_groups_records(peer: Peer) -> None:
    """R-AGENT-3, R-LOG-23: its token is followed for its own group alone."""
    groups = {"cardiology": ["weber", "kim"], "club": ["mallory", "kim"]}
    with world_in_memory(groups=groups) as two:
        liar = Liar.asking(two)
        plant_token(liar, two.members["mallory"].agent)
        peer.call("clock", now=two.clock())
        state = liar.agent._state.encode(liar.agent._unlocked().state_key)
        agent = peer.unlock(state, (two.founding.folder / "kim.key").read_bytes())
        with pytest.raises(PeerRefusedError) as caught:
            agent.release(liar.encoded())
    assert caught.value.code == "group.identity"


def test_an_agent_releases_what_a_softhsm_opens(peer: Peer, softhsm_world: World) -> None:
    """R-REL-2, R-KEY-8: with a transport key that a real token made."""
    agent = peer.member(softhsm_world, "kim")
    for suite in ("rsa-oaep", "token-aes"):
        request = softhsm_world.asked_for("I48.0", suite)
        release = agent.release(request.bind(agent.hello()))
        [value] = softhsm_world.vault.open(request, Release.from_bytes(release))
        assert value.text().reveal() == "I48.0"
