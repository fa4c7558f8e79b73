"""``twinlock adopt run`` and ``rollback``: what changes rows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from twinlock.adopt.settings import Mode
from twinlock.cli.adopt.shared import (
    DEFAULT,
    AdoptOption,
    HostDekOption,
    TableOption,
    YesOption,
    site,
)
from twinlock.cli.failure import EXIT_DATA
from twinlock.cli.server_side import ask_pin, configuration, needs_pin
from twinlock.cli.terminal import Terminal, done, next_steps
from twinlock.errors import CallerError

if TYPE_CHECKING:
    from twinlock.adopt.run import Outcome


def run(
    terminal: Terminal,
    mode: Annotated[
        Mode,
        typer.Option(
            help="rewrap: DEKs get new locks inside the token, content stays where it is. "
            "reseal: rows become native, their content passes through this host."
        ),
    ],
    workers: Annotated[
        int, typer.Option(metavar="N", min=1, max=64, help="Processes; on SQLite one.")
    ] = 1,
    batch: Annotated[
        int, typer.Option(metavar="N", min=1, max=10_000, help="Rows in one transaction.")
    ] = 100,
    rate: Annotated[
        float | None,
        typer.Option(metavar="ROWS/S", min=0.1, help="At most so many rows a second."),
    ] = None,
    limit: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="Stop after so many rows.")
    ] = None,
    allow_host_dek: HostDekOption = False,
    tables: TableOption = None,
    adopt: AdoptOption = DEFAULT,
) -> int | None:
    """Adopt rows. Stop it, kill it, start it again: what is done is told by the rows.

    The application may go on meanwhile. Rows that cannot be adopted are noted and left alone; the
    exit code is 3 then.

    [dim]twinlock adopt run --mode rewrap --workers 2 --rate 500[/dim]
    """
    from twinlock.adopt.run import Plan, count_candidates, run_table

    plan = Plan(
        mode=mode,
        workers=workers,
        batch=batch,
        rate=rate,
        limit=limit,
        allow_host_dek=allow_host_dek,
    )
    pin = ask_pin(terminal) if needs_pin(configuration(terminal)) and workers > 1 else None
    outcomes = []
    with site(terminal, adopt, tables) as found:
        found.require_migrated()
        for one in found.tables:
            total = count_candidates(found, one, mode)
            with terminal.progress(f"Adopting {one.name}", total) as advance:
                outcomes.append(run_table(found, one, plan, pin=pin, on_rows=advance))
    data = {"mode": mode.value, "tables": [one.facts() for one in outcomes]}
    stopped = any(one.findings for one in outcomes)
    left = sum(one.left for one in outcomes)
    step = "twinlock adopt status" if left else "twinlock adopt verify --sample 1% --member MEMBER"
    terminal.result(data, *(done(_said(one)) for one in outcomes), next_steps(step))
    return EXIT_DATA if stopped else None


def _said(outcome: Outcome) -> str:
    counts = outcome.counts
    host = f", the DEK of {counts.host_dek} in host memory" if counts.host_dek else ""
    failed = f", {counts.failed} left alone" if counts.failed else ""
    return (
        f"{outcome.table}: adopted {counts.adopted} row(s){host}{failed} in "
        f"{outcome.seconds:.1f} s ({outcome.rate:.0f} a second); {outcome.left} left."
    )


def rollback(
    terminal: Terminal,
    yes: YesOption = False,
    tables: TableOption = None,
    adopt: AdoptOption = DEFAULT,
) -> int | None:
    """Take an adoption back, before its cut-over: the new columns go back to NULL.

    What the old application wrote was never touched. Rows that hold values in native form only
    keep them and are named; the exit code is 3 then.

    [dim]twinlock adopt rollback --yes[/dim]
    """
    from twinlock.adopt.rollback import rollback_table
    from twinlock.adopt.states import all_columns, authority_state, require_not_cut_over

    with site(terminal, adopt, tables) as found:
        found.require_migrated()
        columns = all_columns(found.adoption, tables or ())
        require_not_cut_over(authority_state(found.vault, found.adoption), columns)
        if not yes and not terminal.confirm("Take every adopted row back to its legacy form?"):
            raise CallerError(
                "adopt.not-confirmed", "Nobody said yes.", hint="Give --yes when you are sure."
            )
        results = []
        for one in found.tables:
            with found.database.read() as connection:
                total = one.count(connection)
            with terminal.progress(f"Taking {one.name} back", total) as advance:
                results.append(rollback_table(found.database, one, advance))
    data = {
        "tables": [{"table": r.table, "rows": r.rows, "kept": list(r.kept)} for r in results],
    }
    kept = [f"{r.table}/{key}" for r in results for key in r.kept]
    for name in kept[:20]:
        terminal.warn(f"{name} holds values in native form only: kept.")
    terminal.result(data, *(done(f"{r.table}: took back {r.rows} row(s).") for r in results))
    return EXIT_DATA if kept else None
