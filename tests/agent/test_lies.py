"""The agent refuses every lie of a server, even of one that holds the token."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.agent.lying import Liar, other_item
from tests.server.world import DIAGNOSIS, World, world_in_memory
from twinlock import Context
from twinlock.agent.agent import Agent
from twinlock.core.context import decode_context
from twinlock.core.envelope import decode_core, decode_header, new_header
from twinlock.core.locks import GroupTarget, LockSealer
from twinlock.core.membership import (
    SignedEntry,
    countersign_input,
    with_countersignature,
)
from twinlock.core.ports import KeyRole, TransportKey
from twinlock.core.primitives import hpke_seal, sha256
from twinlock.core.request import GroupHead, GroupNews
from twinlock.core.secret import Secret
from twinlock.core.statements import (
    Statement,
    identity_fingerprint,
    token_key_statement,
    transport_statement,
)
from twinlock.errors import CallerError, DataError, EnvError, TwinlockError
from twinlock.testing import MemoryToken
from twinlock.token.spki import rsa_spki

Lie = Callable[[Liar], object]


def another_token(liar: Liar) -> None:
    """The whole directory of another token, for this deployment."""
    token, world = MemoryToken(), liar.world
    identity, log = token.generate_key(KeyRole.IDENTITY), token.generate_key(KeyRole.LOG)
    now = world.clock()
    raws = [
        token_key_statement(world.config.deployment_id, key, token.serial, now, now + 1000)
        for key in (identity, log)
    ]
    liar.send(directory=tuple(Statement(raw, token.sign(identity.kid, raw)) for raw in raws))


def unsigned_directory(liar: Liar) -> None:
    first, *rest = liar.bundle.directory
    liar.send(directory=(*rest, Statement(first.raw, bytes(64))))


def unknown_wrapping_key(liar: Liar) -> None:
    """A key that the log key states, not the identity key."""
    world = liar.world
    key = world.vault.directory.current(KeyRole.AUDIT)
    raw = token_key_statement(world.config.deployment_id, key, "x", 0, 2**40)
    log = world.vault.directory.current(KeyRole.LOG).kid
    statement = Statement(raw, world.vault.token.sign(log, raw))
    liar.send(directory=(*liar.bundle.directory, statement))


def weak_key(liar: Liar) -> TransportKey:
    """RSA with 1024 bits (the modulus is any number: nobody gets to use it)."""
    return replace(liar.transport, public=rsa_spki(b"\xc1" * 128, b"\x01\x00\x01"))


def old_log(liar: Liar) -> None:
    """The group as it was before the member's agent last looked."""
    [head] = liar.message.heads
    entries = liar.world.vault.store.log.entries(head.group_id)
    before = SignedEntry.decode(entries[-2].signed_entry).entry_hash
    liar.say(heads=(GroupHead(head.group_id, head.seq - 1, before),))


def uncountersigned_news(liar: Liar) -> None:
    """An entry that a genuine admin signed, and that never went through the token."""
    world = liar.world
    proposal = world.weber.agent.admin.set_writers(world.ward.group_id, [])
    state = world.vault.group_state(world.ward)
    entry_hash = SignedEntry.decode(proposal.signed_entry).entry_hash
    liar.send(news=(GroupNews(state.group_id, (proposal.signed_entry,)),))
    liar.say(heads=(GroupHead(state.group_id, state.seq + 1, entry_hash),))


def other_last_entry(liar: Liar) -> None:
    """The entry that this agent followed last, with another signature; its head is another."""
    group_id = liar.world.ward.group_id
    last = SignedEntry.decode(liar.world.vault.store.log.entries(group_id)[-1].signed_entry)
    other = replace(last, signatures=(replace(last.signatures[0], signature=bytes(64)),))
    liar.send(news=(GroupNews(group_id, (other.encode(),)),))


def foreign_group(liar: Liar) -> None:
    """A group that the member was never invited to, with a lock for it."""
    office = liar.world.groups["data-office"]
    entries = liar.world.vault.store.log.entries(office.group_id)
    news = GroupNews(office.group_id, tuple(entry.signed_entry for entry in entries))
    liar.send(news=(*liar.bundle.news, news))


