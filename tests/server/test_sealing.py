"""What the vault seals, for whom, under which key, and what it refuses to seal."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.server.forging import execute
from tests.server.world import DIAGNOSIS, LETTER, PATIENT, SUITES, World, world_in_memory
from twinlock import AllOf, CallerError, Context, DataError, TwinlockError, Vault
from twinlock.core.envelope import decode_row_head, decode_value
from twinlock.core.membership import Policy
from twinlock.core.ports import KeyRole, OuterSuite
from twinlock.server.config import accept_suites
from twinlock.server.groups import Group
from twinlock.server.pins import MemoryPins
from twinlock.server.sealing import AES_SEAL_LIMIT, SEAL_BLOCK
from twinlock.server.setup import add_wrapping_key
from twinlock.server.token_side import DIRECTORY_LIFE
from twinlock.testing import MemoryToken, memory_vault


@pytest.fixture(scope="module")
def shared() -> Iterator[World]:
    with world_in_memory() as made:
        yield made


REFUSED = {
    "a value without a column": (
        lambda v, w: v.seal("x", to=w.ward, context=PATIENT),
        "context.column",
    ),
    "a row with a column": (
        lambda v, w: v.seal_row({"a": "x"}, to=w.ward, context=DIAGNOSIS),
        "context.row",
    ),
    "a row without a cell": (
        lambda v, w: v.seal_row({}, to=w.ward, context=PATIENT),
        "context.row",
    ),
    "a file without a column": (
        lambda v, w: v.seal_file([b"x"], "/nonexistent", to=w.ward, context=PATIENT),
        "context.column",
    ),
    "for nobody": (lambda v, w: v.seal("x", to=[], context=DIAGNOSIS), "lock.targets"),
    "for seventeen groups": (
        lambda v, w: v.seal("x", to=[w.ward] * 17, context=DIAGNOSIS),
        "lock.targets",
    ),
    "for one group together": (
        lambda v, w: v.seal("x", to=AllOf(w.ward), context=DIAGNOSIS),
        "lock.groups",
    ),
    "for one group twice together": (
        lambda v, w: v.seal("x", to=AllOf(w.ward, w.ward), context=DIAGNOSIS),
        "lock.groups",
    ),
    "for a group unheard of": (
        lambda v, w: v.seal("x", to=Group("ghosts", bytes(32)), context=DIAGNOSIS),
        "group.unknown",
    ),
    "under an unknown suite": (
        lambda v, w: v.seal("x", to=w.ward, context=DIAGNOSIS, suite="rot13"),
        "suite.unknown-name",
    ),
    "a number": (lambda v, w: v.seal(42, to=w.ward, context=DIAGNOSIS), "seal.type"),
    "nothing at all": (lambda v, w: v.seal(None, to=w.ward, context=DIAGNOSIS), "seal.type"),
    "a value too large to hold": (
        lambda v, w: v.seal(bytes(16 << 20), to=w.ward, context=DIAGNOSIS),
        "seal.too-large",
    ),
}


@pytest.mark.parametrize("case", sorted(REFUSED))
def test_what_cannot_be_sealed_is_refused(shared: World, case: str) -> None:
    attempt, code = REFUSED[case]
    with pytest.raises(TwinlockError) as caught:
        attempt(shared.vault, shared)
    assert caught.value.code == code


def test_a_vault_without_a_writer_key_only_opens(memory: World) -> None:
    pins = MemoryPins()
    for pin in memory.vault._groups._pins.all().values():
        pins.advance(pin)
    reader = Vault(
        memory.config,
        memory.vault.store,
        memory.vault._held.connect,
        pins=pins,
        writer=None,
        clock=memory.clock,
    )
    with pytest.raises(CallerError) as caught:
        reader.seal("x", to=memory.ward, context=DIAGNOSIS)
    assert caught.value.code == "writer.missing"
    request = reader.request(
        [(DIAGNOSIS, memory.vault.seal("x", to=memory.ward, context=DIAGNOSIS))]
    )
    assert reader.open(request, memory.kim.release(request))[0].ok


def test_a_group_that_does_not_accept_a_suite_gets_no_record_of_it() -> None:
    policy = Policy(outer_suites=frozenset({OuterSuite.TOKEN_AES}))
    with world_in_memory(policy=policy) as world:
        with pytest.raises(CallerError) as caught:
            world.vault.seal("x", to=world.ward, context=DIAGNOSIS)
        assert caught.value.code == "suite.group-refuses"
        assert world.opened(world.asked_for(suite="token-aes"))[0].ok


def test_a_row_cannot_choose_a_suite_that_the_deployment_does_not_accept(memory: World) -> None:
    sealed = memory.vault.seal("x", to=memory.ward, context=DIAGNOSIS)
    strict = memory.another_vault()
    strict._config = replace(memory.config, accept=frozenset({OuterSuite.TOKEN_AES}))
    [asked] = strict.request([(DIAGNOSIS, sealed)]).asked
    assert asked.error is not None
    assert asked.error.code == "suite.not-accepted"


def test_a_suite_without_a_key_is_said_to_have_none(tmp_path: Path) -> None:
    with memory_vault() as made:
        config = dataclasses.replace(made.config, accept=accept_suites(["token-aes"]))
        vault = Vault(
            config,
            made.vault.store,
            made.token.reconnect,
            pins=MemoryPins(),
            writer=made.founding.writer,
        )
        with pytest.raises(CallerError) as caught:
            vault.seal("x", to=[], context=DIAGNOSIS, suite="rsa-oaep")
    assert caught.value.code == "suite.no-key"


def test_sealing_with_rsa_needs_no_token(memory: World) -> None:
    def no_token() -> MemoryToken:
        raise CallerError("token.not-found", "There is no token.", hint="Plug it in.")

    vault = memory.another_vault()
    vault._held.connect = no_token
    sealed = vault.seal("x", to=memory.ward, context=DIAGNOSIS)
    vault.seal_row({"a": "x"}, to=memory.ward, context=PATIENT)
    assert memory.opened(memory.asked((DIAGNOSIS, sealed)))[0].ok
    with pytest.raises(CallerError) as caught:
        vault.seal("x", to=memory.ward, context=DIAGNOSIS, suite="token-aes")
    assert caught.value.code == "token.not-found"


@pytest.mark.parametrize("suite", SUITES)
def test_nothing_is_sealed_twice_the_same(shared: World, suite: str) -> None:
    seals = [
        shared.vault.seal("x", to=shared.ward, context=DIAGNOSIS, suite=suite).to_bytes()
        for _ in range(2)
    ]
    (one, field), (other, other_field) = map(decode_value, seals)
    assert one.core.dek_id != other.core.dek_id
    assert one.header.commitment != other.header.commitment
    assert one.outer != other.outer
    assert field.prefix != other_field.prefix
    assert len(seals[0]) == len(seals[1])


def test_a_sealed_value_is_not_compared_and_has_no_truth(shared: World) -> None:
    sealed = shared.vault.seal("x", to=shared.ward, context=DIAGNOSIS)
    for use in (lambda: sealed == b"", lambda: bool(sealed), lambda: hash(sealed)):
        with pytest.raises(TypeError):
            use()


def test_a_file_that_cannot_be_sealed_leaves_nothing(shared: World, tmp_path: Path) -> None:
    def broken() -> Iterator[bytes]:
        yield bytes(50_000)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        shared.vault.seal_file(broken(), tmp_path / "x", to=shared.ward, context=LETTER)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("suite", SUITES)
def test_many_rows_are_sealed_one_by_one(shared: World, suite: str) -> None:
    contexts = [replace(PATIENT, record=number) for number in range(5)]
    rows = ((context, {"a": f"{context.record}"}) for context in contexts)
    sealed = list(shared.vault.seal_rows(rows, 5, to=shared.ward, suite=suite))
    assert len({decode_row_head(row.head).core.dek_id for row in sealed}) == 5
    opened = shared.opened(shared.asked(*zip(contexts, sealed, strict=True)))
    assert [o.text("a").reveal() for o in opened] == list("01234")


def test_more_rows_than_announced_are_refused(shared: World) -> None:
    rows = [(replace(PATIENT, record=number), {"a": "x"}) for number in range(3)]
    sealing = shared.vault.seal_rows(rows, 2, to=shared.ward)
    assert next(sealing)
    assert next(sealing)
    with pytest.raises(CallerError) as caught:
        next(sealing)
    assert caught.value.code == "seal.count"


# --- keys that wear out and keys that come -------------------------------------------------------


def counted(world: World) -> int:
    key = world.vault.directory.current(KeyRole.WRAPPING, OuterSuite.TOKEN_AES)
    return world.vault.store.counters.value(f"seals/{key.kid.hex()}")


def use_up(world: World, left: int) -> None:
    key = world.vault.directory.current(KeyRole.WRAPPING, OuterSuite.TOKEN_AES)
    name = f"seals/{key.kid.hex()}"
    used = world.vault.store.counters.value(name)
    world.vault.store.counters.add(name, AES_SEAL_LIMIT - left - used, AES_SEAL_LIMIT)


def seal_aes(world: World, vault: Vault | None = None) -> bytes:
    sealed = (vault or world.vault).seal("x", to=world.ward, context=DIAGNOSIS, suite="token-aes")
    return sealed.to_bytes()


def test_seals_under_an_aes_key_are_counted_before_they_are_made(memory: World) -> None:
    for _ in range(SEAL_BLOCK):
        seal_aes(memory)
    assert counted(memory) == SEAL_BLOCK
    seal_aes(memory)
    assert counted(memory) == 2 * SEAL_BLOCK
    memory.vault.seal("x", to=memory.ward, context=DIAGNOSIS, suite="rsa-oaep")
    assert counted(memory) == 2 * SEAL_BLOCK


def test_an_aes_key_is_not_used_beyond_its_limit_by_any_process(memory: World) -> None:
    """R-OUTER-7."""
    use_up(memory, left=SEAL_BLOCK)
    other = memory.another_vault()
    for _ in range(SEAL_BLOCK):
        seal_aes(memory)
    for vault in (memory.vault, other):
        with pytest.raises(CallerError) as caught:
            seal_aes(memory, vault)
        assert caught.value.code == "token.key-exhausted"
    assert counted(memory) == AES_SEAL_LIMIT
    assert memory.vault.seal("x", to=memory.ward, context=DIAGNOSIS, suite="rsa-oaep").to_bytes()


def test_rows_that_were_announced_are_counted_at_once(memory: World) -> None:
    rows = ((replace(PATIENT, record=n), {"a": "x"}) for n in range(10))
    sealing = memory.vault.seal_rows(rows, 10, to=memory.ward, suite="token-aes")
    assert counted(memory) == 10
    assert len(list(sealing)) == 10
    assert counted(memory) == 10
    use_up(memory, left=9)
    with pytest.raises(CallerError) as caught:
        memory.vault.seal_rows(iter(()), 10, to=memory.ward, suite="token-aes")
    assert caught.value.code == "token.key-exhausted"


def _added(world: World, suite: OuterSuite) -> bytes:
    """Another process, the administrator's, makes a wrapping key."""
    world.clock.forward(1)
    with_token = world.another_vault()
    key = add_wrapping_key(
        world.vault.store,
        with_token.token,
        world.config,
        suite,
        rsa_bits=2048,
        now=world.clock(),
    )
    return key.kid


