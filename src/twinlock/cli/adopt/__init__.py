"""``twinlock adopt``: an application's existing database, adopted in place."""

from __future__ import annotations

import typer

from twinlock.cli.adopt import looking, migration, running, signing, verifying
from twinlock.cli.command import command, new_app

app = new_app(
    "Adopt a database whose DEKs the HSM wraps already, in place.\n\n"
    "[bold]adopt.toml[/bold] says what its tables look like. In this order: scan, migration, "
    "allow, run, verify, cutover, contract; status and report at any time, rollback before the "
    "cut-over."
)

for name, function, panel in (
    ("scan", looking.scan, "Prepare"),
    ("migration", migration.migration, "Prepare"),
    ("allow", signing.allow, "Prepare"),
    ("run", running.run, "Adopt"),
    ("status", looking.status, "Adopt"),
    ("verify", verifying.verify, "Adopt"),
    ("rollback", running.rollback, "Adopt"),
    ("cutover", signing.cutover, "End"),
    ("contract", migration.contract, "End"),
    ("report", looking.report, "End"),
):
    command(app, name, rich_help_panel=panel)(function)


def add_to(root: typer.Typer, panel: str) -> None:
    """Register the way out."""
    command(root, "unseal-column", rich_help_panel=panel)(verifying.unseal_column)
