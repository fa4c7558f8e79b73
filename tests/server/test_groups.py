"""Which groups a server believes: the pinned ones, as far as it followed them, and no others."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from tests.server.forging import execute, planted
from tests.server.world import DIAGNOSIS, World, world_in_memory
from twinlock import CallerError, Context, DataError, TwinlockError, Vault
from twinlock.core.membership import (
    PinnedHead,
    Policy,
    Role,
    SignedEntry,
    Writer,
    countersign_input,
    with_countersignature,
)
from twinlock.core.ports import KeyRole, OuterSuite
from twinlock.core.primitives import signing_key_from_seed
from twinlock.core.proposal import Proposal
from twinlock.core.secret import Secret
from twinlock.server.groups import Group
from twinlock.server.pins import FilePins, MemoryPins

EVERY_SUITE = Policy(outer_suites=frozenset(OuterSuite))


@pytest.fixture
def stranger(memory: World) -> Group:
    """A group that somebody with the database and the token founded, with a writer of his own."""
    mallory = memory.founding.member("mallory")
    writer = Writer("application", signing_key_from_seed(Secret(bytes(32))).public)
    proposals = mallory.admin.found("strangers", EVERY_SUITE, writers=[writer])
    other = memory.another_vault()
    states = [other.append(proposal) for proposal in proposals]
    return Group("strangers", states[-1].group_id)


def test_a_group_that_is_not_pinned_does_not_exist(memory: World, stranger: Group) -> None:
    """R-SRV-1."""
    with pytest.raises(CallerError) as by_name:
        memory.vault.group("strangers")
    with pytest.raises(CallerError) as sealing:
        memory.vault.seal("x", to=stranger, context=DIAGNOSIS)
    assert (by_name.value.code, sealing.value.code) == ("group.unknown", "group.unknown")
    assert stranger.group_id not in memory.vault.group_states()
    assert memory.opened(memory.asked_for())[0].ok


def test_a_writer_of_a_group_that_is_not_pinned_is_no_author(
    memory: World, stranger: Group
) -> None:
    """R-SRV-1, R-SRV-2."""
    other = memory.another_vault()
    other.trust_group(_pin_in_store(memory, stranger))
    writer = signing_key_from_seed(Secret(bytes(32)))
    forged = planted(other, stranger, DIAGNOSIS, "forged", writer)
    [asked] = memory.asked((DIAGNOSIS, forged)).asked
    assert asked.error is not None
    assert asked.error.code == "data.not-authentic"
    [trusted] = other.request([(DIAGNOSIS, forged)]).asked
    assert trusted.error is None


def test_a_group_is_trusted_from_a_head_that_was_compared(memory: World, stranger: Group) -> None:
    pin = _pin_in_store(memory, stranger)
    with pytest.raises(DataError) as fork:
        memory.vault.trust_group(replace(pin, head=bytes(32)))
    with pytest.raises(DataError) as future:
        memory.vault.trust_group(replace(pin, seq=pin.seq + 1))
    with pytest.raises(CallerError) as unknown:
        memory.vault.trust_group(replace(pin, group_id=bytes(32)))
    assert [c.value.code for c in (fork, future, unknown)] == [
        "log.fork",
        "log.rollback",
        "group.unknown",
    ]
    with pytest.raises(CallerError):
        memory.vault.group("strangers")
    memory.vault.trust_group(pin)
    assert memory.vault.group("strangers") == stranger
    assert stranger.group_id in memory.vault.group_states()


def _pin_in_store(world: World, group: Group) -> PinnedHead:
    head = world.vault.store.log.head(group.group_id)
    assert head is not None
    return PinnedHead(group.group_id, head.seq, head.entry_hash)


# --- rollback and fork ---------------------------------------------------------------------------


def set_back(world: World) -> None:
    """The database is restored from before the group's last entry."""
    last = world.vault.group_state(world.ward)
    before = SignedEntry.decode(
        world.vault.store.log.entries(world.ward.group_id)[-2].signed_entry
    ).entry_hash
    values = {"g": world.ward.group_id, "s": last.seq}
    execute(world, "DELETE FROM twinlock_log_entries WHERE group_id = :g AND seq = :s", **values)
    _set_head(world, last.seq - 1, before)


