"""Making a deployment: its token keys, directory, store, writer key and configuration."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from twinlock.core.deployment import DeploymentCard
from twinlock.core.keyfile import KEY_SIZE, decode_key_file, encode_key_file
from twinlock.core.membership import Writer
from twinlock.core.ports import Clock, KeyRole, OuterSuite, Randomness, Token, TokenKey
from twinlock.core.primitives import SigningKey, signing_key_from_seed
from twinlock.core.secret import Secret
from twinlock.core.statements import (
    KEY_LIFE,
    Directory,
    Statement,
    identity_fingerprint,
    token_key_statement,
    verify_directory,
)
from twinlock.errors import CallerError
from twinlock.files import read_private, write_private
from twinlock.server.config import SUITE_NAMES, Config, render_config
from twinlock.store.sql import SqlStore

"""Seconds for which a directory statement holds; rotation replaces keys long before."""

_WRITER: Final = "writer-key"


def connect_token(config: Config, *, ask_pin: Callable[[], Secret] | None = None) -> Token:
    """Connect the token that a configuration names. Needs the ``token`` extra.

    ``ask_pin`` is called when neither the configuration nor the token URI says where the PIN is.
    Raises ``token.*``, ``pin.*``, or ``token.not-installed``.
    """
    try:
        from twinlock.token.pin import PinSource, pin_from_environment, pin_from_file
        from twinlock.token.pkcs11_token import Pkcs11Token
        from twinlock.token.uri import parse_uri
    except ImportError as error:
        raise CallerError(
            "token.not-installed",
            "PKCS#11 support is not installed here.",
            hint="Install twinlock[token].",
        ) from error
    pin: PinSource | None = None
    if config.pin_file is not None:
        pin = pin_from_file(config.pin_file)
    elif config.pin_env is not None:
        pin = pin_from_environment(config.pin_env)
    elif parse_uri(config.token_uri).pin_source is None:
        pin = ask_pin
    return Pkcs11Token.connect(
        config.token_uri,
        pin,
        profile=config.token_profile,
        sessions=config.sessions,
        reserved=config.token_reserved,
    )


def load_directory(store: SqlStore, config: Config, now: int) -> tuple[list[Statement], Directory]:
    """Read and verify the token directory against the pinned identity."""
    statements = [Statement(row.statement, row.signature) for row in store.directory.statements()]
    directory = verify_directory(
        statements, deployment_id=config.deployment_id, fingerprint=config.identity, now=now
    )
    return statements, directory


def found_deployment(
    draft: Config,
    store: SqlStore,
    token: Token,
    *,
    suites: Sequence[OuterSuite],
    rsa_bits: int = 3072,
    clock: Clock = lambda: int(time.time()),
    randomness: Randomness = os.urandom,
) -> Config:
    """Make a deployment's token keys and directory; return the configuration with its pins.

    ``draft`` has no deployment id or identity yet. Persistent keys are made in the token: this is
    the verb for it. Raises ``deployment.exists`` when the store belongs to a deployment already.
    """
    if store.meta.get("deployment") is not None:
        raise CallerError(
            "deployment.exists",
            "This store belongs to a deployment already.",
            hint="Use its configuration, or name an empty store.",
        )
    deployment_id = randomness(16)
    identity = token.generate_key(KeyRole.IDENTITY)
    keys = [identity, token.generate_key(KeyRole.LOG), token.generate_key(KeyRole.AUDIT)]
    keys += [token.generate_key(KeyRole.WRAPPING, suite, rsa_bits=rsa_bits) for suite in suites]
    for key in keys:
        state_key(store, token, identity, deployment_id, key, clock())
    store.meta.set_once("deployment", deployment_id)
    return replace(
        draft,
        deployment_id=deployment_id,
        identity=identity_fingerprint(identity.public),
    )


def state_key(
    store: SqlStore,
    token: Token,
    identity: TokenKey,
    deployment_id: bytes,
    key: TokenKey,
    now: int,
) -> None:
    """Have the identity key state a token key, and put the statement into the directory."""
    raw = token_key_statement(deployment_id, key, token.serial, now, now + KEY_LIFE)
    store.directory.add_statement(key.kid, key.role.value, raw, token.sign(identity.kid, raw))


def add_wrapping_key(
    store: SqlStore, token: Token, config: Config, suite: OuterSuite, *, rsa_bits: int, now: int
) -> TokenKey:
    """Make another wrapping key and state it; new records are sealed under it from then on."""
    _, directory = load_directory(store, config, now)
    key = token.generate_key(KeyRole.WRAPPING, suite, rsa_bits=rsa_bits)
    state_key(store, token, directory.identity, config.deployment_id, key, now)
    return key


def add_hardening_key(store: SqlStore, token: Token, config: Config, *, now: int) -> TokenKey:
    """Make another hardening key and state it: one more bucket for new enrolments of passwords."""
    _, directory = load_directory(store, config, now)
    key = token.generate_key(KeyRole.HARDENING)
    state_key(store, token, directory.identity, config.deployment_id, key, now)
    return key


def add_verifier_key(store: SqlStore, token: Token, config: Config, *, now: int) -> TokenKey:
    """Make another key that locks login verifiers and state it; new ones are locked with it."""
    _, directory = load_directory(store, config, now)
    key = token.generate_key(KeyRole.VERIFIER)
    state_key(store, token, directory.identity, config.deployment_id, key, now)
    return key


def outer_suites(names: Sequence[str], token: Token) -> list[OuterSuite]:
    """Return the outer suites that the names stand for on this token."""
    chosen = []
    for name in names:
        if name not in SUITE_NAMES:
            raise CallerError(
                "suite.unknown-name",
                f"There is no suite {name!r}.",
                hint=f"There are {', '.join(SUITE_NAMES)}.",
            )
        chosen.append(OuterSuite.TOKEN_AES if name == "token-aes" else token.rsa_oaep_suite)
    return chosen


def write_config(path: Path, config: Config) -> None:
    """Write a new configuration file. Raises ``file.exists``."""
    write_private(path, render_config(config).encode(), exclusive=True)


def create_writer_key(path: Path, *, randomness: Randomness = os.urandom) -> SigningKey:
    """Make a writer key file with mode 0600. Raises ``file.exists``."""
    seed = Secret(randomness(KEY_SIZE))
    write_private(path, encode_key_file(_WRITER, seed).encode("ascii"), exclusive=True)
    return signing_key_from_seed(seed)


def read_writer_key(path: Path) -> SigningKey | None:
    """Read the writer key; None when the file does not exist: such a vault only opens."""
    if not path.exists():
        return None
    return signing_key_from_seed(decode_key_file(_WRITER, read_private(path, max_size=4096)))


def writer_of(config: Config) -> Writer:
    """Return this application's writer, as groups name it."""
    key = read_writer_key(config.writer_key)
    if key is None:
        raise CallerError(
            "writer.missing", "There is no writer key.", hint="Run `twinlock init` to make one."
        )
    return Writer(config.writer_name, key.public)


def deployment_card(config: Config) -> DeploymentCard:
    """Return the card that first members pin, to be handed over outside the server."""
    return DeploymentCard(config.deployment_id, config.identity)
