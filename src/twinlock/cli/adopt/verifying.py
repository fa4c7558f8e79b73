"""``twinlock adopt verify`` and ``twinlock unseal-column``: opening with a member's releases."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer

from twinlock.cli.adopt.shared import (
    DEFAULT,
    AdoptOption,
    MemberOption,
    TableOption,
    YesOption,
    site,
)
from twinlock.cli.failure import EXIT_DATA
from twinlock.cli.open_here import agent_here, approval
from twinlock.cli.records import PAGE
from twinlock.cli.terminal import Terminal, done, next_steps
from twinlock.cli.who import Using, Who
from twinlock.errors import CallerError, TwinlockError

if TYPE_CHECKING:
    from twinlock.adopt.jobs import Finding
    from twinlock.adopt.site import Site
    from twinlock.adopt.verify import Release, Verified
    from twinlock.agent.agent import Agent
    from twinlock.core.context import Context
    from twinlock.server.opened import Opened
    from twinlock.server.records import Stored

_NAMED = 20
ApproveOption = Annotated[
    bool, typer.Option("--approve", help="Approve releases beyond the budget in advance.")
]


def verify(
    terminal: Terminal,
    member: MemberOption,
    sample: Annotated[
        str, typer.Option(metavar="1%|N|all", help="How many adopted rows, chosen at random.")
    ] = "1%",
    approve: ApproveOption = False,
    using: Using = Using(),
    tables: TableOption = None,
    adopt: AdoptOption = DEFAULT,
) -> int | None:
    """Open a sample of the adopted rows with a member, and compare with their old form.

    Compares while legacy reading is allowed and the old key is there; afterwards it only opens.
    Nothing of the content is shown. Exit code 3 when a row does not open or says something else.

    [dim]twinlock adopt verify --sample 1% --member weber[/dim]
    """
    from twinlock.adopt.verify import parse_sample, sample_size, verify_table

    wanted, who = parse_sample(sample), Who.of(member, using)
    results = []
    with site(terminal, adopt, tables) as found:
        found.require_migrated()
        found.use_legacy()
        with _releasing(terminal, found, who, approve, "adoption: verify") as release:
            for one in found.tables:
                size = sample_size(found, one, wanted)
                with terminal.progress(f"Verifying {one.name}", size) as advance:
                    results.append(verify_table(found, one, wanted, release, advance))
    for result in results:
        _warn(terminal, result.table, result.findings)
    bad = any(result.findings for result in results)
    data = {"tables": [result.facts() for result in results], "ok": not bad}
    steps = "twinlock adopt status" if bad else "twinlock adopt cutover --member ADMIN"
    terminal.result(data, *(_said(result) for result in results), next_steps(steps))
    return EXIT_DATA if bad else None


def _said(result: Verified) -> Any:
    compared = f"{result.compared} compared with their old form"
    if result.why_not:
        compared += f"; not compared: {result.why_not}"
    text = f"{result.table}: {result.opened} row(s) opened, {compared}."
    return f"✗ {text}" if result.findings else done(text)


def _warn(terminal: Terminal, table: str, findings: Sequence[Finding]) -> None:
    for finding in findings[:_NAMED]:
        terminal.warn(f"{table} {finding.key}: {finding.message} [{finding.code}]")
    if len(findings) > _NAMED:
        terminal.warn(f"{table}: {len(findings) - _NAMED} more.")


@contextmanager
def _releasing(
    terminal: Terminal, found: Site, who: Who, approve: bool, purpose: str
) -> Iterator[Release]:
    """Give what has the member release records and opens them, as many requests as it takes."""
    with agent_here(terminal, who, found.vault) as agent:

        def release(
            items: Sequence[tuple[Context, Stored]],
        ) -> Sequence[Opened | TwinlockError]:
            results: list[Opened | TwinlockError] = []
            for start in range(0, len(items), PAGE):
                page = items[start : start + PAGE]
                results += _released(terminal, found, agent, page, approve, purpose)
            return results

        yield release


def _released(
    terminal: Terminal,
    found: Site,
    agent: Agent,
    items: Sequence[tuple[Context, Stored]],
    approve: bool,
    purpose: str,
) -> Sequence[Opened | TwinlockError]:
    request = found.vault.request(items, purpose=purpose)
    refusals = [asked.error for asked in request.asked]
    if all(refusals):
        return [error for error in refusals if error is not None]
    answer = agent.release(
        request,
        expect=[context for context, _ in items],
        approve=approval(terminal, approve),
    )
    return found.vault.open(request, answer)


def unseal_column(
    terminal: Terminal,
    column: Annotated[
        str, typer.Argument(metavar="TABLE.COLUMN", help="A declared column of adopt.toml.")
    ],
    into: Annotated[
        str, typer.Option(metavar="SQLCOLUMN", help="Takes the plaintext: a column of the table.")
    ],
    member: MemberOption,
    yes: YesOption = False,
    approve: ApproveOption = False,
    using: Using = Using(),
    adopt: AdoptOption = DEFAULT,
) -> int | None:
    """Write a sealed column's plaintext into another column: the way out of Twinlock.

    A member opens it page by page. It can be stopped and started again; a row whose target is not
    NULL is done. The sealed column stays as it is. Exit code 3 when rows did not open.

    [dim]twinlock unseal-column patient.diagnosis --into diagnosis_plain --member weber[/dim]
    """
    from twinlock.adopt.unseal import Unsealing

    who = Who.of(member, using)
    table_name, _, name = column.rpartition(".")
    with site(terminal, adopt, [table_name] if table_name else None) as found:
        found.require_migrated()
        one = found.tables[0]
        unsealing = Unsealing.prepare(found, one, one.settings.column(name), into)
        total = unsealing.left()
        question = f"Write the plaintext of {total} row(s) of {column} into {into}?"
        if not yes and not terminal.confirm(question):
            raise CallerError(
                "adopt.not-confirmed", "Nobody said yes.", hint="Give --yes when you are sure."
            )
        with (
            _releasing(terminal, found, who, approve, "unseal column") as release,
            terminal.progress(f"Unsealing {column}", total) as advance,
        ):
            result = unsealing.run(release, advance)
    _warn(terminal, table_name, result.findings)
    if result.legacy:
        terminal.warn(f"{result.legacy} row(s) are legacy: no member opens them. Adopt them first.")
    data = {
        "column": column,
        "into": into,
        "rows": result.rows,
        "failed": len(result.findings),
        "legacy": result.legacy,
    }
    terminal.result(data, done(f"Wrote {result.rows} row(s) of {column} into {into} as plaintext."))
    return EXIT_DATA if result.findings else None