@pytest.mark.parametrize("suite", [OuterSuite.TOKEN_AES, OuterSuite.RSA_OAEP_SHA256])
def test_a_new_wrapping_key_is_used_within_a_minute(memory: World, suite: OuterSuite) -> None:
    name = "token-aes" if suite is OuterSuite.TOKEN_AES else "rsa-oaep"

    def sealed_under() -> bytes:
        sealed = memory.vault.seal("x", to=memory.ward, context=DIAGNOSIS, suite=name)
        return decode_value(sealed.to_bytes())[0].header.wrapping_kid

    old = sealed_under()
    memory.opened(memory.asked_for(suite=name))
    new = _added(memory, suite)
    assert old != new
    assert sealed_under() == old
    memory.clock.forward(DIRECTORY_LIFE)
    assert sealed_under() == new
    assert memory.opened(memory.asked_for(suite=name))[0].ok


def test_a_record_under_a_key_that_is_newer_than_the_process_opens_at_once(memory: World) -> None:
    old = memory.vault.seal("old", to=memory.ward, context=DIAGNOSIS)
    memory.opened(memory.asked((DIAGNOSIS, old)))
    new = _added(memory, OuterSuite.TOKEN_AES)
    fresh = memory.another_vault().seal("new", to=memory.ward, context=DIAGNOSIS, suite="token-aes")
    assert decode_value(fresh.to_bytes())[0].header.wrapping_kid == new
    opened = memory.opened(memory.asked((DIAGNOSIS, old), (DIAGNOSIS, fresh)))
    assert [o.text().reveal() for o in opened] == ["old", "new"]


def test_an_exhausted_key_is_replaced_without_a_restart(memory: World) -> None:
    use_up(memory, left=0)
    with pytest.raises(CallerError):
        seal_aes(memory)
    _added(memory, OuterSuite.TOKEN_AES)
    memory.clock.forward(DIRECTORY_LIFE)
    assert memory.opened(memory.asked((DIAGNOSIS, seal_aes(memory))))[0].ok


def test_a_directory_that_was_replaced_while_the_server_runs_is_refused(memory: World) -> None:
    memory.opened(memory.asked_for())
    execute(memory, "UPDATE twinlock_statements SET signature = :s", s=bytes(64))
    memory.clock.forward(DIRECTORY_LIFE)
    with pytest.raises(DataError) as caught:
        memory.asked_for()
    assert caught.value.code == "data.not-authentic"


@pytest.mark.parametrize("text", ["", "e\u0301"])
def test_a_context_is_checked_when_it_is_made(text: str) -> None:
    with pytest.raises(CallerError):
        Context(table=text, record=1, column="c")
