"""``twinlock init``: a deployment's token keys, store, writer key and configuration."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from twinlock.cli.command import command
from twinlock.cli.server_side import connect, needing_server, use_softhsm_of
from twinlock.cli.terminal import Terminal, done, facts, next_steps
from twinlock.core.deployment import DeploymentCard
from twinlock.core.membership import Writer
from twinlock.errors import CallerError, EnvError

if TYPE_CHECKING:
    from twinlock.server.config import Config


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What a new deployment shall be. ``folder`` is absolute."""

    folder: Path
    token_uri: str
    pin_file: Path | None = None
    pin_env: str | None = None
    store_url: str | None = None
    suites: Sequence[str] = ("rsa-oaep",)
    rsa_bits: int = 3072
    production: bool = True
    profile: str | None = None
    reserved: str | None = None
    sessions: int = 8
    writer: str = "application"

    def draft(self) -> Config:
        """Return the configuration without id and identity. Raises ``config.invalid``."""
        from twinlock.server.config import Config, accept_suites

        return Config(
            folder=self.folder,
            deployment_id=b"",
            identity=b"",
            production=self.production,
            token_uri=self.token_uri,
            token_profile=self.profile,
            token_reserved=self.reserved,
            pin_file=None if self.pin_file is None else self.pin_file.absolute(),
            pin_env=self.pin_env,
            sessions=self.sessions,
            store_url=self.store_url or f"sqlite:///{self.folder / 'store.db'}",
            seal_suite=self.suites[0],
            accept=accept_suites(list(self.suites)),
            writer_name=self.writer,
            writer_key=self.folder / "writer.key",
            pins=self.folder / "pins",
        )


def found(terminal: Terminal, file: Path, wanted: Wanted) -> Config:
    """Make a deployment and write its configuration to ``file``. Overwrites nothing.

    Raises ``config.exists``, ``file.*``, ``deployment.exists``, ``suite.unknown-name``,
    ``token.*``, ``pin.*``, ``store.*``.
    """
    draft = wanted.draft()
    _require_room(file, draft)
    use_softhsm_of(draft)
    with needing_server():
        from twinlock.server import setup
        from twinlock.store.sql import SqlStore

    token = connect(draft, terminal)
    try:
        suites = setup.outer_suites(wanted.suites, token)
        with (
            SqlStore.connect(draft.store_url, create=True) as store,
            terminal.progress("Making the token's keys"),
        ):
            config = setup.found_deployment(
                draft, store, token, suites=suites, rsa_bits=wanted.rsa_bits
            )
    finally:
        token.close()
    setup.create_writer_key(config.writer_key)
    setup.write_config(file, config)
    return config


def _require_room(file: Path, draft: Config) -> None:
    """Refuse before anything is made in the token: its keys would be left without a deployment."""
    for path in (file, draft.writer_key):
        if path.exists():
            raise CallerError(
                "config.exists",
                f"{path} exists already; a deployment is never overwritten.",
                hint="Use another folder, or `twinlock init --migrate` for a new release's schema.",
            )
    if not os.access(draft.folder, os.W_OK | os.X_OK):
        raise EnvError(
            "file.unwritable",
            f"{draft.folder} is not a folder that can be written to.",
            hint="Make it first, or name a configuration file elsewhere with --config.",
        )


