"""``twinlock adopt migration`` and ``contract``: what is added to the tables, and dropped."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from twinlock.cli.adopt.shared import DEFAULT, AdoptOption, TableOption, YesOption, site
from twinlock.cli.sealed_files import require_free
from twinlock.cli.terminal import Terminal, done, next_steps, table
from twinlock.errors import CallerError
from twinlock.files import write_private

if TYPE_CHECKING:
    from twinlock.adopt.site import Site


class Form(StrEnum):
    """How statements are written down."""

    ALEMBIC = "alembic"
    SQL = "sql"


OutputOption = Annotated[
    Path | None, typer.Option("--output", "-o", metavar="FILE", help="Write a migration.")
]
FormOption = Annotated[
    Form, typer.Option("--format", help="An Alembic migration, or SQL for psql or sqlite3.")
]
ExecuteOption = Annotated[
    bool, typer.Option("--execute", help="Do it now, in one transaction, instead of writing it.")
]
RevisionOption = Annotated[
    str, typer.Option(metavar="ID", help="The Alembic migration's own revision.")
]
RevisesOption = Annotated[
    str | None, typer.Option(metavar="ID", help="The Alembic revision that it follows.")
]


def migration(
    terminal: Terminal,
    output: OutputOption = None,
    execute: ExecuteOption = False,
    form: FormOption = Form.ALEMBIC,
    revision: RevisionOption = "twinlock_adopt",
    revises: RevisesOption = None,
    tables: TableOption = None,
    force: Annotated[bool, typer.Option("--force", help="Replace the file.")] = False,
    adopt: AdoptOption = DEFAULT,
) -> None:
    """Add the columns that adoption writes, and the trigger that keeps dual running safe.

    When the old application writes a row again, the trigger takes back what was adopted of it, so
    that the row counts as legacy and is adopted again.

    [dim]twinlock adopt migration -o migrations/versions/adopt.py --revises 8f3a[/dim]

    [dim]twinlock adopt migration --execute[/dim]
    """
    from twinlock.adopt.migration import collapse, expand

    _require_one(output, execute)
    with site(terminal, adopt, tables) as found:
        postgresql = found.database.is_postgresql
        with found.database.read() as connection:
            up = expand(connection, found.tables, postgresql=postgresql)
            _warn_of_required(terminal, connection, found)
        down = collapse(found.tables, postgresql=postgresql)
        title = "Columns and trigger for the adoption by Twinlock."
        _carry_out(terminal, found, up, down, output, form, revision, revises, title, force)
    data = {
        "output": None if output is None else str(output),
        "executed": execute,
        "statements": up,
        "columns": {t.settings.table: list(t.missing) for t in found.tables},
    }
    added = sum(len(t.missing) for t in found.tables)
    where = "Added" if execute else f"Wrote {output}: adds"
    terminal.result(
        data,
        done(f"{where} {added} column(s), a trigger for each table, the record of runs."),
        next_steps("twinlock adopt allow --member ADMIN", "twinlock adopt run --mode rewrap"),
    )


def _require_one(output: Path | None, execute: bool) -> None:
    if (output is None) is not execute:
        raise CallerError(
            "adopt.how",
            "Say whether the statements are written down or executed.",
            hint="Use either -o FILE or --execute.",
        )


def _warn_of_required(terminal: Terminal, connection: object, found: Site) -> None:
    """SQLite cannot drop NOT NULL, so there the old columns still want a value in new rows."""
    from sqlalchemy import Connection

    from twinlock.adopt.migration import required_columns

    if found.database.is_postgresql or not isinstance(connection, Connection):
        return
    for one in found.tables:
        names = required_columns(connection, one.settings)
        if names:
            terminal.warn(
                f"{one.settings.table}: {', '.join(names)} may not be NULL, which SQLite cannot "
                "change. New rows of the new application need an empty value there."
            )


def _carry_out(
    terminal: Terminal,
    found: Site,
    up: Sequence[str],
    down: Sequence[str],
    output: Path | None,
    form: Form,
    revision: str,
    revises: str | None,
    title: str,
    force: bool,
) -> None:
    from twinlock.adopt.migration import as_alembic, as_sql, execute

    if output is None:
        with found.database.write() as connection, terminal.progress("Migrating"):
            execute(connection, up)
        return
    require_free(output, force=force)
    if form is Form.SQL:
        text = as_sql(up, title=title)
    else:
        text = as_alembic(up, down, revision=revision, revises=revises, title=title)
    write_private(output, text.encode())


def contract(
    terminal: Terminal,
    output: OutputOption = None,
    execute: ExecuteOption = False,
    form: FormOption = Form.ALEMBIC,
    revision: RevisionOption = "twinlock_contract",
    revises: RevisesOption = "twinlock_adopt",
    yes: YesOption = False,
    tables: TableOption = None,
    force: Annotated[bool, typer.Option("--force", help="Replace the file.")] = False,
    adopt: AdoptOption = DEFAULT,
) -> None:
    """Drop what only the old application needed: old DEKs, and old content of native columns.

    Needs every column cut over, no legacy row, and --yes: there is no way back. Says whether the
    old private keys are in the token still. What Twinlock claims begins when they have left it.

    [dim]twinlock adopt contract --execute --yes[/dim]
    """
    from twinlock.adopt.contract import contraction
    from twinlock.adopt.old_keys import old_keys
    from twinlock.adopt.states import all_columns, authority_state, require_cut_over

    _require_one(output, execute)
    with site(terminal, adopt, tables) as found:
        states = authority_state(found.vault, found.adoption)
        require_cut_over(states, all_columns(found.adoption, tables or ()))
        found.require_migrated()
        with found.database.read() as connection:
            plans = [
                contraction(connection, one, postgresql=found.database.is_postgresql)
                for one in found.tables
            ]
        _require_yes(terminal, [f"{p.table}: {', '.join(p.columns)}" for p in plans], yes)
        up = [statement for plan in plans for statement in plan.statements]
        title = "Drop what only the old application needed."
        _carry_out(terminal, found, up, (), output, form, revision, revises, title, force)
        keys = old_keys(found)
    data = {
        "output": None if output is None else str(output),
        "executed": execute,
        "statements": up,
        "dropped": {plan.table: list(plan.columns) for plan in plans},
        "old_keys": [key.facts() for key in keys],
    }
    count = sum(len(plan.columns) for plan in plans)
    what = f"Dropped {count} column(s)." if execute else f"Wrote {output}: drops {count} column(s)."
    rows = [(key.name, key.where) for key in keys]
    terminal.result(
        data,
        done(what),
        "Now set contracted = true in adopt.toml.",
        table(["old key", "where"], rows),
        _claim(data["old_keys"]),
    )


def _require_yes(terminal: Terminal, columns: Sequence[str], yes: bool) -> None:
    if yes or terminal.confirm(f"Drop {'; '.join(columns)} for good?"):
        return
    raise CallerError(
        "adopt.not-confirmed",
        "This cannot be taken back, and nobody said yes.",
        hint="Give --yes when you are sure, after a backup.",
    )


def _claim(keys: object) -> str:
    present = isinstance(keys, list) and any(key["in_token"] for key in keys)
    if present:
        return (
            "The old private keys still open every old backup without a member. "
            "The claim begins when they have left the token."
        )
    return "No old private key is in this token: old backups open with no key that is here."
