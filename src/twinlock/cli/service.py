"""The server as members' commands reach it: over HTTP, or a vault on this very machine.

Which one: ``--service URL`` (or TWINLOCK_SERVICE), else the configuration that was named. What a
server says is believed by nobody here; factors and agent check it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Final, Protocol

import typer

from twinlock.agent.factors import HardeningService
from twinlock.agent.scram import ScramService
from twinlock.cli.server_side import needing_server, vault
from twinlock.cli.terminal import Terminal
from twinlock.errors import CallerError

if TYPE_CHECKING:
    from twinlock.server.vault import Vault

SERVICE_VARIABLE: Final = "TWINLOCK_SERVICE"
ServiceOption = Annotated[
    str | None,
    typer.Option(
        "--service",
        metavar="URL",
        envvar=SERVICE_VARIABLE,
        help="The server's member routes; else a vault here, by --config.",
        show_envvar=True,
        rich_help_panel="Member",
    ),
]


class Service(HardeningService, ScramService, Protocol):
    """One account's server: passwords are hardened there, ways in kept, groups followed."""

    def bundle(self, kinds: Iterable[str], enrolment_id: bytes | None = None) -> bytes:
        """Return one enrolment that opens with exactly these factors, or a decoy."""
        ...

    def full_bundle(self, request: bytes) -> bytes:
        """Return all enrolments and the list, for an unlocked member's signed request."""
        ...

    def groups(self, hello: bytes, request: bytes) -> bytes:
        """Return the news of the member's groups."""
        ...

    def change(self, change: bytes) -> None:
        """Hand in a change of ways in. Raises if it was not accepted."""
        ...


@contextmanager
def reached(terminal: Terminal, url: str | None, account: str) -> Iterator[Service | None]:
    """Give the server of a command, None if none was named.

    Raises ``service.not-installed``, ``member-service.url`` and like ``server_side.vault``.
    """
    if url is not None:
        with _over_http(url, account) as service:
            yield service
    elif terminal.config_named:
        with vault(terminal) as opened:
            yield in_vault(opened, account)
    else:
        yield None


def in_vault(opened: Vault, account: str) -> Service:
    """Return a vault that is open in this process as the server."""
    with needing_server():
        from twinlock.cli.service_here import VaultService
    return VaultService(opened, account)


def required(service: Service | None, what: str) -> Service:
    """Return the server. Raises CallerError ``service.unnamed``."""
    if service is None:
        raise CallerError(
            "service.unnamed",
            f"{what} needs the server, and none was named.",
            hint=f"Give --service URL, or set {SERVICE_VARIABLE}; on the server itself --config.",
        )
    return service


@contextmanager
def _over_http(url: str, account: str) -> Iterator[Service]:
    try:
        from twinlock.integrations.member_client import MemberService
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("twinlock"):
            raise
        raise CallerError(
            "service.not-installed",
            f"To reach a server needs the package {error.name}, which is not installed here.",
            hint="Install it with `pip install 'twinlock[httpx,cli]'`.",
        ) from error
    with MemberService(url, account) as service:
        yield service
