"""``AsyncVault`` is the vault under the same names, and never blocks the event loop."""

from __future__ import annotations

import asyncio
import inspect
import threading
from collections.abc import Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.server.world import DIAGNOSIS, LETTER, PATIENT, World, world_on_softhsm
from twinlock import AllOf, AsyncVault, CallerError, DataError, SealedFile, Vault
from twinlock.agent.recovery import RecoveryCode
from twinlock.agent.ways import NewWay
from twinlock.core.primitives import agreement_key, p256_point
from twinlock.server.asynchronous_parts import AsyncHardening, AsyncMembers, AsyncVerifiers
from twinlock.server.hardening import Hardening
from twinlock.server.members import Members
from twinlock.server.setup import add_hardening_key
from twinlock.server.verifiers import VerifierLocks


def public(kind: type) -> dict[str, Callable[..., Any]]:
    return {
        name: value.__func__ if isinstance(value, classmethod) else value
        for name, value in vars(kind).items()
        if not name.startswith("_")
        and (inspect.isfunction(value) or isinstance(value, classmethod))
    }


def test_both_vaults_have_the_same_names() -> None:
    sync, asynchronous = public(Vault), public(AsyncVault)
    assert set(sync) <= set(asynchronous)
    # Request is made of both kinds of calls: what of it waits has its twin here.
    assert set(asynchronous) - set(sync) == {"bind", "assist", "run"}


@pytest.mark.parametrize("name", sorted(public(Vault)))
def test_both_take_the_same_arguments(name: str) -> None:
    sync, asynchronous = (inspect.signature(public(k)[name]) for k in (Vault, AsyncVault))
    assert list(sync.parameters) == list(asynchronous.parameters)
    for one, other in zip(sync.parameters.values(), asynchronous.parameters.values(), strict=True):
        assert (one.kind, one.default) == (other.kind, other.default)
    assert inspect.iscoroutinefunction(public(AsyncVault)[name])


def run(work: Coroutine[Any, Any, None]) -> None:
    asyncio.run(work)


@asynccontextmanager
async def vault_of(world: World):
    """The world's vault, asynchronous; it is not closed, since others use it."""
    vault = AsyncVault(world.vault)
    try:
        yield vault
    finally:
        await asyncio.to_thread(vault._executor.shutdown)


def test_everything_works_with_await(world: World, tmp_path: Path) -> None:
    async def work() -> None:
        async with vault_of(world) as vault:
            ward = await vault.group("cardiology")
            value = await vault.seal("x", to=ward, context=DIAGNOSIS)
            row = await vault.seal_row({"a": "1"}, to=[ward], context=PATIENT)
            request = await vault.request([(DIAGNOSIS, value), (PATIENT, row)])
            bundle = await vault.bind(request, world.kim.hello())
            opened = await vault.open(request, world.kim.release(bundle))
            assert [o.ok for o in opened] == [True, True]
            path, plain = tmp_path / "letter.twl", tmp_path / "letter"
            await vault.seal_file([b"dear"], path, to=ward, context=LETTER)
            asked = await vault.request([(LETTER, SealedFile(path))])
            bundle = await vault.bind(asked, world.kim.hello())
            await vault.open_file(asked, world.kim.release(bundle), plain)
            assert plain.read_bytes() == b"dear"
            state = await vault.group_state(ward)
            assert (await vault.group_states())[ward.group_id] == state
            assert (await vault.verify_audit()).problems == []
            assert vault.vault is world.vault

    run(work())


def test_and_locks_and_groups_work_with_await(memory: World) -> None:
    async def work() -> None:
        async with vault_of(memory) as vault:
            both = AllOf(memory.ward, memory.groups["data-office"])
            sealed = await vault.seal("x", to=both, context=DIAGNOSIS)
            request = await vault.request([(DIAGNOSIS, sealed)])
            bundle = await vault.bind(request, memory.kim.hello())
            assisting = await vault.assist(request, memory.officer.hello(), bundle)
            share = memory.officer.agent.help_with(assisting)
            opened = await vault.open(request, memory.kim.release(bundle, shares=[share]))
            assert opened[0].ok
            agent = memory.officer.agent
            office = memory.groups["data-office"]
            after = await vault.append(agent.admin.new_epoch(office.group_id))
            assert after.current_epoch.number == 2
            assert await vault.trust_group(after.pin) == after
            agent.follow(await vault.group_bundle(agent.hello()))

    run(work())