def relabelled_log(liar: Liar) -> None:
    """The log of another group under this group's id."""
    office = liar.world.groups["data-office"]
    entries = liar.world.vault.store.log.entries(office.group_id)
    liar.agent._state.groups.pop(liar.world.ward.group_id)
    invitation = liar.world.weber.agent.admin.invite(liar.world.ward.group_id)
    liar.agent._state.accepted[liar.world.ward.group_id] = invitation
    news = GroupNews(liar.world.ward.group_id, tuple(e.signed_entry for e in entries))
    liar.send(news=(news,))


def replaced_group_key(liar: Liar) -> None:
    """A group key that the server made, correctly sealed to the member."""
    [key] = liar.bundle.keys
    state = liar.world.vault.group_state(liar.world.ward)
    member = state.members[liar.agent.member_id].member
    info = state.group_key_info(liar.agent.member_id, key.epoch)
    sealed = hpke_seal(member.kem, member.kem_public, info, os.urandom(32))
    liar.send(keys=(replace(key, sealed=sealed),))


def others_group_key(liar: Liar) -> None:
    """The group key as it is sealed to another member."""
    [key] = liar.bundle.keys
    world = liar.world
    sealed = world.vault.store.log.sealed_keys(key.group_id, world.weber.agent.member_id)
    liar.send(keys=(replace(key, sealed=sealed[key.epoch]),))


def own_lock(liar: Liar) -> None:
    """A lock to the group's true key, with a release key that the server chose."""
    item, world = liar.message.items[0], liar.world
    header = decode_header(item.header)
    epoch = world.vault.group_state(world.ward).current_epoch
    target = GroupTarget(world.ward.group_id, epoch.number, epoch.kem, epoch.public)
    dek_id = decode_core(item.core).dek_id
    sealer = LockSealer(item.core, item.context, dek_id, Secret(bytes(32)), os.urandom)
    locks = sealer.seal([target])
    new = new_header(header.commitment, header.outer_suite, header.wrapping_kid, locks)
    liar.item(header=new.raw)


def foreign_context(liar: Liar) -> None:
    context = Context(table="patient", record="4711", column="diagnosis", version=3)
    liar.item(context=context.encode(bytes(16)))


