"""``make demo``: the main job on a real table, and what a thief gets out of it.

    python -m twinlock.cli.demo [TABLE.csv] [--keep FOLDER]

Prints what happened as a table and, last, ``demo: N of N checks held``. Exits with 1 otherwise.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from twinlock.agent.agent import Agent
from twinlock.cli.demo_thief import (
    find_candidates,
    open_in_the_token,
    open_outside,
    wrapped_dek_from_the_token,
)
from twinlock.cli.demo_world import DemoWorld, build_world
from twinlock.core.context import Context, record_bytes
from twinlock.core.envelope import Layout
from twinlock.core.keyfile import KEY_SIZE
from twinlock.core.locks import GroupTarget
from twinlock.core.ports import KeyRole
from twinlock.core.primitives import signing_key_from_seed
from twinlock.core.sealing import Sealer
from twinlock.core.secret import Secret
from twinlock.errors import CallerError, TwinlockError
from twinlock.server.opened import Opened
from twinlock.server.records import SealedRow as Row
from twinlock.server.records import sealed_row
from twinlock.server.sealing import AllOf
from twinlock.store.values import SealedRow
from twinlock.token.pkcs11_token import Pkcs11Token

TABLE: Final = "patient"
PAGE: Final = 500
GUESSES_IN_TOKEN: Final = 2
"""Release keys the thief tries on each row in the token; each costs a private-key operation."""


@dataclass(frozen=True, slots=True)
class SourceTable:
    """A CSV file: its rows, the column that identifies them, and the columns to seal."""

    rows: list[dict[str, str]]
    key: str
    sealed: tuple[str, ...]


@dataclass(slots=True)
class Checks:
    """What the demo claims, and whether it held."""

    rows: list[tuple[str, str, bool]] = field(default_factory=list)

    def add(self, what: str, seen: str, held: bool) -> None:
        """Note one check."""
        self.rows.append((what, seen, held))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the demo; returns the exit code."""
    parser = argparse.ArgumentParser(prog="demo", description="Twinlock on a real table.")
    parser.add_argument("table", nargs="?", default="examples/data/patients.csv", type=Path)
    parser.add_argument("--folder", default=Path("demo-run"), type=Path)
    options = parser.parse_args(arguments)
    console = Console(highlight=False)
    try:
        source = read_table(options.table)
        checks = Demo(console, options.folder, source).run()
    except TwinlockError as error:
        Console(stderr=True).print(f"[red]demo stopped:[/red] {error}", highlight=False)
        return 1
    held = sum(row[2] for row in checks.rows)
    print(f"demo: {held} of {len(checks.rows)} checks held")
    return 0 if held == len(checks.rows) else 1