def test_errors_arrive_as_they_are(memory: World) -> None:
    async def work() -> None:
        async with vault_of(memory) as vault:
            with pytest.raises(CallerError) as unknown:
                await vault.group("unknown")
            assert unknown.value.code == "group.unknown"
            request = memory.asked_for()
            release = memory.kim.release(request)
            await vault.open(request, release)
            with pytest.raises(DataError) as replayed:
                await vault.open(request, release)
            assert replayed.value.code == "release.replayed"

    run(work())


def test_a_token_that_hangs_does_not_hold_up_the_event_loop(
    memory: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    token, reached, proceed = memory.vault.token, threading.Event(), threading.Event()
    real = token.opening

    def hanging(kid: bytes, block: bytes):
        reached.set()
        assert proceed.wait(60)
        return real(kid, block)

    monkeypatch.setattr(token, "opening", hanging)

    async def work() -> None:
        async with vault_of(memory) as vault:
            request = memory.asked_for()
            release = memory.kim.release(request)
            opening = asyncio.create_task(vault.open(request, release))
            while not reached.is_set():
                assert not opening.done(), opening.exception()
                await asyncio.sleep(0)
            # The token hangs now; the loop still runs, and other calls are served.
            assert (await vault.seal("y", to=memory.ward, context=DIAGNOSIS)).to_bytes()
            assert not opening.done()
            proceed.set()
            assert (await opening)[0].ok

    run(work())


def test_no_more_calls_run_at_once_than_the_token_has_sessions(memory: World) -> None:
    inside, most, lock = 0, 0, threading.Lock()
    enough = threading.Barrier(memory.config.sessions)

    def slow() -> None:
        nonlocal inside, most
        with lock:
            inside += 1
            most = max(most, inside)
        enough.wait(60)
        with lock:
            inside -= 1

    async def work() -> None:
        async with vault_of(memory) as vault:
            await asyncio.gather(*(vault.run(slow) for _ in range(memory.config.sessions * 3)))

    run(work())
    assert most == memory.config.sessions


def test_it_connects_and_closes_by_its_configuration(tmp_path: Path, softhsm_uri: str) -> None:
    with world_on_softhsm(tmp_path, softhsm_uri, groups={"cardiology": ["weber"]}) as world:

        async def work() -> None:
            async with await AsyncVault.connect(tmp_path / "twinlock.toml") as vault:
                ward = await vault.group("cardiology")
                sealed = await vault.seal("x", to=ward, context=DIAGNOSIS, suite="token-aes")
                world.clock.now = vault.vault._clock()
                request = await vault.request([(DIAGNOSIS, sealed)])
                bundle = await vault.bind(request, world.weber.hello())
                assert (await vault.open(request, world.weber.release(bundle)))[0].ok

        run(work())


@pytest.mark.parametrize(
    "kinds",
    [(Hardening, AsyncHardening), (Members, AsyncMembers), (VerifierLocks, AsyncVerifiers)],
    ids=lambda kinds: kinds[0].__name__,
)
def test_the_parts_have_the_same_names_and_arguments(kinds: tuple[type, type]) -> None:
    sync, asynchronous = (public(kind) for kind in kinds)
    assert set(sync) == set(asynchronous)
    for name in sync:
        one, other = (inspect.signature(kind[name]) for kind in (sync, asynchronous))
        assert one.parameters.keys() == other.parameters.keys()
        assert inspect.iscoroutinefunction(asynchronous[name])


def test_members_ways_in_are_served_with_await(world: World) -> None:
    async def work() -> None:
        async with vault_of(world) as vault:
            agent = world.kim.agent
            code, _ = RecoveryCode.create()
            sent: list[bytes] = []
            agent.ways.enrol(NewWay([code]), send=sent.append)
            listed = await vault.members.accept(sent[0])
            assert listed.counter == agent.ways.state.list_counter
            full = await vault.members.full_bundle(agent.bundle_request())
            assert full == await vault.members.everything(agent.member_id)
            assert full != await vault.members.bundle("kim", ["recovery-code"])
            member = await vault.members.by_name("kim")
            assert member is not None
            assert member.member_id == agent.member_id
            assert await vault.members.logins("kim", "split") == []

    run(work())


def test_passwords_are_hardened_with_await(world: World) -> None:
    """R-HARD-4."""

    async def work() -> None:
        vault = world.vault
        key = add_hardening_key(vault.store, vault.token, vault.config, now=world.clock())
        world.clock.forward(120)
        async with vault_of(world) as waiting:
            offer = await waiting.hardening.offer(b"ayse")
            assert offer.kid == key.kid
            point = agreement_key(3)
            answers = await waiting.hardening.evaluate(
                offer.kid, point.public, point.public, account=b"ayse", source="here"
            )
        assert answers == (point.x_of(p256_point(key.public)),) * 2

    run(work())
