"""The demo's records: sealed, opened by members through three kinds of locks, and attacked."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Final

from rich.progress import Progress

from twinlock.cli.demo_stage import TABLE, Stage, code_of
from twinlock.cli.demo_thief import (
    find_candidates,
    open_in_the_token,
    open_outside,
    wrapped_dek_from_the_token,
)
from twinlock.core.context import Context, record_bytes
from twinlock.core.envelope import Layout
from twinlock.core.keyfile import KEY_SIZE
from twinlock.core.locks import GroupTarget
from twinlock.core.ports import KeyRole
from twinlock.core.primitives import signing_key_from_seed
from twinlock.core.sealing import Sealer
from twinlock.core.secret import Secret
from twinlock.errors import TwinlockError
from twinlock.server.opened import Opened
from twinlock.server.records import SealedRow as Row
from twinlock.server.records import sealed_row
from twinlock.server.sealing import AllOf
from twinlock.store.values import SealedRow
from twinlock.token.pkcs11_token import Pkcs11Token

_GUESSES_IN_TOKEN: Final = 2
"""Release keys the thief tries on each row in the token; each costs a private-key operation."""


def seal_table(stage: Stage) -> None:
    """Seal the source's columns, and look for their values in the database file."""
    world, source = stage.world, stage.source
    began = time.monotonic()

    def rows(progress: Callable[[], None]) -> Iterator[SealedRow]:
        for row in source.rows:
            sealed = world.vault.seal_row(
                {column: row[column] for column in source.sealed},
                to=[world.ward, world.emergency],
                context=stage.context(row),
            )
            plain = {c: v for c, v in row.items() if c not in source.sealed}
            progress()
            yield SealedRow(
                record_bytes(row[source.key]),
                None,
                sealed.head,
                sealed.cells,
                json.dumps(plain).encode(),
            )

    with Progress(console=stage.console, transient=True) as bar:
        task = bar.add_task("Sealing", total=len(source.rows))
        count = world.vault.store.records.put_rows(TABLE, rows(lambda: bar.advance(task)))
    seconds = time.monotonic() - began
    raw = b"".join(p.read_bytes() for p in world.folder.glob("store.db*"))
    words = {row[c] for row in source.rows for c in source.sealed if len(row[c]) > 5}
    found = sum(word.encode() in raw for word in words)
    stage.check(
        f"Seal {', '.join(source.sealed)} of {count} rows for ward OR emergency",
        f"{seconds:.1f} s; {found} of {len(words)} values found in the database file",
        count == len(source.rows) and found == 0,
    )


def members_open(stage: Stage) -> None:
    """Have two members of the ward open the whole table."""
    for agent in (stage.world.weber, stage.world.kim):
        with stage.step(f"{agent.name} opens the table"):
            equal, total = stage.open_rows(agent, stage.source.rows)
        stage.check(
            f"{agent.name}, a member of ward, opens the table",
            f"{equal} of {total} rows equal the source",
            equal == total,
        )


def two_more_locks(stage: Stage) -> None:
    """Open through another group's lock, and through a lock that needs two groups."""
    world, row = stage.world, stage.source.rows[0]
    equal, total = stage.open_rows(world.noor, [row])
    stage.check(
        "noor opens one row through the emergency group's lock",
        f"{equal} of {total} rows equal the source",
        equal == total,
    )
    context = Context(table="note", record=row[stage.source.key], column="expert opinion")
    text = "Both of us have to agree to read this."
    both = AllOf(world.ward, world.data_office)
    stored = world.vault.seal(text, to=both, context=context).to_bytes()
    request = world.vault.request([(context, stored)], purpose="second opinion")
    bundle = request.bind(world.kim.hello())
    refused = code_of(lambda: world.kim.release(bundle))
    share = world.noor.help_with(request.assist(world.noor.hello(), bundle))
    (opened,) = world.vault.open(request, world.kim.release(bundle, shares=[share]))
    stage.check(
        "An AND lock: kim (ward) alone, then with a share from noor (data-office)",
        f"alone: {refused}; together: opened",
        refused == "release.share-missing" and opened.text().reveal() == text,
    )


def born_in_the_token(stage: Stage) -> None:
    """Seal and open under the token's AES key."""
    world = stage.world
    rows = stage.source.rows[:20]
    items = []
    for row in rows:
        context = Context(table="aes", record=row[stage.source.key], column="value")
        value = row[stage.source.sealed[0]]
        items.append(
            (context, world.vault.seal(value, to=world.ward, context=context, suite="token-aes"))
        )
    request = world.vault.request(items, purpose="token-aes")
    opened = world.vault.open(request, world.kim.release(request))
    equal = sum(
        o.ok and o.text().reveal() == row[stage.source.sealed[0]]
        for o, row in zip(opened, rows, strict=True)
    )
    stage.check(
        "The quantum-safe outer lock: DEKs born inside the token (token-aes)",
        f"{equal} of {len(rows)} values equal the source",
        equal == len(rows),
    )


