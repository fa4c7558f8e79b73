"""``twinlock device-key backup | restore | check``: a device key on paper and on a stick."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from twinlock.agent.device_keys import (
    device_key_page,
    load_device_key,
    read_backup,
    save_device_key,
    write_backup,
    write_page,
)
from twinlock.agent.factors import DeviceKey
from twinlock.cli.at_hand import Known, device_key
from twinlock.cli.device_key.pages import PageEnvOption, ask_printed_key
from twinlock.cli.keyrings import keyring_keys
from twinlock.cli.member_side import locked_state
from twinlock.cli.terminal import Terminal, done, facts, next_steps
from twinlock.cli.typed import passphrase
from twinlock.cli.who import HOME, HomeOption, KeyOption, NameArgument, PassphraseEnvOption, Who
from twinlock.core.device_key_backup import device_key_check, read_check
from twinlock.core.secret import Secret, SecretText
from twinlock.errors import CallerError

BackupOption = Annotated[
    Path | None,
    typer.Option("--file", metavar="BACKUP", help="A backup file under a passphrase."),
]


@dataclass(frozen=True, slots=True)
class Held:
    """A key and where it was found: a path, or ``keyring``."""

    key: Secret
    place: str

    @property
    def check(self) -> str:
        """What the key is called by."""
        return device_key_check(self.key)


def _held(who: Who) -> Held:
    """Return a member's key: from what was named, else from whichever has it.

    Raises ``file.*``, ``key-file.damaged``, ``keyring.*`` or ``member.not-here``.
    """
    if who.in_keyring is None and (who.key is not None or who.key_file.exists()):
        return Held(load_device_key(who.key_file), str(who.key_file))
    found = device_key(who, Known.of(locked_state(who)))
    if isinstance(found, DeviceKey):
        return Held(load_device_key(found.path), str(found.path))
    return Held(found.export(), "keyring")


def backup(
    terminal: Terminal,
    name: NameArgument,
    page: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write a page to print here; - shows it."),
    ] = None,
    file: BackupOption = None,
    home: HomeOption = HOME,
    key: KeyOption = None,
    passphrase_env: PassphraseEnvOption = None,
) -> None:
    """Back a device key up: as a page to print, as a file under a passphrase, or both.

    [dim]twinlock device-key backup weber --page weber.page --file /media/usb/weber.backup[/dim]
    """
    if page is None and file is None:
        raise CallerError(
            "device-key.nowhere",
            "Nothing was named that the backup shall be written to.",
            hint="Name --page FILE (to print it), --file FILE (for a stick), or both.",
        )
    _refuse_existing(page, file)
    held = _held(Who(name, home, key))
    shown: list[Any] = [facts([("check", held.check)])]
    data: dict[str, Any] = {"member": name, "check": held.check, "from": held.place}
    if file is not None:
        prompt = f"Passphrase of the backup of {name}: "
        answer = passphrase(terminal, passphrase_env, prompt, confirm=True)
        write_backup(file, held.key, SecretText(answer.ask()))
        data["file"] = str(file)
        shown.append(f"\nKeep {file} away from this computer, and its passphrase elsewhere.")
    if page is not None and str(page) == "-":
        text = device_key_page(name, held.key).reveal()
        data["text"] = text
        shown.append(f"\n{text.rstrip()}")
    elif page is not None:
        write_page(page, name, held.key)
        data["page"] = str(page)
        shown.append(f"\nPrint {page}, then delete it.")
    options = "" if file is None else f" --file {file}"
    steps = next_steps(f"twinlock device-key check {name} --is {held.check}{options}")
    terminal.result(data, done(f"{name}'s device key is backed up."), *shown, "", steps)


def restore(
    terminal: Terminal,
    name: NameArgument,
    file: BackupOption = None,
    page_env: PageEnvOption = None,
    home: HomeOption = HOME,
    key: KeyOption = None,
    passphrase_env: PassphraseEnvOption = None,
) -> None:
    """Bring a device key back, from its printed page or a backup file. Replaces no file.

    [dim]twinlock device-key restore weber[/dim]
    """
    who = Who(name, home, key)
    state = None if who.in_keyring is None else locked_state(who)
    if state is None:
        _refuse_existing(who.key_file)
    if file is None:
        restored = ask_printed_key(terminal, page_env)
    else:
        restored = _opened(terminal, file, passphrase_env)
    if state is not None:
        keyring_keys().keep(state.deployment_id, state.member_id, restored)
    else:
        save_device_key(who.key_file, restored)
    place = "keyring" if state is not None else str(who.key_file)
    shown = device_key_check(restored)
    terminal.result(
        {"member": name, "check": shown, "to": place},
        done(f"Restored to {place}."),
        facts([("check", shown)]),
        next_steps(f"twinlock member show {name}"),
    )


def check(
    terminal: Terminal,
    name: NameArgument,
    expected: Annotated[
        str | None,
        typer.Option("--is", metavar="CHECK", help="The check on the page: compare with it."),
    ] = None,
    file: BackupOption = None,
    home: HomeOption = HOME,
    key: KeyOption = None,
    passphrase_env: PassphraseEnvOption = None,
) -> None:
    """Show a device key's check, and whether a page or a backup file is of that key.

    A backup file is opened for that, so the passphrase is tried too.

    [dim]twinlock device-key check weber --is 7K3M-9QTX[/dim]
    """
    held = _held(Who(name, home, key))
    compared = []
    if expected is not None:
        compared.append(("page", read_check(expected)))
    if file is not None:
        compared.append((str(file), device_key_check(_opened(terminal, file, passphrase_env))))
    for _, other in compared:
        if other != held.check:
            raise CallerError(
                "device-key.check-differs",
                f"The check of the key in use ({held.place}) is {held.check}, not {other}.",
                hint="That backup is of another key. Make a new one: `device-key backup`.",
            )
    agreed = [what for what, _ in compared]
    terminal.result(
        {"member": name, "check": held.check, "from": held.place, "agrees": agreed},
        *[done(f"Belongs together: the key, the {what}.") for what in agreed],
        facts([("check", held.check), ("device key", held.place)]),
    )


def _opened(terminal: Terminal, file: Path, passphrase_env: str | None) -> Secret:
    found = read_backup(file)
    answer = passphrase(terminal, passphrase_env, f"Passphrase of the backup {found.check}: ")
    return found.open(SecretText(answer.ask()))


def _refuse_existing(*paths: Path | None) -> None:
    """Before anybody types anything for nothing."""
    for path in paths:
        if path is not None and path.exists():
            raise CallerError(
                "file.exists", f"{path} exists already.", hint="Move it, or name another file."
            )