LIES: dict[str, tuple[Lie, str]] = {
    "another token": (another_token, "directory.identity"),
    "a directory without its identity": (
        lambda liar: liar.send(directory=()),
        "directory.identity",
    ),
    "a directory that nobody signed": (unsigned_directory, "data.not-authentic"),
    "a key stated by another key": (unknown_wrapping_key, "data.not-authentic"),
    "a transport key stated to another agent": (
        lambda liar: liar.state(nonce=bytes(32)),
        "transport.nonce",
    ),
    "a transport key that died": (
        lambda liar: liar.state(life=(-7200, -121)),
        "transport.expired",
    ),
    "a transport key of the future": (
        lambda liar: liar.state(life=(121, 3600)),
        "transport.expired",
    ),
    "a transport key that never dies": (
        lambda liar: liar.state(life=(0, 7201)),
        "transport.expired",
    ),
    "a transport key that ends before it begins": (
        lambda liar: liar.state(life=(100, 99)),
        "transport.expired",
    ),
    "a transport key of another deployment": (
        lambda liar: liar.state(deployment=bytes(16)),
        "data.not-authentic",
    ),
    "a transport key stated by the log key": (
        lambda liar: liar.state(signer=liar.world.vault.directory.current(KeyRole.LOG).kid),
        "data.not-authentic",
    ),
    "a weak transport key": (lambda liar: liar.state(key=weak_key(liar)), "key.malformed"),
    "a transport key with an unknown hash": (
        lambda liar: liar.state(key=replace(liar.transport, oaep_hash="md5")),
        "data.not-authentic",
    ),
    "another transport key than the one stated": (
        lambda liar: liar.say(transport_digest=bytes(32)),
        "transport.replaced",
    ),
    "another transport key's id": (
        lambda liar: liar.say(transport_kid=bytes(16)),
        "transport.replaced",
    ),
    "another deployment's request": (
        lambda liar: liar.say(deployment_id=bytes(16)),
        "request.not-mine",
    ),
    "another member's request": (
        lambda liar: liar.say(member_id=liar.world.weber.agent.member_id),
        "request.not-mine",
    ),
    "another session": (lambda liar: liar.say(session_hash=bytes(32)), "request.session"),
    "a request of yesterday": (
        lambda liar: liar.say(not_after=liar.world.clock() - 121),
        "request.expired",
    ),
    "a request that lives too long": (
        lambda liar: liar.say(not_after=liar.world.clock() + 241),
        "request.expired",
    ),
    "a record of another deployment": (foreign_context, "request.not-mine"),
    "a record under another's context": (
        lambda liar: liar.item(context=other_item(liar.world).context),
        "data.not-authentic",
    ),
    "a record under another's core": (
        lambda liar: liar.item(core=other_item(liar.world).core),
        "data.not-authentic",
    ),
    "a record with another's locks": (
        lambda liar: liar.item(header=other_item(liar.world).header),
        "data.not-authentic",
    ),
    "a head with another hash": (
        lambda liar: liar.say(heads=(replace(liar.message.heads[0], head=bytes(32)),)),
        "log.fork",
    ),
    "a head that nobody has reached": (
        lambda liar: liar.say(heads=(replace(liar.message.heads[0], seq=99),)),
        "log.fork",
    ),
    "a group as it was earlier": (old_log, "log.fork"),
    "a head of a group that is not told": (
        lambda liar: liar.say(heads=(replace(liar.message.heads[0], group_id=bytes(32)),)),
        "log.fork",
    ),
    "an entry that the token did not countersign": (uncountersigned_news, "log.countersignature"),
    "another entry in the place of one that was followed": (other_last_entry, "log.fork"),
    "a group without invitation": (foreign_group, "group.not-invited"),
    "another group's log": (relabelled_log, "log.wrong-group"),
    "a group key of its own": (replaced_group_key, "group.key-replaced"),
    "a group key for another member": (others_group_key, "data.not-authentic"),
    "no group key": (lambda liar: liar.send(keys=()), "group.key-missing"),
    "a damaged lock": (lambda liar: liar.lock(sealed=bytes(113)), "data.not-authentic"),
    "a lock of its own": (own_lock, "data.not-authentic"),
    "a lock of an epoch that never was": (lambda liar: liar.lock(epoch=7), "group.key-missing"),
    "a lock of a group unheard of": (
        lambda liar: liar.lock(group_id=bytes(32)),
        "release.no-lock",
    ),
}


@pytest.mark.parametrize("lie", sorted(LIES))
def test_a_lie_is_refused_and_nothing_is_counted(shared: World, lie: str) -> None:
    """R-AGENT-1, R-AGENT-2, R-AGENT-3, R-AGENT-4."""
    tell, code = LIES[lie]
    liar = Liar.asking(shared)
    before = (liar.agent.status().releases, liar.agent._kept.path.read_bytes())
    tell(liar)
    with pytest.raises(TwinlockError) as caught:
        liar.agent.release(liar.encoded())
    assert caught.value.code == code
    assert not isinstance(caught.value, EnvError)
    assert (liar.agent.status().releases, liar.agent._kept.path.read_bytes()) == before


def test_the_same_request_told_honestly_is_released(shared: World) -> None:
    liar = Liar.asking(shared)
    liar.state()
    assert liar.agent.release(liar.encoded()).raw


def test_the_longest_life_and_skew_that_are_allowed_are_taken(shared: World) -> None:
    for life in ((0, 7200), (-7080, -120), (120, 3600)):
        liar = Liar.asking(shared)
        liar.state(life=life)
        assert liar.agent.release(liar.encoded()).raw


@pytest.mark.parametrize(
    "context",
    [
        replace(DIAGNOSIS, record="4712"),
        replace(DIAGNOSIS, version=4),
        replace(DIAGNOSIS, version=None),
        replace(DIAGNOSIS, tenant="another"),
        replace(DIAGNOSIS, purpose="research"),
    ],
)
def test_what_the_user_did_not_open_is_not_released(shared: World, context: Context) -> None:
    """R-AGENT-5."""
    liar = Liar.asking(shared)
    with pytest.raises(DataError) as caught:
        liar.agent.release(liar.encoded(), expect=[context])
    assert caught.value.code == "request.unexpected"
    assert liar.agent.release(liar.encoded(), expect=[context, DIAGNOSIS]).raw


