"""Old data through the vault: read by the old key while that is allowed, or given new locks."""

from __future__ import annotations

import asyncio
import dataclasses
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from tests.server.world import World
from tests.token.legacy import make_legacy_key, wrap_dek
from twinlock import AsyncVault, Context
from twinlock.core.adopted import LegacyCell, decode_adopted
from twinlock.core.adopting import LegacyKey
from twinlock.core.audit import AuditLine, decode_line
from twinlock.core.membership import ColumnState
from twinlock.core.ports import DekOrigin
from twinlock.errors import CallerError, DataError, TwinlockError
from twinlock.server.legacy import LegacyRow, LegacySource
from twinlock.server.records import AdoptedRow, SealedRow
from twinlock.server.sealing import AllOf

LEGACY, CUT_OVER = ColumnState
PLAIN = {"diagnosis": b"I48.0", "note": b""}


@dataclasses.dataclass
class Old:
    """An application's old table, and what of it the authority group says."""

    world: World
    key: LegacyKey
    table: str

    @property
    def vault(self):
        return self.world.vault

    def use(self, *, allow_host_dek: bool = False, key: LegacyKey | None = None) -> None:
        keys = {"old": key or self.key}
        self.vault.use_legacy(LegacySource(self.world.ward, keys, allow_host_dek))

    def set(self, state: ColumnState, *columns: str) -> None:
        admin = self.world.weber.agent
        for column in columns or PLAIN:
            proposal = admin.admin.set_column(self.world.ward.group_id, self.table, column, state)
            self.vault.append(proposal)
            self.world.founding.follow(admin)

    def context(self, record: int = 17) -> Context:
        return Context(table=self.table, record=record)

    def row(
        self,
        plain: Mapping[str, bytes] = PLAIN,
        *,
        dek: bytes | None = None,
        key: LegacyKey | None = None,
    ) -> LegacyRow:
        dek = dek or os.urandom(32)
        cells = {}
        for column, value in plain.items():
            nonce, aad = os.urandom(12), b"" if column == "note" else b"patient"
            cells[column] = LegacyCell(nonce, AESGCM(dek).encrypt(nonce, value, aad), aad)
        return LegacyRow(wrap_dek(key or self.key, dek), "old", cells)

    def rewrap(self, row: LegacyRow, record: int = 17, **options: object) -> bytes:
        [head] = self.vault.rewrap([(self.context(record), row, self.world.ward)], **options)
        assert isinstance(head, bytes), head
        return head

    def outcomes(self) -> list[str]:
        return [line.outcome for line in lines(self.world)]


def lines(world: World) -> list[AuditLine]:
    return [decode_line(stored.line) for stored in world.vault.store.audit.lines()]


@pytest.fixture(scope="module")
def keys() -> dict[str, LegacyKey]:
    return {}


@pytest.fixture
def old(request: pytest.FixtureRequest, world: World, keys: dict[str, LegacyKey]) -> Old:
    """A table of its own for each test, whose legacy rows are allowed."""
    token = world.vault.token
    if token.serial not in keys:
        keys[token.serial] = make_legacy_key(token)
    made = Old(world, keys[token.serial], f"patient {os.urandom(4).hex()}")
    made.use()
    made.set(LEGACY)
    return made


def texts(opened) -> dict[str, bytes]:
    return {column: opened.data(column).reveal() for column in opened.columns}


def code(error: TwinlockError | None) -> str | None:
    return error.code if error else None


@contextmanager
def refused(expected: str) -> Iterator[None]:
    with pytest.raises(TwinlockError) as caught:
        yield
    assert caught.value.code == expected


# --- rewrapped rows ----------------------------------------------------------------------------


@pytest.mark.parametrize("suite", ["rsa-oaep", "token-aes"])
def test_a_rewrapped_row_opens_with_a_members_release_and_its_old_ciphertexts(
    old: Old, suite: str
) -> None:
    """R-ADOPT-3, R-ADOPT-5: nothing of the row was written anew."""
    row = old.row()
    head = old.rewrap(row, suite=suite)
    assert decode_adopted(head).origin is DekOrigin.TOKEN
    request = old.world.asked((old.context(), AdoptedRow(head, row.cells)))
    [opened] = old.world.opened(request)
    assert texts(opened) == PLAIN


