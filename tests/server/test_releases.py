"""What the server accepts as a release, and what it says otherwise."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.server.forging import signed_by
from tests.server.world import DIAGNOSIS, SUITES, World, world_in_memory, world_on_softhsm
from twinlock import CallerError, DataError, TwinlockError
from twinlock.agent.agent import Release
from twinlock.core.release import (
    ReleaseMessage,
    decode_release,
    split_signed,
)
from twinlock.core.request import decode_bundle, decode_request
from twinlock.server.requests import Request


def two_records(world: World) -> Request:
    contexts = [replace(DIAGNOSIS, record=number) for number in (1, 2)]
    return world.asked(
        *((c, world.vault.seal(f"record {c.record}", to=world.ward, context=c)) for c in contexts)
    )


def refusal(world: World, request: Request, release: bytes) -> str:
    with pytest.raises(TwinlockError) as caught:
        world.vault.open(request, release)
    return caught.value.code


@pytest.fixture(scope="module")
def shared() -> Iterator[World]:
    with world_in_memory() as made:
        yield made


# --- releases that are not for this request ------------------------------------------------------


@pytest.mark.parametrize("data", [b"", b"\x00" * 200, b"\xff", b"release", b"\x9f" * 99])
def test_what_is_no_release_is_refused(shared: World, data: bytes) -> None:
    request = shared.asked_for()
    request.bind(shared.kim.hello())
    assert refusal(shared, request, data).startswith("format.")


def test_a_release_for_another_request_is_refused(shared: World) -> None:
    request, other = shared.asked_for(), shared.asked_for()
    release, foreign = shared.kim.release(request), shared.kim.release(other)
    assert refusal(shared, request, foreign.raw) == "release.not-authentic"
    assert shared.vault.open(request, release)[0].ok
    assert shared.vault.open(other, foreign)[0].ok


def test_a_release_for_a_request_that_nobody_was_asked_is_refused(shared: World) -> None:
    release = shared.kim.release(shared.asked_for())
    assert refusal(shared, shared.asked_for(), release.raw) == "release.not-authentic"


def test_a_release_signed_by_another_member_is_refused(shared: World) -> None:
    """R-SRV-3."""
    request = shared.asked_for()
    release = shared.kim.release(request)
    stolen = signed_by(shared.weber.agent, release)
    assert refusal(shared, request, stolen) == "release.not-authentic"
    stolen = signed_by(shared.weber.agent, release, member_id=shared.weber.agent.member_id)
    assert refusal(shared, request, stolen) == "release.not-authentic"


def test_one_request_may_be_answered_by_either_member_asked(shared: World) -> None:
    request = shared.asked_for()
    by_kim, by_weber = shared.kim.release(request), shared.weber.release(request)
    assert len(request.pending) == 2
    assert shared.vault.open(request, by_weber)[0].ok
    assert shared.vault.open(request, by_kim)[0].ok


@pytest.mark.parametrize("position", [0, 40, 300, -1])
def test_a_changed_byte_is_refused(shared: World, position: int) -> None:
    request = shared.asked_for()
    changed = bytearray(shared.kim.release(request).raw)
    changed[position] ^= 1
    code = refusal(shared, request, bytes(changed))
    assert code == "release.not-authentic" or code.startswith("format.")


def test_a_release_opens_once(world: World) -> None:
    """R-SRV-4."""
    request = world.asked_for()
    bundle = request.bind(world.kim.hello())
    release = world.kim.release(bundle)
    assert world.vault.open(request, release)[0].ok
    assert refusal(world, request, release.raw) == "release.replayed"
    again = world.kim.release(bundle)
    assert refusal(world, request, again.raw) == "release.replayed"


@pytest.mark.parametrize(("seconds", "code"), [(119, None), (120, None), (121, "release.expired")])
def test_a_release_is_good_for_two_minutes(memory: World, seconds: int, code: str | None) -> None:
    """R-SRV-3."""
    request = memory.asked_for()
    release = memory.kim.release(request)
    memory.clock.forward(seconds)
    if code is None:
        assert memory.vault.open(request, release)[0].ok
    else:
        assert refusal(memory, request, release.raw) == code


def test_a_release_that_was_refused_does_not_use_the_request_up(memory: World) -> None:
    request = memory.asked_for()
    release = memory.kim.release(request)
    wrong = signed_by(memory.kim.agent, release, transport_kid=bytes(16))
    assert refusal(memory, request, wrong) == "release.mismatch"
    assert memory.vault.store.audit.tail().next_seq == 0
    assert memory.vault.open(request, release)[0].ok


# --- releases by a member who lies ---------------------------------------------------------------


Change = Callable[[ReleaseMessage], dict[str, object]]


def _items(change: Callable[[tuple], tuple]) -> Change:
    return lambda message: {"items": change(message.items)}


MISMATCHES: dict[str, Change] = {
    "another deployment": lambda m: {"deployment_id": bytes(16)},
    "another member": lambda m: {"member_id": bytes(16)},
    "another transport key's id": lambda m: {"transport_kid": bytes(16)},
    "another transport key": lambda m: {"transport_digest": bytes(32)},
    "an item twice": _items(lambda i: (i[0], i[0])),
    "items in another order": _items(lambda i: (i[1], i[0])),
    "an item beyond the request": _items(lambda i: (i[0], replace(i[1], position=2))),
    "an item for another DEK": _items(lambda i: (i[0], replace(i[1], dek_id=bytes(16)))),
    "an item through another lock": _items(lambda i: (replace(i[0], lock_digest=bytes(32)), i[1])),
    "items that change places": _items(
        lambda i: (replace(i[1], position=0), replace(i[0], position=1))
    ),
}


@pytest.mark.parametrize("mismatch", sorted(MISMATCHES))
def test_a_signed_release_that_does_not_fit_is_refused(shared: World, mismatch: str) -> None:
    """R-SRV-3."""
    request = two_records(shared)
    release = shared.kim.release(request)
    changes = MISMATCHES[mismatch](decode_release(split_signed(release.raw)[0]))
    wrong = signed_by(shared.kim.agent, release, **changes)
    assert refusal(shared, request, wrong) == "release.mismatch"


def test_keys_that_change_places_open_nothing(world: World) -> None:
    request = two_records(world)
    release = world.kim.release(request)
    one, other = decode_release(split_signed(release.raw)[0]).items
    swapped = (
        replace(one, wrapped_release_key=other.wrapped_release_key),
        replace(other, wrapped_release_key=one.wrapped_release_key),
    )
    opened = world.vault.open(request, signed_by(world.kim.agent, release, items=swapped))
    assert [o.error.code for o in opened] == ["data.not-authentic"] * 2


def test_what_the_member_withholds_stays_closed_and_the_rest_opens(world: World) -> None:
    request = two_records(world)
    release = world.kim.release(request)
    items = decode_release(split_signed(release.raw)[0]).items
    opened = world.vault.open(request, signed_by(world.kim.agent, release, items=items[1:]))
    assert opened[0].error.code == "release.withheld"
    assert opened[1].text().reveal() == "record 2"


def test_a_release_of_nothing_opens_nothing(world: World) -> None:
    request = two_records(world)
    release = world.kim.release(request)
    opened = world.vault.open(request, signed_by(world.kim.agent, release, items=()))
    assert [o.error.code for o in opened] == ["release.withheld"] * 2


@pytest.mark.parametrize(
    "block",
    [
        pytest.param(b"", id="empty"),
        pytest.param(bytes(256), id="zero"),
        pytest.param(b"\xff" * 256, id="above the modulus"),
        pytest.param(b"\x17" * 256, id="another number"),
        pytest.param(bytes(9), id="short"),
    ],
)
def test_a_session_key_that_is_none_opens_nothing(world: World, block: bytes) -> None:
    request = two_records(world)
    release = world.kim.release(request)
    wrong = signed_by(world.kim.agent, release, session_key=block)
    assert refusal(world, request, wrong) == "data.not-authentic"
    assert refusal(world, request, release.raw) == "release.replayed"


def test_the_keys_of_another_members_release_do_not_open_again(world: World) -> None:
    # A member of two groups copies what another member released, as it stands in the audit log.
    request = world.asked_for()
    release = world.weber.release(request)
    assert world.vault.open(request, release)[0].ok
    copied = decode_release(split_signed(release.raw)[0])
    mine = world.kim.release(request)
    forged = signed_by(world.kim.agent, mine, session_key=copied.session_key, items=copied.items)
    assert refusal(world, request, forged) == "release.key-reused"


# --- other processes, other members --------------------------------------------------------------


def test_a_release_goes_back_to_the_process_that_asked(world: World) -> None:
    other = world.another_vault()
    request = world.asked_for()
    stored = request.asked[0].record
    release = world.kim.release(request)
    theirs = other.request([(DIAGNOSIS, world.vault.seal("x", to=world.ward, context=DIAGNOSIS))])
    theirs.bind(world.kim.hello())
    assert stored is not None
    for there in (theirs, request):
        with pytest.raises(TwinlockError) as caught:
            other.open(there, release)
        assert caught.value.code in ("release.not-authentic", "token.transport-gone")
    other.close()


def test_two_processes_open_their_own_releases_into_one_chain(world: World) -> None:
    other = world.another_vault()
    before = world.vault.verify_audit().releases
    for vault in (world.vault, other, world.vault, other):
        sealed = vault.seal("x", to=world.ward, context=DIAGNOSIS)
        request = vault.request([(DIAGNOSIS, sealed)])
        assert vault.open(request, world.kim.release(request))[0].ok
    report = world.vault.verify_audit()
    assert (report.releases - before, report.problems) == (4, [])
    other.close()


def test_a_request_that_another_process_consumed_is_not_opened_here(world: World) -> None:
    """R-SRV-4."""
    other = world.another_vault()
    request = world.asked_for()
    release = world.kim.release(request)
    pending = request.pending[0]
    other.auditor.admit(
        pending.message.request_id, pending.message.not_after, pending.digest, release.raw
    )
    assert refusal(world, request, release.raw) == "release.replayed"
    other.close()


def test_a_member_who_was_removed_cannot_release_any_more(memory: World) -> None:
    """R-SRV-3."""
    request = memory.asked_for()
    release = memory.kim.release(request)
    weber, kim = memory.weber.agent, memory.kim.agent
    tom = memory.founding.member("tom")
    memory.founding.add(memory.ward, weber, tom)
    memory.vault.append(weber.admin.remove(memory.ward.group_id, kim.member_id))
    memory.founding.follow(weber)
    assert refusal(memory, request, release.raw) == "release.not-authentic"
    with pytest.raises(CallerError) as caught:
        kim.release(memory.asked_for())
    assert caught.value.code == "record.no-lock"
    assert memory.opened(memory.asked_for(), memory.weber)[0].ok


def test_records_of_every_epoch_open_for_those_who_stay_and_who_come(memory: World) -> None:
    weber = memory.weber.agent
    items = []
    for number in range(3):
        context = replace(DIAGNOSIS, record=number)
        items.append((context, memory.vault.seal("x", to=memory.ward, context=context)))
        memory.vault.append(weber.admin.new_epoch(memory.ward.group_id))
        memory.founding.follow(weber)
    tom = memory.founding.member("tom")
    memory.founding.add(memory.ward, weber, tom)
    for member in (memory.kim.agent, tom):
        request = memory.asked(*items)
        assert all(o.ok for o in memory.vault.open(request, member.release(request)))


def test_a_member_who_was_removed_opens_nothing_of_the_next_epoch(memory: World) -> None:
    weber, kim = memory.weber.agent, memory.kim.agent
    old = memory.asked_for().bind(kim.hello())
    tom = memory.founding.member("tom")
    memory.founding.add(memory.ward, weber, tom)
    memory.vault.append(weber.admin.remove(memory.ward.group_id, kim.member_id))
    keys = memory.vault.store.log.sealed_keys(memory.ward.group_id, kim.member_id)
    assert keys == {}
    fresh = decode_request(decode_bundle(memory.asked_for().bind(memory.weber.hello())).request)
    lie = replace(decode_request(decode_bundle(old).request), items=fresh.items)
    with pytest.raises(DataError) as caught:
        kim.release(replace(decode_bundle(old), request=lie.encode()).encode())
    assert caught.value.code == "group.key-missing"


# --- binding -------------------------------------------------------------------------------------


def test_one_hello_gets_one_bundle_and_another_gets_another(shared: World) -> None:
    request = shared.asked_for()
    hello = shared.kim.hello()
    assert request.bind(hello) == request.bind(hello)
    assert request.bind(hello) != request.bind(shared.weber.hello())


def test_a_person_who_looks_for_longer_than_a_request_lives_is_asked_anew(memory: World) -> None:
    request = memory.asked_for()
    memory.kim.agent.describe(request)
    memory.clock.forward(121)
    [opened] = memory.vault.open(request, memory.kim.release(request))
    assert opened.ok


@pytest.mark.parametrize("data", [b"", b"hello", bytes(100)])
def test_what_is_no_hello_is_refused(shared: World, data: bytes) -> None:
    with pytest.raises(DataError) as caught:
        shared.asked_for().bind(data)
    assert caught.value.code.startswith("format.")


def test_help_is_given_for_a_request_that_was_sent_only(shared: World) -> None:
    with pytest.raises(CallerError) as caught:
        shared.asked_for().assist(shared.weber.hello(), b"another bundle")
    assert caught.value.code == "request.unknown"


def test_a_releases_bytes_are_as_good_as_the_release(shared: World) -> None:
    request = shared.asked_for()
    release = shared.kim.release(request)
    assert Release.from_bytes(release.to_bytes()) == release
    assert shared.vault.open(request, release.to_bytes())[0].ok


@pytest.mark.parametrize("suite", SUITES)
def test_a_restarted_process_opens_what_the_one_before_sealed(
    suite: str, tmp_path: Path, softhsm_uri: str
) -> None:
    groups = {"cardiology": ["weber", "kim"]}
    with world_on_softhsm(tmp_path, softhsm_uri, groups=groups) as world:
        sealed = world.vault.seal("kept", to=world.ward, context=DIAGNOSIS, suite=suite)
        world.vault.close()
        with world.another_vault() as vault:
            request = vault.request([(DIAGNOSIS, sealed.to_bytes())])
            assert vault.open(request, world.kim.release(request))[0].text().reveal() == "kept"