def thief(stage: Stage) -> None:
    """Attack every row with all that lies at the server, then replay what members released."""
    world = stage.world
    stolen = list(world.vault.store.records.rows(TABLE))
    guesses = find_candidates(world.folder / "store.db", world.pin.reveal(), stolen)
    token = Pkcs11Token.connect(world.config.token_uri, world.pin, sessions=1)
    try:
        token.load_keys(e.key for e in world.vault.directory.entries)
        with stage.step("A thief asks the token for every record"):
            inside = open_in_the_token(
                token,
                [(row, stage.stored_context(row)) for row in stolen],
                guesses[:_GUESSES_IN_TOKEN],
            )
            half_open = [wrapped_dek_from_the_token(token, row) for row in stolen]
    finally:
        token.close()
    outside = sum(
        open_outside(wrapped, row, stage.stored_context(row), guesses)
        for wrapped, row in zip(half_open, stolen, strict=True)
    )
    stage.check(
        f"Thief with database, PIN, code and token: {len(stolen)} rows, no member",
        f"outer locks opened: {sum(map(bool, half_open))}; plaintexts: {inside + outside}",
        inside + outside == 0 and all(half_open),
    )
    row = stage.source.rows[0]
    request = world.vault.request([(stage.context(row), stage.stored(row))])
    request.bind(world.weber.hello())
    codes = {code_of(partial(world.vault.open, request, r)) for r in stage.releases}
    stage.check(
        f"Thief replays {len(stage.releases)} recorded releases against a new request",
        f"refused: {', '.join(sorted(codes))}",
        codes == {"release.not-authentic"},
    )


def forgeries(stage: Stage) -> None:
    """Put a record of somebody without a writer key, and another patient's, in a row's place."""
    world, first, second = stage.world, stage.source.rows[0], stage.source.rows[1]
    forged = _forged(stage, first)
    mine, other = stage.stored(first), stage.stored(second)
    swapped = Row(other.head, other.cells)
    items = [
        (stage.context(first), forged),
        (stage.context(first), swapped),
        (stage.context(first), mine),
    ]
    request = world.vault.request(items, purpose="forgery")
    opened = world.vault.open(request, world.kim.release(request))
    seen = ["not authentic" if _refused(o) else "opened" for o in opened]
    stage.check(
        "A record made with public keys alone; another patient's row; the genuine row",
        "; ".join(seen),
        seen == ["not authentic", "not authentic", "opened"],
    )


def _forged(stage: Stage, row: dict[str, str]) -> Row:
    """Seal as anybody can who reads the database: public keys, a writer key of one's own."""
    world = stage.world
    state = world.vault.group_state(world.ward)
    epoch = state.current_epoch
    wrapping = next(
        e.key
        for e in world.vault.directory.entries
        if e.key.role is KeyRole.WRAPPING and e.key.public
    )
    sealer = Sealer(signing_key_from_seed(Secret(bytes(KEY_SIZE))), wrapping, os.urandom)
    head, cells = sealer.seal_fields(
        stage.context(row).encode(world.config.deployment_id),
        Layout.ROW,
        dict.fromkeys(stage.source.sealed, b"allergies: none"),
        [GroupTarget(state.group_id, epoch.number, epoch.kem, epoch.public)],
    )
    return sealed_row(head, cells)


def removal(stage: Stage) -> None:
    """Remove a member, who asks again."""
    world, row = stage.world, stage.source.rows[0]
    group = world.ward.group_id
    world.everyone_follows()
    world.vault.append(world.weber.admin.remove(group, world.kim.member_id))
    for agent in (world.weber, world.lena):
        agent.follow(world.vault.group_bundle(agent.hello()))
    old = world.vault.request([(stage.context(row), stage.stored(row))])
    refused = code_of(lambda: world.kim.release(old))
    context = Context(table="note", record="new", column="text")
    stored = world.vault.seal("after kim left", to=world.ward, context=context)
    request = world.vault.request([(context, stored)])
    (opened,) = world.vault.open(request, world.weber.release(request))
    stage.check(
        "kim is removed: asks again; weber opens what is sealed from now on",
        f"kim: {refused}; weber: {'opened' if opened.ok else 'refused'}",
        refused == "record.no-lock" and opened.ok,
    )


def audit(stage: Stage) -> None:
    """Sign the audit chain and verify all of it."""
    stage.world.vault.auditor.sign_head()
    report = stage.world.vault.verify_audit()
    stage.check(
        "The audit chain: every release, written before it was opened",
        f"{report.releases} releases, {report.lines} lines, signed; "
        f"{len(report.problems) + len(report.gaps)} problems",
        report.ok and report.releases >= len(stage.releases) and report.heads > 0,
    )


def _refused(opened: Opened) -> bool:
    return isinstance(opened.error, TwinlockError) and opened.error.code == "data.not-authentic"
