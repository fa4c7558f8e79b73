"""``twinlock device-key to-keyring | from-keyring | list``: where a member's keys are."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from twinlock.agent.device_keys import load_device_key, save_device_key
from twinlock.cli.keyrings import key_in_keyring, keyring_keys
from twinlock.cli.member_side import locked_state
from twinlock.cli.terminal import Terminal, done, next_steps, table
from twinlock.cli.who import HOME, HomeOption, KeyOption, NameArgument, Who
from twinlock.core.device_key_backup import device_key_check, read_check
from twinlock.errors import EnvError, TwinlockError
from twinlock.keyring.entries import keyring_name


def to_keyring(
    terminal: Terminal,
    name: NameArgument,
    home: HomeOption = HOME,
    key: KeyOption = None,
    keep_file: Annotated[
        bool, typer.Option("--keep-file", help="Leave the key file where it is.")
    ] = False,
) -> None:
    """Move a key file into the system's keyring. The file is deleted once the key is there.

    [dim]twinlock device-key to-keyring weber[/dim]
    """
    who = Who(name, home, key)
    state, path = locked_state(who), who.key_file
    moved = load_device_key(path)
    kept = keyring_keys().keep(state.deployment_id, state.member_id, moved)
    if not keep_file:
        _remove(path)
    terminal.result(
        {"member": name, "check": kept.check, "file": str(path) if keep_file else None},
        done(f"The device key {kept.check} is in the system's keyring."),
        f"{path} is still there, and goes before it.\n" if keep_file else f"{path} was deleted.\n",
        next_steps(f"twinlock device-key backup {name} --page {name}.page     (if there is none)"),
    )


def from_keyring(
    terminal: Terminal,
    name: NameArgument,
    which: Annotated[
        str, typer.Option("--check", metavar="CHECK", help="Which key, if there are several.")
    ] = "",
    home: HomeOption = HOME,
    key: KeyOption = None,
    keep_entry: Annotated[
        bool, typer.Option("--keep-entry", help="Leave the key in the keyring too.")
    ] = False,
) -> None:
    """Move a device key out of the system's keyring into a key file.

    [dim]twinlock device-key from-keyring weber[/dim]
    """
    who = Who(name, home, key)
    found = key_in_keyring(locked_state(who), read_check(which) if which else "")
    save_device_key(who.key_file, found.export())
    if not keep_entry:
        found.delete()
    terminal.result(
        {"member": name, "check": found.check, "file": str(who.key_file)},
        done(f"The device key {found.check} is in {who.key_file}."),
    )


def list_keys(terminal: Terminal, name: NameArgument, home: HomeOption = HOME) -> None:
    """List a member's device keys on this computer, with their checks.

    [dim]twinlock device-key list weber[/dim]
    """
    who = Who(name, home)
    state = locked_state(who)
    keys = []
    for path in sorted({who.key_file, *home.glob(f"{name}.*.key")}):
        if path.exists():
            keys.append({"place": str(path), **_check_in(path)})
    keyring: dict[str, Any] = {"name": None, "error": None}
    try:
        found = keyring_keys().all_of(state.deployment_id, state.member_id)
        keyring["name"] = keyring_name()
        keys += [{"place": "keyring", "check": one.check, "error": None} for one in found]
    except TwinlockError as error:
        keyring["error"] = error.code
        terminal.say(f"{error.message} [{error.code}]")
    terminal.result(
        {"member": name, "keys": keys, "keyring": keyring},
        table(["device key", "check"], [[k["place"], k["check"] or k["error"]] for k in keys]),
    )


def _check_in(path: Path) -> dict[str, str | None]:
    try:
        return {"check": device_key_check(load_device_key(path)), "error": None}
    except TwinlockError as error:
        return {"check": None, "error": error.code}


def _remove(path: Path) -> None:
    try:
        path.unlink()
    except OSError as error:
        raise EnvError(
            "device-key.file-stays",
            f"The key is in the system's keyring, but {path} could not be deleted.",
            hint="Delete it yourself: while it is there it goes before the keyring.",
        ) from error