def read_table(path: Path) -> SourceTable:
    """Read a CSV file with a header; the first column without repeats is the key.

    Raises CallerError ``demo.table``.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise CallerError(
            "demo.table",
            f"{path} cannot be read as CSV: {error}.",
            hint="Give a CSV file in UTF-8 with a header line.",
        ) from error
    columns = list(rows[0]) if rows else []
    key = next((c for c in columns if len({r[c] for r in rows}) == len(rows)), None)
    if key is None or len(columns) < 2 or any(None in row.values() for row in rows):
        raise CallerError(
            "demo.table",
            f"{path} has no column that identifies its rows, or nothing else to seal.",
            hint="Give a CSV file with a header line and a unique column.",
        )
    sealed = tuple(c for c in columns if c in ("finding", "outcome"))
    return SourceTable(rows, key, sealed or tuple(c for c in columns if c != key))


class Demo:
    """One run."""

    def __init__(self, console: Console, folder: Path, source: SourceTable) -> None:
        self.console = console
        self.source = source
        self.checks = Checks()
        self.releases: list[bytes] = []
        with self._step("A token, a store, four people and three groups"):
            self.world: DemoWorld = build_world(folder)

    def run(self) -> Checks:
        """Do everything, print the table, and return the checks."""
        try:
            self._seal_table()
            self._members_open()
            self._two_more_locks()
            self._born_in_the_token()
            self._thief()
            self._forgeries()
            self._removal()
            self._audit()
        finally:
            self.world.vault.close()
        self._print()
        return self.checks

    # --- the main job ------------------------------------------------------------------------

    def _seal_table(self) -> None:
        world, source = self.world, self.source
        began = time.monotonic()

        def rows(progress: Callable[[], None]) -> Iterator[SealedRow]:
            for row in source.rows:
                sealed = world.vault.seal_row(
                    {column: row[column] for column in source.sealed},
                    to=[world.ward, world.emergency],
                    context=self._context(row),
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

        with Progress(console=self.console, transient=True) as bar:
            task = bar.add_task("Sealing", total=len(source.rows))
            count = world.vault.store.records.put_rows(TABLE, rows(lambda: bar.advance(task)))
        seconds = time.monotonic() - began
        raw = b"".join(p.read_bytes() for p in world.folder.glob("store.db*"))
        words = {row[c] for row in source.rows for c in source.sealed if len(row[c]) > 5}
        found = sum(word.encode() in raw for word in words)
        self.checks.add(
            f"Seal {', '.join(source.sealed)} of {count} rows for ward OR emergency",
            f"{seconds:.1f} s; {found} of {len(words)} values found in the database file",
            count == len(source.rows) and found == 0,
        )

    def _members_open(self) -> None:
        for agent in (self.world.weber, self.world.kim):
            with self._step(f"{agent.name} opens the table"):
                equal, total = self._open_all(agent, self.source.rows)
            self.checks.add(
                f"{agent.name}, a member of ward, opens the table",
                f"{equal} of {total} rows equal the source",
                equal == total,
            )

    def _two_more_locks(self) -> None:
        world, row = self.world, self.source.rows[0]
        equal, total = self._open_all(world.noor, [row])
        self.checks.add(
            "noor opens one row through the emergency group's lock",
            f"{equal} of {total} rows equal the source",
            equal == total,
        )
        context = Context(table="note", record=row[self.source.key], column="expert opinion")
        text = "Both of us have to agree to read this."
        both = AllOf(world.ward, world.data_office)
        stored = world.vault.seal(text, to=both, context=context).to_bytes()
        request = world.vault.request([(context, stored)], purpose="second opinion")
        bundle = request.bind(world.kim.hello())
        refused = _code(lambda: world.kim.release(bundle))
        share = world.noor.help_with(request.assist(world.noor.hello(), bundle))
        (opened,) = world.vault.open(request, world.kim.release(bundle, shares=[share]))
        self.checks.add(
            "An AND lock: kim (ward) alone, then with a share from noor (data-office)",
            f"alone: {refused}; together: opened",
            refused == "release.share-missing" and opened.text().reveal() == text,
        )

    def _born_in_the_token(self) -> None:
        world = self.world
        rows = self.source.rows[:20]
        items = []
        for row in rows:
            context = Context(table="aes", record=row[self.source.key], column="value")
            value = row[self.source.sealed[0]]
            items.append(
                (
                    context,
                    world.vault.seal(value, to=world.ward, context=context, suite="token-aes"),
                )
            )
        request = world.vault.request(items, purpose="token-aes")
        opened = world.vault.open(request, world.kim.release(request))
        equal = sum(
            o.ok and o.text().reveal() == row[self.source.sealed[0]]
            for o, row in zip(opened, rows, strict=True)
        )
        self.checks.add(
            "The quantum-safe outer lock: DEKs born inside the token (token-aes)",
            f"{equal} of {len(rows)} values equal the source",
            equal == len(rows),
        )

    # --- the thief ---------------------------------------------------------------------------

    def _thief(self) -> None:
        world = self.world
        stolen = list(world.vault.store.records.rows(TABLE))
        guesses = find_candidates(world.folder / "store.db", world.pin.reveal(), stolen)
        token = Pkcs11Token.connect(world.config.token_uri, world.pin, sessions=1)
        try:
            token.load_keys(e.key for e in world.vault.directory.entries)
            with self._step("A thief asks the token for every record"):
                inside = open_in_the_token(
                    token,
                    [(row, self._stored_context(row)) for row in stolen],
                    guesses[:GUESSES_IN_TOKEN],
                )
                half_open = [wrapped_dek_from_the_token(token, row) for row in stolen]
        finally:
            token.close()
        outside = sum(
            open_outside(wrapped, row, self._stored_context(row), guesses)
            for wrapped, row in zip(half_open, stolen, strict=True)
        )
        self.checks.add(
            f"Thief with database, PIN, code and token: {len(stolen)} rows, no member",
            f"outer locks opened: {sum(map(bool, half_open))}; plaintexts: {inside + outside}",
            inside + outside == 0 and all(half_open),
        )
        row = self.source.rows[0]
        request = world.vault.request([(self._context(row), self._stored(row))])
        request.bind(world.weber.hello())
        codes = {_code(partial(world.vault.open, request, r)) for r in self.releases}
        self.checks.add(
            f"Thief replays {len(self.releases)} recorded releases against a new request",
            f"refused: {', '.join(sorted(codes))}",
            codes == {"release.not-authentic"},
        )

    def _forgeries(self) -> None:
        world, first, second = self.world, self.source.rows[0], self.source.rows[1]
        forged = self._forged(first)
        mine, other = self._stored(first), self._stored(second)
        swapped = Row(other.head, other.cells)
        items = [
            (self._context(first), forged),
            (self._context(first), swapped),
            (self._context(first), mine),
        ]
        request = world.vault.request(items, purpose="forgery")
        opened = world.vault.open(request, world.kim.release(request))
        seen = ["not authentic" if _refused(o) else "opened" for o in opened]
        self.checks.add(
            "A record made with public keys alone; another patient's row; the genuine row",
            "; ".join(seen),
            seen == ["not authentic", "not authentic", "opened"],
        )

    def _forged(self, row: dict[str, str]) -> Row:
        """Seal as anybody can who reads the database: public keys, a writer key of one's own."""
        world = self.world
        state = world.vault.group_state(world.ward)
        epoch = state.current_epoch
        wrapping = next(
            e.key
            for e in world.vault.directory.entries
            if e.key.role is KeyRole.WRAPPING and e.key.public
        )
        sealer = Sealer(signing_key_from_seed(Secret(bytes(KEY_SIZE))), wrapping, os.urandom)
        head, cells = sealer.seal_fields(
            self._context(row).encode(world.config.deployment_id),
            Layout.ROW,
            dict.fromkeys(self.source.sealed, b"allergies: none"),
            [GroupTarget(state.group_id, epoch.number, epoch.kem, epoch.public)],
        )
        return sealed_row(head, cells)

    # --- people leave ------------------------------------------------------------------------

    def _removal(self) -> None:
        world, row = self.world, self.source.rows[0]
        group = world.ward.group_id
        world.vault.append(world.weber.admin.remove(group, world.kim.member_id))
        for agent in (world.weber, world.lena):
            agent.follow(world.vault.group_bundle(agent.hello()))
        old = world.vault.request([(self._context(row), self._stored(row))])
        refused = _code(lambda: world.kim.release(old))
        context = Context(table="note", record="new", column="text")
        stored = world.vault.seal("after kim left", to=world.ward, context=context)
        request = world.vault.request([(context, stored)])
        (opened,) = world.vault.open(request, world.weber.release(request))
        self.checks.add(
            "kim is removed: asks again; weber opens what is sealed from now on",
            f"kim: {refused}; weber: {'opened' if opened.ok else 'refused'}",
            refused == "record.no-lock" and opened.ok,
        )

    def _audit(self) -> None:
        self.world.vault.auditor.sign_head()
        report = self.world.vault.verify_audit()
        self.checks.add(
            "The audit chain: every release, written before it was opened",
            f"{report.releases} releases, {report.lines} lines, signed; "
            f"{len(report.problems) + len(report.gaps)} problems",
            report.ok and report.releases >= len(self.releases) and report.heads > 0,
        )

    # --- small parts -------------------------------------------------------------------------

    def _open_all(self, agent: Agent, rows: list[dict[str, str]]) -> tuple[int, int]:
        equal = 0
        for start in range(0, len(rows), PAGE):
            page = rows[start : start + PAGE]
            items = [(self._context(row), self._stored(row)) for row in page]
            request = self.world.vault.request(items, purpose="ward round")
            release = agent.release(request, expect=[context for context, _ in items])
            self.releases.append(release.to_bytes())
            opened = self.world.vault.open(request, release)
            equal += sum(
                o.ok and all(o.text(c).reveal() == row[c] for c in self.source.sealed)
                for o, row in zip(opened, page, strict=True)
            )
        return equal, len(rows)

    def _context(self, row: dict[str, str]) -> Context:
        return Context(table=TABLE, record=row[self.source.key])

    def _stored_context(self, row: SealedRow) -> bytes:
        context = Context(table=TABLE, record=row.record_id.decode())
        return context.encode(self.world.config.deployment_id)

    def _stored(self, row: dict[str, str]) -> Row:
        found = self.world.vault.store.records.row(TABLE, record_bytes(row[self.source.key]))
        if found is None:
            raise CallerError("demo.row", "A sealed row is missing.", hint="Run the demo again.")
        return Row(found.head, found.cells)

    @contextmanager
    def _step(self, what: str) -> Iterator[None]:
        with self.console.status(f"{what} …"):
            yield

    def _print(self) -> None:
        table = Table(title="What happened", title_justify="left", expand=False)
        table.add_column("What was done")
        table.add_column("What was seen")
        table.add_column("Held")
        for what, seen, held in self.checks.rows:
            table.add_row(what, seen, "[green]yes[/green]" if held else "[red]NO[/red]")
        self.console.print(table)


def _refused(opened: Opened) -> bool:
    return isinstance(opened.error, TwinlockError) and opened.error.code == "data.not-authentic"


def _code(call: Callable[[], object]) -> str:
    try:
        call()
    except TwinlockError as error:
        return error.code
    return "accepted"


if __name__ == "__main__":
    sys.exit(main())