def test_the_description_shows_what_is_released_and_cannot_be_forged(shared: World) -> None:
    """R-AGENT-5."""
    liar = Liar.asking(shared)
    liar.say(purpose="ward round\nRecords: 0\x1b[2J")
    said = liar.agent.describe(liar.encoded())
    assert said.splitlines() == [
        "Purpose: ward round\\u000aRecords: 0\\u001b[2J",
        "Records: 1",
        "  1 through group cardiology",
        "  patient 4711, diagnosis, version 3",
    ]
    assert decode_context(liar.message.items[0].context).record == "4711"


def test_a_locked_agent_releases_nothing(shared: World) -> None:
    liar = Liar.asking(shared)
    liar.agent.lock()
    with pytest.raises(CallerError) as caught:
        liar.agent.release(liar.encoded())
    assert caught.value.code == "agent.locked"


@pytest.mark.parametrize("data", [b"", b"\x00", b"\x80", b"\xff" * 50, b"\x9f" * 100, b"{}" * 9])
def test_what_is_no_request_is_refused(shared: World, data: bytes) -> None:
    with pytest.raises(DataError) as caught:
        shared.kim.agent.release(data)
    assert caught.value.code.startswith("format.")


@settings(
    max_examples=250,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(data=st.data())
def test_a_changed_byte_never_opens_anything_else(shared: World, data: st.DataObject) -> None:
    sealed = shared.vault.seal("I48.0", to=shared.ward, context=DIAGNOSIS)
    request = shared.asked((DIAGNOSIS, sealed), purpose="ward round")
    bundle = bytearray(request.bind(shared.kim.hello()))
    at = data.draw(st.integers(0, len(bundle) - 1))
    bundle[at] ^= data.draw(st.integers(1, 255))
    try:
        release = shared.kim.agent.release(bytes(bundle))
        [opened] = shared.vault.open(request, release)
        outcome = opened.text().reveal()
    except (CallerError, DataError):
        outcome = "refused"
    assert outcome in ("refused", "I48.0")


def test_one_groups_admin_cannot_bring_a_token_for_another_groups_records() -> None:
    """R-AGENT-3."""
    groups = {"cardiology": ["weber", "kim"], "club": ["mallory", "kim"]}
    with world_in_memory(groups=groups) as world:
        liar = Liar.asking(world)
        plant_token(liar, world.members["mallory"].agent)
        with pytest.raises(DataError) as caught:
            liar.agent.release(liar.encoded())
    assert caught.value.code == "group.identity"


def plant_token(liar: Liar, admin: Agent) -> None:
    """A token of the liar's, for which the admin of the club vouches in the club's own log."""
    world, token, now = liar.world, MemoryToken(), liar.world.clock()
    identity, log = token.generate_key(KeyRole.IDENTITY), token.generate_key(KeyRole.LOG)
    raws = [
        token_key_statement(world.config.deployment_id, key, token.serial, now, now + 1000)
        for key in (identity, log)
    ]
    club = world.groups["club"].group_id
    fingerprint = identity_fingerprint(identity.public)
    signed = SignedEntry.decode(admin.admin.set_identity(club, fingerprint).signed_entry)
    entry = with_countersignature(signed, token.sign(log.kid, countersign_input(signed)))
    transport = token.generate_transport_key()
    stated = transport_statement(world.config.deployment_id, transport, now, now + 3600, liar.nonce)
    liar.send(
        directory=tuple(Statement(raw, token.sign(identity.kid, raw)) for raw in raws),
        news=(GroupNews(club, (entry.encode(),)),),
        transport=Statement(stated, token.sign(identity.kid, stated)),
    )
    liar.say(transport_kid=transport.kid, transport_digest=sha256(transport.public))


def test_an_honest_server_does_not_follow_a_group_to_another_token(world: World) -> None:
    proposal = world.weber.agent.admin.set_identity(world.ward.group_id, os.urandom(32))
    with pytest.raises(DataError) as caught:
        world.vault.append(proposal)
    assert caught.value.code == "group.identity"
    assert world.opened(world.asked_for())[0].ok