def _set_head(world: World, seq: int, head: bytes) -> None:
    execute(
        world,
        "UPDATE twinlock_groups SET head_seq = :s, head_hash = :h WHERE group_id = :g",
        g=world.ward.group_id,
        s=seq,
        h=head,
    )


def lose(world: World) -> None:
    """The group is deleted."""
    for table in ("twinlock_sealed_group_keys", "twinlock_log_entries", "twinlock_groups"):
        execute(world, f"DELETE FROM {table} WHERE group_id = :g", g=world.ward.group_id)


def put_another_entry(world: World) -> None:
    """The last entry is replaced by one that the same admin signed at the same place."""
    put(world, _rival(world), world.vault.group_state(world.ward).seq)


def put_entry_without_countersignature(world: World) -> None:
    """A genuine next entry that never went through the token."""
    proposal = world.weber.agent.admin.set_writers(world.ward.group_id, [])
    signed = SignedEntry.decode(proposal.signed_entry)
    execute(
        world,
        "INSERT INTO twinlock_log_entries (group_id, seq, signed_entry, entry_hash) "
        "VALUES (:g, :s, :e, :h)",
        g=world.ward.group_id,
        s=signed.entry.seq,
        e=signed.encode(),
        h=signed.entry_hash,
    )
    _set_head(world, signed.entry.seq, signed.entry_hash)


def _rival(world: World) -> SignedEntry:
    agent = world.weber.agent
    first = agent.admin.set_writers(world.ward.group_id, [])
    world.clock.forward(1)
    rival = SignedEntry.decode(agent.admin.set_writers(world.ward.group_id, []).signed_entry)
    world.vault.append(first)
    token, key = world.vault.token, world.vault.directory.current(KeyRole.LOG)
    return with_countersignature(rival, token.sign(key.kid, countersign_input(rival)))


def put(world: World, signed: SignedEntry, seq: int) -> None:
    execute(
        world,
        "UPDATE twinlock_log_entries SET signed_entry = :e, entry_hash = :h "
        "WHERE group_id = :g AND seq = :s",
        g=world.ward.group_id,
        s=seq,
        e=signed.encode(),
        h=signed.entry_hash,
    )
    _set_head(world, seq, signed.entry_hash)


TAMPERINGS: dict[str, tuple[Callable[[World], None], str]] = {
    "the database set back": (set_back, "log.rollback"),
    "the group deleted": (lose, "log.broken-chain"),
    "the last entry replaced": (put_another_entry, "log.fork"),
    "an entry past the token": (put_entry_without_countersignature, "log.countersignature"),
}


@pytest.mark.parametrize("process", ["running", "restarted"])
@pytest.mark.parametrize("tampering", sorted(TAMPERINGS))
def test_a_server_does_not_work_with_a_log_that_was_tampered_with(
    memory: World, tampering: str, process: str
) -> None:
    """R-SRV-1."""
    request = memory.asked_for()
    release = memory.kim.release(request)
    tamper, code = TAMPERINGS[tampering]
    tamper(memory)
    memory.clock.forward(2)
    vault = memory.vault if process == "running" else memory.another_vault()
    for use in (
        lambda: vault.group_states(),
        lambda: vault.seal("x", to=memory.ward, context=DIAGNOSIS),
        lambda: vault.open(request, release),
        lambda: vault.append(memory.officer.agent.admin.new_epoch(_office(memory).group_id)),
    ):
        with pytest.raises(TwinlockError) as caught:
            use()
        assert caught.value.code == code
    assert memory.vault.store.audit.tail().next_seq == 0


