"""Rotating hardening and verifier keys: who needs which, retiring, relocking, destroying."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.server.world import World, world_in_memory, world_on_softhsm
from twinlock.agent.agent import Agent
from twinlock.agent.factors import DeviceKey, Password
from twinlock.agent.recovery import RecoveryCode
from twinlock.agent.renewal import is_outdated, renew
from twinlock.agent.scram import Scram
from twinlock.agent.ways import NewWay
from twinlock.core.member_change import Login
from twinlock.core.ports import KeyRole
from twinlock.core.secret import Secret
from twinlock.errors import EnvError, TwinlockError
from twinlock.server.own_services import VaultHardening
from twinlock.server.rotation import dependents, destroy, relock_verifiers, retire
from twinlock.server.scram import ScramLogin
from twinlock.server.setup import add_hardening_key, add_verifier_key, deployment_card
from twinlock.store.directory import DirectoryStore

WORDS = "correct horse battery staple"
DAY = 86400


@pytest.fixture
def world() -> Iterator[World]:
    with world_in_memory() as found:
        yield found


def code_of(call, *arguments, **named) -> str:
    with pytest.raises(TwinlockError) as caught:
        call(*arguments, **named)
    return caught.value.code


def made(world: World, add) -> bytes:
    world.clock.now += 1
    vault = world.vault
    key = add(vault.store, vault.token, world.config, now=world.clock())
    vault.read_directory_again()
    return key.kid


def password_of(world: World, text: str = WORDS) -> Password:
    return Password(
        text,
        deployment=deployment_card(world.config),
        service=VaultHardening(world.vault, b"kim"),
        clock=world.clock,
    )


def with_password(world: World) -> tuple[bytes, Agent]:
    kid, agent = made(world, add_hardening_key), world.kim.agent
    agent.ways.enrol(NewWay([password_of(world)], "words"), send=world.vault.members.accept)
    return kid, agent


def needed(world: World) -> dict[bytes, tuple[str, ...]]:
    return {d.entry.key.kid: d.names for d in dependents(world.vault)}


def test_members_harden_anew_at_their_next_unlock(world: World) -> None:
    """R-ROTATE-1, R-ROTATE-2: the old key serves until then, and nothing new."""
    old, agent = with_password(world)
    assert not renew(agent, [password_of(world)], send=world.vault.members.accept)
    new = made(world, add_hardening_key)
    retire(world.vault, old, until=world.clock() + 30 * DAY)
    assert needed(world) == {old: ("kim",), new: ()}
    for account in range(20):
        assert world.vault.hardening.offer(b"%d" % account).kid == new
    words = password_of(world)
    name, folder = "kim", world.founding.folder
    with Agent.unlock(name, words, home=folder, clock=world.clock) as unlocked:
        world.founding.follow(unlocked)
        assert renew(unlocked, [words], send=world.vault.members.accept)
        assert not renew(unlocked, [words], send=world.vault.members.accept)
        assert [way.listed.label for way in unlocked.ways.all()] == ["", "words"]
    assert needed(world) == {old: (), new: ("kim",)}
    destroy(world.vault, old)
    assert needed(world) == {new: ("kim",)}
    with Agent.unlock(name, password_of(world), home=folder, clock=world.clock):
        pass


@pytest.mark.parametrize("logs_in", [True, False])
def test_a_split_login_follows_the_new_enrolment(world: World, logs_in: bool) -> None:
    """R-ROTATE-2, R-WAYS-5: if there is one; none is made by the way."""
    old, agent = with_password(world)
    if logs_in:
        known = [Login("split", b"v" * 32)]
        code = NewWay([RecoveryCode.create()[0]])
        world.founding.follow(agent)
        agent.ways.enrol(code, logins=known, send=world.vault.members.accept)
    made(world, add_hardening_key)
    retire(world.vault, old, until=world.clock() + DAY)
    words = password_of(world)
    with Agent.unlock("kim", words, home=world.founding.folder, clock=world.clock) as unlocked:
        world.founding.follow(unlocked)
        assert is_outdated(unlocked, [words])
        renew(unlocked, [words], send=world.vault.members.accept)
        assert not is_outdated(unlocked, [words])
        (enrolment,) = [e for e in unlocked.ways.state.enrolments if "password" in e.kinds]
        expected = [words.new_login(enrolment)] if logs_in else []
        assert world.vault.members.logins("kim", "split") == expected


def test_a_renewal_that_does_not_arrive_changes_nothing(world: World) -> None:
    """R-ROTATE-2: the old enrolment counts until the server has the new one."""
    old, agent = with_password(world)
    made(world, add_hardening_key)
    retire(world.vault, old, until=world.clock() + DAY)

    def lost(_change: bytes) -> None:
        raise ConnectionError

    with pytest.raises(ConnectionError):
        renew(agent, [password_of(world)], send=lost)
    with Agent.unlock("kim", password_of(world), home=world.founding.folder, clock=world.clock):
        pass


def test_a_key_ends_when_it_was_stated_to_end(world: World) -> None:
    """R-ROTATE-1: whoever did not come has to use another way in."""
    old, _ = with_password(world)
    made(world, add_hardening_key)
    retire(world.vault, old, until=world.clock() + DAY)
    world.clock.now += 2 * DAY
    world.vault.read_directory_again()
    folder = world.founding.folder
    refused = code_of(Agent.unlock, "kim", password_of(world), home=folder, clock=world.clock)
    assert refused == "directory.no-hardening-key"
    with Agent.unlock("kim", DeviceKey(folder / "kim.key"), home=folder, clock=world.clock):
        pass


def test_another_bucket_moves_only_its_share_of_the_accounts(world: World) -> None:
    """R-ROTATE-3: rendezvous hashing."""
    first, second = made(world, add_hardening_key), made(world, add_hardening_key)
    accounts = [b"%d" % number for number in range(300)]
    before = {account: world.vault.hardening.offer(account).kid for account in accounts}
    third = made(world, add_hardening_key)
    after = {account: world.vault.hardening.offer(account).kid for account in accounts}
    moved = {account for account in accounts if before[account] != after[account]}
    assert {after[account] for account in moved} == {third}
    assert set(after.values()) == {first, second, third}
    assert 50 < len(moved) < 150


@pytest.mark.parametrize("case", ["unknown", "log key", "last", "too late", "too early"])
def test_not_every_key_can_retire(world: World, case: str) -> None:
    """R-ROTATE-1: only keys of passwords and verifiers, and never the last one."""
    kid = made(world, add_hardening_key)
    until = world.clock() + DAY
    if case == "last":
        assert code_of(retire, world.vault, kid, until=until) == "directory.last-key"
        return
    made(world, add_hardening_key)
    if case in ("too late", "too early"):
        when = 2**40 if case == "too late" else 0
        assert code_of(retire, world.vault, kid, until=when) == "directory.retire-when"
        return
    other = bytes(16) if case == "unknown" else world.vault.directory.current(KeyRole.LOG).kid
    assert code_of(retire, world.vault, other, until=until) == "directory.no-such-key"
    assert code_of(destroy, world.vault, other) == "directory.no-such-key"


def test_a_key_that_somebody_needs_is_destroyed_only_by_naming_them(world: World) -> None:
    """R-ROTATE-4: never by the way."""
    old, _ = with_password(world)
    made(world, add_hardening_key)
    assert code_of(destroy, world.vault, old) == "directory.not-retiring"
    retire(world.vault, old, until=world.clock() + DAY)
    assert code_of(destroy, world.vault, old) == "directory.in-use"
    assert code_of(destroy, world.vault, old, losing=frozenset({"weber"})) == "directory.in-use"
    destroy(world.vault, old, losing=frozenset({"kim"}))
    assert code_of(world.vault.token.evaluate, old, []) == "token.key-not-loaded"
    folder = world.founding.folder
    refused = code_of(Agent.unlock, "kim", password_of(world), home=folder, clock=world.clock)
    assert refused == "directory.no-hardening-key"


@pytest.mark.parametrize("fails", ["store", "token"])
def test_a_key_that_was_half_destroyed_keeps_no_server_from_starting(
    world: World, monkeypatch: pytest.MonkeyPatch, fails: str
) -> None:
    """R-ROTATE-4: the directory never states what is gone."""
    old, new = made(world, add_hardening_key), made(world, add_hardening_key)
    retire(world.vault, old, until=world.clock() + DAY)

    def failing(*_: object) -> None:
        raise EnvError(f"{fails}.failed", "It failed.", hint="Try again.")

    with monkeypatch.context() as patched:
        if fails == "store":
            patched.setattr(DirectoryStore, "forget", failing)
        else:
            patched.setattr(world.vault.token, "destroy_key", failing)
        assert code_of(destroy, world.vault, old) == f"{fails}.failed"
    again = world.another_vault()
    assert again.token.evaluate(new, []) == []
    if fails == "store":
        assert again.token.evaluate(old, []) == []
        destroy(again, old)
    assert [d.entry.key.kid for d in dependents(again)] == [new]


def test_verifiers_are_locked_anew_and_still_sign_in(world: World) -> None:
    """R-ROTATE-5: safe to repeat; the old key goes when nobody needs it."""
    old = made(world, add_verifier_key)
    scram = Scram("pencil and paper")
    text = scram.new_verifier().to_text().reveal()
    key = DeviceKey.create(world.founding.folder / "scram.key")
    world.kim.agent.ways.enrol(
        NewWay([scram, key]), logins=[Login("scram", text)], send=world.vault.members.accept
    )
    new = made(world, add_verifier_key)
    retire(world.vault, old, until=world.clock() + DAY)
    assert needed(world)[old] == ("kim",)
    seen: list[int] = []
    assert relock_verifiers(world.vault, on_done=lambda: seen.append(1)) == 1
    assert relock_verifiers(world.vault) == 0
    assert (len(seen), needed(world)) == (1, {old: (), new: ("kim",)})
    destroy(world.vault, old)
    login = ScramLogin.of(world.vault, unknown=Secret(bytes(32)))

    class Service:
        def first(self, message: str) -> str:
            find = world.vault.members.logins
            self.session = login.begin(message, lambda name: find(name, "scram")[0])
            return self.session.server_first

        def final(self, message: str) -> str:
            return self.session.finish(message)

    scram.meet("kim", Service())


def test_a_key_is_destroyed_in_the_real_token(tmp_path: Path, softhsm_uri: str) -> None:
    """R-ROTATE-4: both halves, and it does not come back after a restart."""
    with world_on_softhsm(tmp_path, softhsm_uri) as world:
        old, new = made(world, add_hardening_key), made(world, add_hardening_key)
        retire(world.vault, old, until=world.clock() + DAY)
        destroy(world.vault, old)
        again = world.another_vault()
        try:
            kids = {e.key.kid for e in again.directory.entries}
            assert new in kids
            assert old not in kids
            assert len(again.token.evaluate(new, [])) == 0
            assert code_of(again.token.evaluate, old, []) == "token.key-not-loaded"
            assert code_of(again.token.destroy_key, old) == "token.key-not-loaded"
        finally:
            again.close()