def init(
    terminal: Terminal,
    token_uri: Annotated[
        str | None,
        typer.Option(
            metavar="URI",
            envvar="TWINLOCK_TOKEN_URI",
            help="The token: pkcs11:token=LABEL?module-path=/path/to/library.so (RFC 7512).",
        ),
    ] = None,
    pin_file: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="File with the PIN, mode 0600; kept in the config."),
    ] = None,
    pin_env: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Environment variable with the PIN; kept likewise."),
    ] = None,
    store: Annotated[
        str | None,
        typer.Option(metavar="URL", help="postgresql://… or sqlite:///…; default: store.db here."),
    ] = None,
    suite: Annotated[
        list[str] | None,
        typer.Option(
            metavar="SUITE",
            help="rsa-oaep or token-aes; repeat for both. The first one seals.",
            show_default="rsa-oaep",
        ),
    ] = None,
    rsa_bits: Annotated[
        int, typer.Option(metavar="N", help="Size of the RSA wrapping key: 2048, 3072, 4096.")
    ] = 3072,
    production: Annotated[
        bool, typer.Option("--production/--development", help="What this deployment is.")
    ] = True,
    profile: Annotated[
        str | None, typer.Option(metavar="NAME", help="Token profile; default: detected.")
    ] = None,
    reserved: Annotated[
        str | None, typer.Option(metavar="TEXT", help="pReserved of C_Initialize (NSS needs it).")
    ] = None,
    sessions: Annotated[
        int, typer.Option(metavar="N", help="Token sessions that work at once.")
    ] = 8,
    writer: Annotated[
        str, typer.Option(metavar="NAME", help="This application's name as a writer.")
    ] = "application",
    migrate: Annotated[
        bool, typer.Option("--migrate", help="Only bring the store to this release's schema.")
    ] = False,
) -> int | None:
    """Make a deployment: keys in the token, the store, a writer key, twinlock.toml.

    The PIN comes from a file, a variable or a question, never from the command line. Nothing that
    exists is overwritten. Try the token before: [bold]twinlock doctor --token-uri URI[/bold].

    [dim]twinlock init --token-uri 'pkcs11:token=records?module-name=softhsm2' --pin-file pin[/dim]
    """
    if migrate:
        return _migrate(terminal)
    if token_uri is None:
        raise CallerError(
            "init.no-token",
            "A deployment needs a token.",
            hint="Name it with --token-uri 'pkcs11:token=LABEL?module-path=/path/to/library.so'.",
        )
    wanted = Wanted(
        folder=terminal.config.parent.resolve(),
        token_uri=token_uri,
        pin_file=pin_file,
        pin_env=pin_env,
        store_url=store,
        suites=tuple(suite or ["rsa-oaep"]),
        rsa_bits=rsa_bits,
        production=production,
        profile=profile,
        reserved=reserved,
        sessions=sessions,
        writer=writer,
    )
    config = found(terminal, terminal.config, wanted)
    _show(terminal, config)
    return None


def describe(
    terminal: Terminal, config: Config
) -> tuple[dict[str, object], DeploymentCard, Writer]:
    """Return the facts of a new deployment that everybody outside the server needs."""
    from twinlock.server.setup import deployment_card, writer_of

    card, writer = deployment_card(config), writer_of(config)
    data: dict[str, object] = {
        "config": str(terminal.config),
        "deployment": config.deployment_id.hex(),
        "identity": config.identity.hex(),
        "card": card.to_text(),
        "writer": {"name": writer.name, "public": writer.public.hex()},
        "environment": "production" if config.production else "development",
    }
    return data, card, writer


def _show(terminal: Terminal, config: Config) -> None:
    data, card, writer = describe(terminal, config)
    terminal.result(
        data,
        done(f"Deployment {config.deployment_id.hex()} is ready: {terminal.config}"),
        facts(
            [
                ("writer", f"{writer.name}={writer.public.hex()}"),
                ("card", card.to_text()),
            ]
        ),
        "\nHand the card to the first members outside this server: they pin the token with it.\n",
        next_steps(
            "twinlock doctor",
            "twinlock member create NAME --deployment CARD     (on NAME's computer)",
            "twinlock group found ward --as NAME",
        ),
    )


def _migrate(terminal: Terminal) -> int | None:
    from twinlock.cli.server_side import configuration

    config = configuration(terminal)
    with needing_server():
        from twinlock.store.address import parse_address
        from twinlock.store.schema import SCHEMA_REVISION
        from twinlock.store.sql import SqlStore

    parse_address(config.store_url).require_file()
    with SqlStore.connect(config.store_url, create=True) as store:
        place = store.place
    data = {"store": place, "schema": SCHEMA_REVISION}
    terminal.result(data, done(f"The {place} has schema {SCHEMA_REVISION}."))
    return None


def add_to(app: typer.Typer, panel: str) -> None:
    """Register the command."""
    command(app, "init", rich_help_panel=panel)(init)
