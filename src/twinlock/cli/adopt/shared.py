"""What the commands of ``twinlock adopt`` share: their options, and the place where they work."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from twinlock.cli.server_side import needing_server, vault
from twinlock.cli.terminal import Terminal

if TYPE_CHECKING:
    from twinlock.adopt.settings import Adoption
    from twinlock.adopt.site import Site

ADOPT_VARIABLE: Final = "TWINLOCK_ADOPT"
DEFAULT: Final = Path("adopt.toml")
_PANEL: Final = "What is adopted"

AdoptOption = Annotated[
    Path,
    typer.Option(
        "--adopt",
        metavar="FILE",
        envvar=ADOPT_VARIABLE,
        help="What the old tables look like.",
        show_envvar=True,
        rich_help_panel=_PANEL,
    ),
]
TableOption = Annotated[
    list[str] | None,
    typer.Option(
        "--table",
        metavar="NAME",
        help="Only this table, by its declared name; repeat it.",
        rich_help_panel=_PANEL,
    ),
]
ColumnsArgument = Annotated[
    list[str] | None,
    typer.Argument(metavar="[TABLE.COLUMN]...", help="Default: every declared column."),
]
MemberOption = Annotated[
    str,
    typer.Option(
        "--member", "--as", metavar="MEMBER", help="The member who acts.", rich_help_panel="Member"
    ),
]
HostDekOption = Annotated[
    bool,
    typer.Option(
        "--allow-host-dek",
        help="Let DEKs into this process where the old key only decrypts; noted in each row.",
    ),
]
YesOption = Annotated[bool, typer.Option("--yes", help="Do it without asking.")]


def adoption_of(file: Path) -> Adoption:
    """Read ``adopt.toml``. Raises ``adopt.config*``."""
    with needing_server():
        from twinlock.adopt.reading import load_adoption

    return load_adoption(file)


@contextmanager
def site(terminal: Terminal, file: Path, tables: Sequence[str] | None = None) -> Iterator[Site]:
    """Open vault and application database for a block."""
    adoption = adoption_of(file)
    from twinlock.adopt.site import open_site

    with vault(terminal) as opened, open_site(adoption, opened, tables or ()) as found:
        yield found