def test_adopted_and_native_records_open_in_one_request(old: Old) -> None:
    """R-OPEN-1: also beside a damaged one."""
    row = old.row()
    head = old.rewrap(row)
    native = old.vault.seal_row({"diagnosis": "I10"}, to=old.world.ward, context=old.context(18))
    broken = dataclasses.replace(row.cells["note"], aad=b"x")
    opened = old.world.opened(
        old.world.asked(
            (old.context(), AdoptedRow(head, row.cells)),
            (old.context(), AdoptedRow(head, {"note": broken})),
            (old.context(18), native),
        )
    )
    assert [code(o.error) for o in opened] == [None, "data.not-authentic", None]
    assert texts(opened[2]) == {"diagnosis": b"I10"}


def test_an_adopted_row_can_be_locked_to_groups_that_must_act_together(memory: World) -> None:
    """R-LOCK-4: an AND lock, for a row that nobody sealed."""
    old = Old(memory, make_legacy_key(memory.vault.token), "patient")
    old.use()
    old.set(LEGACY)
    row, both = old.row(), AllOf(memory.ward, memory.groups["data-office"])
    [head] = memory.vault.rewrap([(old.context(), row, both)])
    request = memory.asked((old.context(), AdoptedRow(head, row.cells)))
    bundle = request.bind(memory.kim.hello())
    with refused("release.share-missing"):
        memory.kim.release(bundle)
    share = memory.officer.agent.help_with(request.assist(memory.officer.hello(), bundle))
    [opened] = memory.vault.open(request, memory.kim.release(bundle, shares=[share]))
    assert texts(opened) == PLAIN


@pytest.mark.parametrize("case", ["row", "column", "content", "aad", "nonce", "cell-of-a-twin"])
def test_whatever_was_moved_or_changed_is_refused_before_anybody_is_asked(
    old: Old, case: str
) -> None:
    """R-ADOPT-2: by the writer's signature."""
    row, twin = old.row(), old.row()
    head = old.rewrap(row)
    cell = row.cells["diagnosis"]
    cells = {
        "row": row.cells,
        "column": {"note": cell},
        "content": {"diagnosis": dataclasses.replace(cell, ciphertext=cell.ciphertext[:-1])},
        "aad": {"diagnosis": dataclasses.replace(cell, aad=b"")},
        "nonce": {"diagnosis": dataclasses.replace(cell, nonce=bytes(12))},
        "cell-of-a-twin": {"diagnosis": twin.cells["diagnosis"]},
    }[case]
    context = old.context(99 if case == "row" else 17)
    request = old.world.asked((context, AdoptedRow(head, cells)))
    assert code(request.asked[0].error) == "data.not-authentic"


def test_a_row_that_a_stranger_signed_is_refused(old: Old) -> None:
    """R-ADOPT-2, R-SRV-2: its groups name the writers that count."""
    row = old.row()
    head = bytearray(old.rewrap(row))
    head[-10] ^= 1
    request = old.world.asked((old.context(), AdoptedRow(bytes(head), row.cells)))
    assert code(request.asked[0].error) == "data.not-authentic"


@pytest.mark.parametrize("native", [False, True], ids=["adopted-as-native", "native-as-adopted"])
def test_neither_kind_passes_for_the_other(old: Old, native: bool) -> None:
    """R-ADOPT-4."""
    row = old.row()
    sealed = old.vault.seal_row({"diagnosis": "x"}, to=old.world.ward, context=old.context())
    stored = (
        AdoptedRow(sealed.head, row.cells)
        if native
        else SealedRow(old.rewrap(row), dict(sealed.cells))
    )
    request = old.world.asked((old.context(), stored))
    assert code(request.asked[0].error) == "format.malformed"


def test_an_adopted_row_has_a_rows_context_and_cells(old: Old) -> None:
    row = old.row()
    head = old.rewrap(row)
    for context, cells in (
        (old.context(), {}),
        (Context(table=old.table, column="note", record=17), row.cells),
    ):
        with refused("context.row"):
            old.world.asked((context, AdoptedRow(head, cells)))


# --- rewrapping ----------------------------------------------------------------------------------


def test_damaged_rows_are_listed_and_the_others_rewrapped(old: Old) -> None:
    """R-ADOPT-6: nothing is signed that would not open."""
    good, other = old.row(), old.row()
    mixed = dataclasses.replace(good, wrapped_dek=other.wrapped_dek)
    foreign = dataclasses.replace(good, wrapped_dek=bytes(256))
    fernet = dataclasses.replace(good, cells={"note": LegacyCell(bytes(16), bytes(40))})
    rows = [(old.context(n), row, old.world.ward) for n, row in enumerate([mixed, good, foreign])]
    results = old.vault.rewrap([*rows, (old.context(), fernet, old.world.ward)])
    assert [r.code if isinstance(r, DataError) else "ok" for r in results] == [
        "legacy.content",
        "ok",
        "legacy.dek",
        "legacy.cell",
    ]


