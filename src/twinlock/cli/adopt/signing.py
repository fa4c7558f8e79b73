"""``twinlock adopt allow`` and ``cutover``: an admin signs how far each column's adoption is."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Final

import typer

from twinlock.agent.agent import Agent
from twinlock.cli.adopt.shared import (
    DEFAULT,
    AdoptOption,
    ColumnsArgument,
    MemberOption,
    adoption_of,
    site,
)
from twinlock.cli.group.acting import BundleOption, ProposeOption, Route, act, followed_group
from twinlock.cli.group.proposals import require_signatures
from twinlock.cli.member_side import unlock
from twinlock.cli.terminal import Terminal, done, next_steps
from twinlock.cli.who import Using, Who
from twinlock.core.membership import ColumnState, GroupState
from twinlock.core.proposal import Proposal
from twinlock.errors import CallerError

if TYPE_CHECKING:
    from twinlock.adopt.settings import Adoption
    from twinlock.adopt.site import Site
    from twinlock.adopt.states import Column

_WORDS: Final = {
    ColumnState.LEGACY: "legacy values may be read",
    ColumnState.CUT_OVER: "cut over, legacy values are refused",
}


def allow(
    terminal: Terminal,
    member: MemberOption,
    columns: ColumnsArgument = None,
    propose: ProposeOption = None,
    bundle: BundleOption = None,
    using: Using = Using(),
    adopt: AdoptOption = DEFAULT,
) -> None:
    """Sign that legacy values of these columns may be read, for as long as the adoption runs.

    The member has to be an admin of the authority group.

    [dim]twinlock adopt allow --member weber[/dim]
    """
    route = Route(Who.of(member, using), propose, bundle)
    adoption, names = adoption_of(adopt), columns or ()
    if propose is not None:
        _propose(terminal, route, adoption, names, ColumnState.LEGACY)
        return
    with site(terminal, adopt) as found:
        signed = _sign(terminal, found, route.who, names, ColumnState.LEGACY)
    _show(terminal, signed, ColumnState.LEGACY, "twinlock adopt run --mode rewrap")


def cutover(
    terminal: Terminal,
    member: MemberOption,
    columns: ColumnsArgument = None,
    accept: Annotated[
        list[str] | None,
        typer.Option(
            metavar="TABLE/KEY",
            help="A legacy row that may become unreadable; repeat it for each.",
        ),
    ] = None,
    propose: ProposeOption = None,
    bundle: BundleOption = None,
    using: Using = Using(),
    adopt: AdoptOption = DEFAULT,
) -> None:
    """Sign that legacy values are not read any more. Stop the old application first.

    Refused while rows are legacy, unless each of them is named with --accept: it will not open
    again. From then on a legacy row that is put back from a backup is refused by name. Going back
    lowers a floor.

    [dim]twinlock adopt cutover --member weber[/dim]
    """
    from twinlock.adopt.contract import require_no_legacy

    route = Route(Who.of(member, using), propose, bundle)
    names = columns or ()
    with site(terminal, adopt) as found:
        found.require_migrated()
        wanted = _by_table(found, names)
        with found.database.read() as connection:
            lost = require_no_legacy(
                connection, map(found.table, wanted), frozenset(accept or ()), wanted
            )
        if propose is not None:
            _propose(terminal, route, found.adoption, names, ColumnState.CUT_OVER)
            return
        signed = _sign(terminal, found, route.who, names, ColumnState.CUT_OVER)
        _after_cutover(terminal, found, wanted, lost)
    _show(terminal, signed, ColumnState.CUT_OVER, "twinlock adopt contract --execute")


def _by_table(found: Site, names: Sequence[str]) -> dict[str, list[str]]:
    from twinlock.adopt.states import all_columns

    wanted: dict[str, list[str]] = {}
    for table, column in all_columns(found.adoption, names):
        wanted.setdefault(table.name, []).append(column.name)
    return wanted


def _after_cutover(
    terminal: Terminal, found: Site, wanted: Mapping[str, Sequence[str]], lost: int
) -> None:
    """Drop the triggers of tables that are cut over as a whole: they would turn rows legacy.

    And see if rows became so while it was signed.
    """
    from twinlock.adopt.levels import any_legacy
    from twinlock.adopt.migration import execute
    from twinlock.adopt.states import all_columns, authority_state, state_of
    from twinlock.adopt.triggers import drop_trigger

    states, left = authority_state(found.vault, found.adoption), 0
    for name, columns in wanted.items():
        one = found.table(name)
        ended = {state_of(states, name, c.name) for _, c in all_columns(found.adoption, [name])}
        with found.database.write() as connection:
            if ended == {ColumnState.CUT_OVER}:
                postgresql = found.database.is_postgresql
                execute(connection, drop_trigger(one.settings, postgresql=postgresql))
            left += one.count(connection, any_legacy(one, columns))
    if left > lost:
        terminal.warn(
            f"{left - lost} legacy row(s) were written while this was signed; they do not open. "
            "Is the old application running still?"
        )


def _sign(
    terminal: Terminal, found: Site, who: Who, names: Sequence[str], state: ColumnState
) -> list[str]:
    """Have each column's state signed that is not so already; returns their names."""
    from twinlock.adopt.states import all_columns, state_of

    wanted = all_columns(found.adoption, names)
    signed = []
    with unlock(terminal, who) as agent, terminal.progress("Signing", len(wanted)) as advance:
        for column in wanted:
            agent.follow(found.vault.group_bundle(agent.hello()))
            group = followed_group(agent, found.adoption.authority)
            if state_of(group, column[0].name, column[1].name) is not state:
                proposal = _proposing(column, state)(agent, group)
                require_signatures(group, proposal)
                found.vault.append(proposal)
                signed.append(f"{column[0].name}.{column[1].name}")
            advance(1)
        agent.follow(found.vault.group_bundle(agent.hello()))
    return signed


def _propose(
    terminal: Terminal,
    route: Route,
    adoption: Adoption,
    names: Sequence[str],
    state: ColumnState,
) -> None:
    from twinlock.adopt.states import all_columns

    wanted = all_columns(adoption, names)
    if len(wanted) != 1:
        raise CallerError(
            "adopt.one-proposal",
            "A proposal is for one column, as each continues the log behind the one before.",
            hint="Name the column as TABLE.COLUMN, have the proposal appended, then the next.",
        )
    act(terminal, route, adoption.authority, _proposing(wanted[0], state))
    name = f"{wanted[0][0].name}.{wanted[0][1].name}"
    terminal.result(
        {"columns": [name], "state": int(state), "proposal": str(route.propose)},
        done(f"Proposed in {route.propose}: {name}: {_WORDS[state]}."),
        next_steps(f"twinlock group append {route.propose}"),
    )


def _proposing(column: Column, state: ColumnState) -> Callable[[Agent, GroupState], Proposal]:
    table, one = column

    def make(agent: Agent, group: GroupState) -> Proposal:
        return agent.admin.set_column(group.group_id, table.name, one.name, state)

    return make


def _show(terminal: Terminal, signed: Sequence[str], state: ColumnState, step: str) -> None:
    lines = [done(f"{name}: {_WORDS[state]}.") for name in signed]
    nothing = [done("Nothing to sign: it is so already.")]
    data = {"columns": list(signed), "state": int(state), "proposal": None}
    terminal.result(data, *(lines or nothing), next_steps(step))
