"""``twinlock token``: the deployment's keys in the token, and the card that names them."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated, Any

import typer

from twinlock.cli import rotation
from twinlock.cli.command import command, new_app
from twinlock.cli.failure import EXIT_ENVIRONMENT
from twinlock.cli.group.history import moment
from twinlock.cli.server_side import configuration, connect, needing_server, open_store, vault
from twinlock.cli.terminal import Terminal, done, next_steps, table
from twinlock.errors import TwinlockError

if TYPE_CHECKING:
    from twinlock.core.statements import DirectoryEntry

app = new_app("The token's keys, as its identity key states them.")


@command(app, "list")
def list_keys(terminal: Terminal) -> None:
    """List the keys of the token directory, verified; the token itself is not asked.

    [dim]twinlock token list[/dim]
    """
    with vault(terminal) as opened:
        keys = [_facts(entry) for entry in opened.directory.entries]
    rows = [[k["role"], k["suite"], k["kid"], k["serial"], moment(k["not_after"])] for k in keys]
    terminal.result(
        {"keys": keys}, table(["role", "suite", "id", "token serial", "stated until"], rows)
    )


@command(app, "check")
def check(terminal: Terminal) -> int | None:
    """Find every stated key in the token, and check its public part and its attributes.

    [dim]twinlock token check[/dim]
    """
    config = configuration(terminal)
    with needing_server():
        from twinlock.server.setup import load_directory
    with open_store(config) as store:
        _, directory = load_directory(store, config, int(time.time()))
    token = connect(config, terminal)
    keys: list[dict[str, Any]] = []
    try:
        for entry in directory.entries:
            finding = None
            try:
                token.load_keys([entry.key])
            except TwinlockError as error:
                finding = {"code": error.code, "message": error.message}
            keys.append({**_facts(entry), "ok": finding is None, "error": finding})
    finally:
        token.close()
    ok = all(key["ok"] for key in keys)
    rows = [
        [k["role"], k["suite"], k["kid"], "ok" if k["ok"] else k["error"]["message"]] for k in keys
    ]
    terminal.result({"ok": ok, "keys": keys}, table(["role", "suite", "id", "finding"], rows))
    return None if ok else EXIT_ENVIRONMENT


@command(app, "add-key")
def add_key(
    terminal: Terminal,
    suite: Annotated[str, typer.Option(metavar="SUITE", help="rsa-oaep or token-aes.")],
    rsa_bits: Annotated[int, typer.Option(metavar="N", help="2048, 3072 or 4096.")] = 3072,
) -> None:
    """Make another wrapping key and state it; new records of its suite are sealed under it.

    [dim]twinlock token add-key --suite token-aes[/dim]
    """
    with needing_server():
        from twinlock.server.setup import add_wrapping_key, outer_suites
    with vault(terminal) as opened:
        (outer,) = outer_suites([suite], opened.token)
        key = add_wrapping_key(
            opened.store,
            opened.token,
            opened.config,
            outer,
            rsa_bits=rsa_bits,
            now=int(time.time()),
        )
    if outer not in opened.config.accept:
        terminal.warn(f"{suite} is not among [suites] accept of {terminal.config}: add it there.")
    data = {"kid": key.kid.hex(), "role": key.role.value, "suite": outer.name}
    terminal.result(
        data,
        done(f"Made the wrapping key {key.kid.hex()} ({outer.name})."),
        next_steps("twinlock token check"),
    )


@command(app, "add-hardening-key")
def add_hardening_key(terminal: Terminal) -> None:
    """Make another key that hardens passwords, and state it; it serves new enrolments.

    Each such key is a bucket of accounts with limits of its own. Keep it for as long as anybody's
    password is hardened with it: without the key, the password opens nothing.

    [dim]twinlock token add-hardening-key[/dim]
    """
    with needing_server():
        from twinlock.server.setup import add_hardening_key as make
    with vault(terminal) as opened:
        key = make(opened.store, opened.token, opened.config, now=int(time.time()))
    terminal.result(
        {"kid": key.kid.hex(), "role": key.role.value},
        done(f"Made the hardening key {key.kid.hex()}."),
        next_steps("twinlock guess-cost"),
    )


@command(app, "add-verifier-key")
def add_verifier_key(terminal: Terminal) -> None:
    """Make another key that locks SCRAM verifiers, and state it; it serves new verifiers.

    Keep it for as long as any verifier is locked with it: without the key, nobody signs in by it.

    [dim]twinlock token add-verifier-key[/dim]
    """
    with needing_server():
        from twinlock.server.setup import add_verifier_key as make
    with vault(terminal) as opened:
        key = make(opened.store, opened.token, opened.config, now=int(time.time()))
    terminal.result(
        {"kid": key.kid.hex(), "role": key.role.value},
        done(f"Made the verifier key {key.kid.hex()}."),
        next_steps("twinlock token check"),
    )


command(app, "needed-by")(rotation.needed_by)
command(app, "retire")(rotation.retire)
command(app, "relock-verifiers")(rotation.relock_verifiers)
command(app, "destroy")(rotation.destroy)


@command(app, "card")
def card(terminal: Terminal) -> None:
    """Print the deployment's card again, for first members to pin.

    [dim]twinlock token card[/dim]
    """
    with needing_server():
        from twinlock.server.setup import deployment_card
    text = deployment_card(configuration(terminal)).to_text()
    terminal.result({"card": text}, text)


def _facts(entry: DirectoryEntry) -> dict[str, Any]:
    key = entry.key
    return {
        "role": key.role.value,
        "suite": None if key.suite is None else key.suite.name,
        "kid": key.kid.hex(),
        "serial": entry.serial,
        "not_before": entry.not_before,
        "not_after": entry.not_after,
    }