def test_a_rewrap_of_nothing_gives_nothing(old: Old) -> None:
    assert old.vault.rewrap([]) == []


def test_a_dek_that_came_into_the_host_is_marked_so(world: World) -> None:
    """R-ADOPT-5: for each row, signed."""
    key = make_legacy_key(world.vault.token, unwraps=False)
    old = Old(world, key, f"patient {os.urandom(4).hex()}")
    old.use()
    old.set(LEGACY)
    row = old.row()
    with refused("legacy.no-unwrap"):
        old.rewrap(row)
    old.use(allow_host_dek=True)
    head = old.rewrap(row)
    assert decode_adopted(head).origin is DekOrigin.HOST
    [opened] = old.world.opened(old.world.asked((old.context(), AdoptedRow(head, row.cells))))
    assert texts(opened) == PLAIN


def test_a_legacy_key_is_never_a_wrapping_key(old: Old) -> None:
    """R-ADOPT-7: not even an older one of the directory."""
    wrapping = next(key for key in old.vault.directory.wrapping_keys if key.public)
    old.use(key=LegacyKey(public=wrapping.public, cka_id=wrapping.kid))
    with refused("legacy.same-key"):
        old.rewrap(old.row())
    with refused("legacy.same-key"):
        old.rewrap(old.row(), suite="token-aes")


@pytest.mark.parametrize(
    ("act", "expected"),
    [
        (lambda old: old.vault.rewrap([(old.context(), unnamed(old), old.world.ward)]),
         "legacy.unknown-key"),
        (lambda old: old.vault.open_legacy([(old.context(), unnamed(old))]), "legacy.unknown-key"),
        (lambda old: old.vault.open_legacy([(Context(table="t", column="c", record=1), old.row())]),
         "context.row"),
        (lambda old: old.vault.open_legacy([(old.context(), old.row({}))]), "context.row"),
    ],
)  # fmt: skip
def test_what_the_application_got_wrong_is_said_for_the_whole_call(
    old: Old, act, expected: str
) -> None:
    with refused(expected):
        act(old)


def unnamed(old: Old) -> LegacyRow:
    return dataclasses.replace(old.row(), key="another")


def test_a_vault_that_was_told_of_no_old_data_takes_none(memory: World) -> None:
    for act in (
        lambda: memory.vault.open_legacy([]),
        lambda: memory.vault.rewrap([]),
        lambda: memory.vault.require_legacy("patient", ["note"]),
    ):
        with pytest.raises(CallerError) as caught:
            act()
        assert caught.value.code == "legacy.not-configured"


# --- legacy reading, and its end -----------------------------------------------------------------


def test_legacy_rows_open_with_the_old_key_and_no_member_while_that_is_allowed(old: Old) -> None:
    """R-ADOPT-8: one damaged row does not hide the others."""
    rows = [old.row({"diagnosis": b"%d" % n}) for n in range(3)]
    rows[1] = dataclasses.replace(rows[1], wrapped_dek=rows[0].wrapped_dek)
    opened = old.vault.open_legacy([(old.context(n), row) for n, row in enumerate(rows)])
    assert [code(o.error) for o in opened] == [None, "data.not-authentic", None]
    assert [texts(opened[n]) for n in (0, 2)] == [{"diagnosis": b"0"}, {"diagnosis": b"2"}]


@pytest.mark.parametrize("way", ["open", "rewrap"])
def test_after_the_cut_over_old_rows_are_refused_by_name_and_rewrapped_ones_open(
    old: Old, way: str
) -> None:
    """R-ADOPT-8: an old row from a backup is neither read nor signed anew."""
    from_backup = old.row()
    head = old.rewrap(from_backup)
    old.set(CUT_OVER, "diagnosis")
    if way == "open":
        [opened] = old.vault.open_legacy([(old.context(), from_backup)])
        error = opened.error
        with refused("legacy.cut-over"):
            opened.data("note")
    else:
        [error] = old.vault.rewrap([(old.context(), from_backup, old.world.ward)])
    assert isinstance(error, DataError)
    assert error.code == "legacy.cut-over"
    assert old.table in error.message
    request = old.world.asked((old.context(), AdoptedRow(head, from_backup.cells)))
    assert texts(old.world.opened(request)[0]) == PLAIN


