"""Records that were proved before are not verified again; who may author is looked at each time."""

from __future__ import annotations

from typing import Any

import pytest

from tests.server.world import DIAGNOSIS, PATIENT, World
from twinlock import Vault
from twinlock.core.membership import Policy
from twinlock.core.primitives import signing_key_from_seed
from twinlock.core.secret import Secret
from twinlock.server import records
from twinlock.server.memory import Proved, ReadMemory, memory_key
from twinlock.server.records import SealedRow


@pytest.fixture
def verified(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The columns whose signature is checked, in order."""
    seen: list[str] = []
    real = records.verify_author

    def noting(head: Any, context: bytes, column: str, field: Any, writer: bytes) -> None:
        seen.append(column)
        real(head, context, column, field, writer)

    monkeypatch.setattr(records, "verify_author", noting)
    return seen


def codes(vault: Vault, *items: Any) -> list[str | None]:
    return [a.error.code if a.error else None for a in vault.request(items).asked]


def test_the_same_record_is_verified_once(memory: World, verified: list[str]) -> None:
    row = memory.vault.seal_row({"a": "1", "b": "2"}, to=memory.ward, context=PATIENT)
    value = memory.vault.seal("x", to=memory.ward, context=DIAGNOSIS)
    for _ in range(3):
        # As a database returns it: equal bytes, other objects.
        again = SealedRow(bytes(bytearray(row.head)), dict(row.cells))
        request = memory.asked((PATIENT, again), (DIAGNOSIS, bytes(bytearray(value.raw))))
        assert [o.ok for o in memory.opened(request)] == [True, True]
    assert verified == ["a", "b", "diagnosis"]


def test_other_bytes_contexts_and_choices_of_columns_are_verified_anew(
    memory: World, verified: list[str]
) -> None:
    """R-SIG-3."""
    row = memory.vault.seal_row({"a": "1", "b": "2"}, to=memory.ward, context=PATIENT)
    assert codes(memory.vault, (PATIENT, row)) == [None]
    damaged = {"a": row.cells["a"][:-1] + bytes([row.cells["a"][-1] ^ 1]), "b": row.cells["b"]}
    swapped = {"a": row.cells["b"], "b": row.cells["a"]}
    elsewhere = type(PATIENT)(table="patient", record="4712", version=3)
    for _ in range(2):
        assert (
            codes(
                memory.vault,
                (PATIENT, SealedRow(row.head, damaged)),
                (PATIENT, SealedRow(row.head, swapped)),
                (elsewhere, row),
            )
            == ["data.not-authentic"] * 3
        )
    verified.clear()
    assert codes(memory.vault, (PATIENT, SealedRow(row.head, {"b": row.cells["b"]}))) == [None]
    assert verified == ["b"]


def test_a_writer_who_was_taken_out_of_the_log_is_not_remembered(memory: World) -> None:
    """R-SRV-2."""
    value = memory.vault.seal("x", to=memory.ward, context=DIAGNOSIS)
    assert codes(memory.vault, (DIAGNOSIS, value)) == [None]
    other = signing_key_from_seed(Secret(bytes(31) + b"\1"))
    agent = memory.weber.agent
    from twinlock.core.membership import Writer

    proposal = agent.admin.set_writers(memory.ward.group_id, [Writer("other", other.public)])
    memory.vault.append(proposal)
    assert codes(memory.vault, (DIAGNOSIS, value)) == ["data.not-authentic"]


def test_a_policy_that_became_stricter_is_not_forgotten(memory: World) -> None:
    """R-SRV-2."""
    from twinlock.core.ports import OuterSuite

    value = memory.vault.seal("x", to=memory.ward, context=DIAGNOSIS, suite="rsa-oaep")
    assert codes(memory.vault, (DIAGNOSIS, value)) == [None]
    policy = Policy(outer_suites=frozenset({OuterSuite.TOKEN_AES}))
    memory.vault.append(memory.weber.agent.admin.set_policy(memory.ward.group_id, policy))
    assert codes(memory.vault, (DIAGNOSIS, value)) == ["data.not-authentic"]


def proved(size: int) -> Proved:
    prepared: Any = object()
    return Proved(prepared, b"writer", size)


def test_the_memory_is_bounded_and_the_least_used_goes_first() -> None:
    memory = ReadMemory(limit=100)
    for name in (b"a", b"b"):
        memory.keep(name, proved(50))
    memory.recall(b"a")
    memory.keep(b"c", proved(30))
    assert [memory.recall(name) is not None for name in (b"a", b"b", b"c")] == [True, False, True]
    memory.keep(b"c", proved(50))
    memory.keep(b"huge", proved(101))
    assert [memory.recall(name) is not None for name in (b"a", b"c", b"huge")] == [
        True,
        True,
        False,
    ]
    assert len(memory) == 2


def test_keys_of_other_cuts_of_the_same_bytes_differ() -> None:
    cuts = [(b"ab", b"c"), (b"a", b"bc"), (b"abc",), (b"abc", b"")]
    assert len({memory_key(cut) for cut in cuts}) == len(cuts)