def _office(world: World) -> Group:
    return world.groups["data-office"]


def test_a_head_that_lies_about_the_entries_is_found_out(memory: World) -> None:
    state = memory.vault.group_state(memory.ward)
    _set_head(memory, state.seq + 1, bytes(32))
    with pytest.raises(DataError) as caught:
        memory.vault.group_states()
    assert caught.value.code.startswith("log.")


# --- appending -----------------------------------------------------------------------------------


def test_of_two_proposals_for_one_place_the_second_is_told_to_follow(memory: World) -> None:
    """R-SRV-6."""
    admin = memory.weber.agent.admin
    first = admin.set_writers(memory.ward.group_id, [])
    second = admin.new_epoch(memory.ward.group_id)
    memory.vault.append(first)
    with pytest.raises(CallerError) as caught:
        memory.vault.append(second)
    assert caught.value.code == "group.log-moved"
    memory.founding.follow(memory.weber.agent)
    memory.vault.append(memory.weber.agent.admin.new_epoch(memory.ward.group_id))


def test_of_many_at_once_exactly_one_is_appended(world: World) -> None:
    # The last entry is put back to what it was, so that other tests find the group as before.
    admin = world.weber.agent.admin
    writers = list(world.vault.group_state(world.ward).writers.values())
    proposals = [admin.set_writers(world.ward.group_id, writers) for _ in range(6)]
    before = world.vault.group_state(world.ward).seq

    def append(proposal: Proposal) -> str:
        try:
            world.vault.append(proposal.encode())
        except TwinlockError as error:
            return error.code
        return "appended"

    with ThreadPoolExecutor(6) as threads:
        results = sorted(threads.map(append, proposals))
    assert results == ["appended"] + ["group.log-moved"] * 5
    assert world.vault.group_state(world.ward).seq == before + 1
    world.founding.follow(world.weber.agent)
    world.founding.follow(world.kim.agent)


def test_two_processes_append_in_turns_and_see_each_others_entries(world: World) -> None:
    other, agent = world.another_vault(), world.weber.agent
    writers = list(world.vault.group_state(world.ward).writers.values())
    for vault in (other, world.vault, other):
        vault.append(agent.admin.set_writers(world.ward.group_id, writers))
        agent.follow(vault.group_bundle(agent.hello()))
    world.founding.follow(world.kim.agent)
    assert world.vault.group_state(world.ward).seq == other.group_state(world.ward).seq
    if world.config.store_url != "sqlite://":
        other.close()


def test_every_member_who_is_given_a_key_must_get_it(memory: World) -> None:
    """R-SRV-6."""
    admin = memory.weber.agent.admin
    proposal = admin.new_epoch(memory.ward.group_id)
    extra = replace(proposal.keys[0], epoch=9)
    for keys in ((), proposal.keys[:1], (*proposal.keys, extra)):
        with pytest.raises(DataError) as caught:
            memory.vault.append(replace(proposal, keys=keys))
        assert caught.value.code == "group.keys-missing"
    memory.vault.append(proposal)


def test_a_name_is_given_to_one_group(memory: World) -> None:
    mallory = memory.founding.member("mallory")
    with pytest.raises(CallerError) as caught:
        memory.vault.append(mallory.admin.found("cardiology", EVERY_SUITE)[0])
    assert caught.value.code == "group.name-taken"


def test_who_is_no_admin_appends_nothing(memory: World) -> None:
    with pytest.raises(DataError) as caught:
        memory.vault.append(memory.kim.agent.admin.set_writers(memory.ward.group_id, []))
    assert caught.value.code == "log.not-allowed"


def test_a_group_of_another_deployment_is_not_taken() -> None:
    with world_in_memory() as one, world_in_memory() as other:
        mallory = other.founding.member("mallory")
        [proposal] = mallory.admin.found("guests", EVERY_SUITE)
        with pytest.raises(DataError) as caught:
            one.vault.append(proposal)
    assert caught.value.code == "log.wrong-group"