@pytest.mark.parametrize(
    ("states", "columns", "expected"),
    [
        ({}, ("diagnosis",), "legacy.not-allowed"),
        ({"note": LEGACY}, ("diagnosis",), "legacy.not-allowed"),
        ({"note": LEGACY}, ("note",), None),
        ({"note": LEGACY}, ("note", "diagnosis"), "legacy.not-allowed"),
        ({"note": LEGACY, "diagnosis": CUT_OVER}, ("note", "diagnosis"), "legacy.cut-over"),
        ({"note": LEGACY, "diagnosis": CUT_OVER}, ("note",), None),
        ({"note": CUT_OVER}, ("note",), "legacy.cut-over"),
    ],
    ids=["none", "other-column", "allowed", "one-of-two", "one-cut-over", "other-cut-over", "all"],
)
def test_all_columns_of_a_row_must_be_allowed(
    old: Old, states: dict[str, ColumnState], columns: tuple[str, ...], expected: str | None
) -> None:
    """R-ADOPT-8: by the table's and the column's declared names."""
    old.table += " later"
    for column, state in states.items():
        old.set(state, column)
    row = old.row(dict.fromkeys(columns, b"x"))
    [opened] = old.vault.open_legacy([(old.context(), row)])
    [made] = old.vault.rewrap([(old.context(), row, old.world.ward)])
    assert code(opened.error) == expected
    assert (made.code if isinstance(made, DataError) else None) == expected
    if expected:
        with refused(expected):
            old.vault.require_legacy(old.table, columns)
    else:
        old.vault.require_legacy(old.table, columns)


def test_another_groups_log_allows_nothing(old: Old) -> None:
    """R-ADOPT-8: the deployment names whose admins decide."""
    emergency = old.world.groups["emergency"]
    old.vault.use_legacy(LegacySource(emergency, {"old": old.key}))
    [opened] = old.vault.open_legacy([(old.context(), old.row())])
    assert code(opened.error) == "legacy.not-allowed"


def test_an_authority_that_this_server_does_not_trust_decides_nothing(old: Old) -> None:
    """R-SRV-1."""
    stranger = dataclasses.replace(old.world.ward, group_id=bytes(32))
    old.vault.use_legacy(LegacySource(stranger, {"old": old.key}))
    with refused("group.unknown"):
        old.vault.open_legacy([(old.context(), old.row())])


def test_every_legacy_opening_stands_in_the_audit_chain_before_anything_is_opened(
    old: Old,
) -> None:
    """R-ADOPT-9: with how much of which columns, also where nothing was opened."""
    old.vault.open_legacy([(old.context(n), old.row()) for n in range(2)])
    mixed = [(old.context(), old.row()), (old.context(), old.row({"other": b"x"}))]
    old.vault.open_legacy(mixed)
    old.set(CUT_OVER)
    old.vault.open_legacy([(old.context(), old.row())])
    both = f"{old.table}.diagnosis, {old.table}.note"
    assert old.outcomes()[-3:] == [
        f"legacy: 2 of 2 rows, {both}",
        f"legacy: 1 of 2 rows, {both}",
        "legacy: 0 of 1 rows, nothing",
    ]
    seen = len(old.outcomes())
    old.set(LEGACY)
    old.use(key=dataclasses.replace(old.key, label="gone"))
    with refused("legacy.key-missing"):
        old.vault.open_legacy([(old.context(), old.row())])
    assert len(old.outcomes()) == seen + 1
    assert old.vault.verify_audit().problems == []


def test_legacy_openings_count_for_signing_the_audit_head(memory: World) -> None:
    """R-SRV-8."""
    old = Old(memory, make_legacy_key(memory.vault.token), "patient")
    old.use()
    old.set(LEGACY)
    memory.clock.forward(61)
    old.vault.open_legacy([(old.context(), old.row())])
    report = memory.vault.verify_audit()
    assert (report.heads, report.signed_seq) == (1, report.lines - 1)


def test_the_async_vault_does_the_same(memory: World) -> None:
    old = Old(memory, make_legacy_key(memory.vault.token), "patient")
    old.set(LEGACY)
    row = old.row()

    async def run() -> None:
        vault = AsyncVault(memory.vault)
        await vault.use_legacy(LegacySource(memory.ward, {"old": old.key}))
        await vault.require_legacy("patient", ["note"])
        [opened] = await vault.open_legacy([(old.context(), row)])
        assert texts(opened) == PLAIN
        [head] = await vault.rewrap([(old.context(), row, memory.ward)])
        request = await vault.request([(old.context(), AdoptedRow(head, row.cells))])
        [opened] = await vault.open(request, memory.kim.release(request))
        assert texts(opened) == PLAIN

    asyncio.run(run())
