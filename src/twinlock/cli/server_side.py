"""What commands on the server share: the configuration, the vault, and where the PIN comes from.

The server's modules are imported when a command needs them, so that the member's side works where
neither PKCS#11 nor a database is installed.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from twinlock.cli.terminal import Terminal
from twinlock.core.secret import Secret
from twinlock.errors import CallerError

if TYPE_CHECKING:
    from twinlock.core.ports import Token
    from twinlock.server.config import Config
    from twinlock.server.vault import Vault
    from twinlock.store.sql import SqlStore

SOFTHSM_VARIABLE: Final = "SOFTHSM2_CONF"
SOFTHSM_FILE: Final = "softhsm2.conf"


def configuration(terminal: Terminal) -> Config:
    """Read the configuration. Raises ``config.*``."""
    from twinlock.server.config import load_config

    config = load_config(terminal.config)
    use_softhsm_of(config)
    return config


def use_softhsm_of(config: Config) -> None:
    """Let a development deployment find the SoftHSM configuration that lies beside its own."""
    beside = config.folder / SOFTHSM_FILE
    if not config.production and SOFTHSM_VARIABLE not in os.environ and beside.is_file():
        os.environ[SOFTHSM_VARIABLE] = str(beside)


@contextmanager
def needing_server() -> Iterator[None]:
    """Say which extra is missing when the server's packages are not installed."""
    try:
        yield
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("twinlock"):
            raise
        raise CallerError(
            "cli.server-not-installed",
            f"This command runs on the server, whose package {error.name} is not installed here.",
            hint="Install it with `pip install 'twinlock[server,cli]'`.",
        ) from error


def ask_pin(terminal: Terminal) -> Secret:
    """Ask for the token's PIN on the terminal."""
    return Secret(terminal.ask_secret("PIN of the token: ").encode())


def needs_pin(config: Config) -> bool:
    """Tell whether only a person can say the PIN."""
    with needing_server():
        from twinlock.token.uri import parse_uri
    named = config.pin_file is not None or config.pin_env is not None
    return not named and parse_uri(config.token_uri).pin_source is None


def connect(config: Config, terminal: Terminal, *, pin: Secret | None = None) -> Token:
    """Connect the token by itself. Raises like ``connect_token``."""
    with needing_server():
        from twinlock.server.setup import connect_token

    return connect_token(config, ask_pin=lambda: ask_pin(terminal) if pin is None else pin)


def open_store(config: Config) -> SqlStore:
    """Open the store by itself. Raises ``store.*``."""
    with needing_server():
        from twinlock.store.sql import SqlStore

    return SqlStore.connect(config.store_url)


def open_vault(config: Config, terminal: Terminal, *, pin: Secret | None = None) -> Vault:
    """Open the vault. Close it afterwards.

    ``pin`` is used, or asked for, where the configuration does not say where it is.
    """
    with needing_server():
        from twinlock.server.pins import FilePins
        from twinlock.server.setup import read_writer_key
        from twinlock.server.vault import Vault

    return Vault(
        config,
        open_store(config),
        lambda: connect(config, terminal, pin=pin),
        pins=FilePins(config.pins),
        writer=read_writer_key(config.writer_key),
    )


@contextmanager
def vault(terminal: Terminal) -> Iterator[Vault]:
    """Open the vault of the command's configuration for a block."""
    opened = open_vault(configuration(terminal), terminal)
    try:
        yield opened
    finally:
        opened.close()