@pytest.mark.parametrize("data", [b"", b"\x00", b"proposal", bytes(99)])
def test_what_is_no_proposal_is_refused(memory: World, data: bytes) -> None:
    with pytest.raises(DataError) as caught:
        memory.vault.append(data)
    assert caught.value.code.startswith("format.")


def test_a_writer_that_is_taken_off_the_list_seals_and_opens_nothing(memory: World) -> None:
    request = memory.asked_for()
    release = memory.kim.release(request)
    memory.vault.append(memory.weber.agent.admin.set_writers(memory.ward.group_id, []))
    with pytest.raises(CallerError) as caught:
        memory.vault.seal("x", to=memory.ward, context=DIAGNOSIS)
    assert caught.value.code == "writer.not-named"
    # What was asked before is answered; what was sealed by that writer is no longer asked for.
    assert memory.vault.open(request, release)[0].ok
    record = request.asked[0].record
    assert record is not None


def test_an_admin_who_was_made_one_later_may_do_what_admins_do(memory: World) -> None:
    tom = memory.founding.member("tom")
    memory.founding.add(memory.ward, memory.weber.agent, tom, Role.ADMIN)
    ida = memory.founding.member("ida")
    memory.founding.add(memory.ward, tom, ida)
    request = memory.asked_for()
    assert memory.vault.open(request, ida.release(request))[0].ok


# --- pins ----------------------------------------------------------------------------------------


@pytest.fixture(params=["file", "memory"])
def pins(request: pytest.FixtureRequest, tmp_path: Path) -> FilePins | MemoryPins:
    return FilePins(tmp_path / "pins") if request.param == "file" else MemoryPins()


def pin(group: int, seq: int, head: int = 1) -> PinnedHead:
    return PinnedHead(bytes([group]) * 32, seq, bytes([head]) * 32)


def test_pins_only_go_forward(pins: FilePins | MemoryPins) -> None:
    assert pins.all() == {}
    for each in (pin(1, 3), pin(2, 7), pin(1, 2), pin(1, 3, 9), pin(1, 5)):
        pins.advance(each)
    assert pins.all() == {bytes([1]) * 32: pin(1, 5), bytes([2]) * 32: pin(2, 7)}


def test_pins_of_many_threads_all_count(pins: FilePins | MemoryPins) -> None:
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda n: pins.advance(pin(n % 5, n)), range(40)))
    assert {p.seq for p in pins.all().values()} == {35, 36, 37, 38, 39}


def test_pins_are_private_and_survive_the_process(tmp_path: Path) -> None:
    FilePins(tmp_path / "pins").advance(pin(1, 3))
    assert (tmp_path / "pins").stat().st_mode & 0o777 == 0o600
    assert FilePins(tmp_path / "pins").all() == {bytes([1]) * 32: pin(1, 3)}


@pytest.mark.parametrize("content", [b"", b"pins", bytes(100), b"\x82\x01" + b"\xff" * 9])
def test_damaged_pins_are_not_taken_for_none(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "pins").write_bytes(content)
    with pytest.raises(DataError) as caught:
        FilePins(tmp_path / "pins").all()
    assert caught.value.code.startswith("format.")


def test_a_vault_without_pins_trusts_nobody(memory: World) -> None:
    sealed = memory.vault.seal("x", to=memory.ward, context=DIAGNOSIS)
    vault = Vault(
        memory.config,
        memory.vault.store,
        memory.vault._held.connect,
        pins=MemoryPins(),
        writer=memory.founding.writer,
        clock=memory.clock,
    )
    assert vault.group_states() == {}
    [asked] = vault.request([(Context(table="t", record=1, column="c"), sealed)]).asked
    assert asked.error is not None
    assert asked.error.code == "data.not-authentic"
