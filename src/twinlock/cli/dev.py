"""``twinlock dev``: a whole deployment on a laptop, with SoftHSM, two members and two groups."""

from __future__ import annotations

import shlex
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from twinlock.agent.agent import Agent
from twinlock.agent.factors import DeviceKey
from twinlock.agent.member import create_member
from twinlock.cli.command import command
from twinlock.cli.init import Wanted, found
from twinlock.cli.server_side import open_vault
from twinlock.cli.softhsm import make_softhsm_token
from twinlock.cli.terminal import Terminal, done, facts, next_steps
from twinlock.cli.typed import passphrase
from twinlock.core.factors import EnrollableFactor
from twinlock.core.membership import Policy
from twinlock.errors import CallerError

if TYPE_CHECKING:
    from twinlock.server.config import Config
    from twinlock.server.vault import Vault

ADMIN: Final = "weber"
MEMBER: Final = "kim"
GROUPS: Final = ("ward", "emergency")
SUITES: Final = ("rsa-oaep", "token-aes")
DEFAULT_FOLDER: Final = Path("twinlock-dev")


def dev(
    terminal: Terminal,
    folder: Annotated[
        Path, typer.Argument(metavar="DIR", help="A folder that does not exist yet.")
    ] = DEFAULT_FOLDER,
    passphrase_env: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Variable with weber's passphrase; else it is asked."),
    ] = None,
) -> None:
    """Make a deployment to play with: SoftHSM token, store, two members, two groups.

    weber (device key and passphrase) administers the groups ward and emergency; kim (device key)
    is a member of both. Nothing outside DIR is touched; remove it to be rid of it.

    [dim]twinlock dev && source twinlock-dev/env[/dim]
    """
    chosen = passphrase(terminal, passphrase_env, f"New passphrase of {ADMIN}: ", confirm=True)
    with _new_folder(folder):
        config = _found(terminal, folder)
        vault = open_vault(config, terminal)
        try:
            _people(vault, config, folder / "members", chosen)
        finally:
            vault.close()
        env = _write_env(folder)
    _show(terminal, folder, env)


@contextmanager
def _new_folder(folder: Path) -> Iterator[None]:
    """Make the folder, and take it away again if the block fails."""
    if folder.exists():
        raise CallerError(
            "file.exists",
            f"{folder} exists already.",
            hint="Name another folder, or remove this one: it is for playing only.",
        )
    folder.mkdir(parents=True, mode=0o700)
    try:
        yield
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


def _found(terminal: Terminal, folder: Path) -> Config:
    token = make_softhsm_token(folder, "twinlock-dev")
    wanted = Wanted(
        folder=folder.resolve(),
        token_uri=token.uri,
        pin_file=token.pin_file,
        suites=SUITES,
        production=False,
    )
    return found(terminal, folder / "twinlock.toml", wanted)


def _people(vault: Vault, config: Config, home: Path, chosen: EnrollableFactor) -> None:
    from twinlock.server.setup import deployment_card, writer_of

    card = deployment_card(config)
    device = DeviceKey.create(home / f"{ADMIN}.key")
    create_member(ADMIN, [device, chosen], deployment=card, home=home)
    own = DeviceKey.create(home / f"{MEMBER}.key")
    create_member(MEMBER, [own], deployment=card, home=home)
    policy, writers = Policy(outer_suites=config.accept), [writer_of(config)]
    with (
        Agent.unlock(ADMIN, device, chosen, home=home) as admin,
        Agent.unlock(MEMBER, own, home=home) as member,
    ):
        for name in GROUPS:
            for proposal in admin.admin.found(name, policy, writers=writers):
                vault.append(proposal)
            admin.follow(vault.group_bundle(admin.hello()))
            invitation = admin.admin.invite(vault.group(name).group_id)
            vault.append(admin.admin.add(invitation.group_id, member.card(invitation)))
            admin.follow(vault.group_bundle(admin.hello()))
        member.follow(vault.group_bundle(member.hello()))


def _write_env(folder: Path) -> Path:
    base = folder.resolve()
    values = {
        "SOFTHSM2_CONF": base / "softhsm2.conf",
        "TWINLOCK_CONFIG": base / "twinlock.toml",
        "TWINLOCK_HOME": base / "members",
    }
    lines = [f"export {name}={shlex.quote(str(value))}" for name, value in values.items()]
    path = folder / "env"
    path.write_text("\n".join(["# source this file", *lines, ""]), encoding="utf-8")
    return path


def _show(terminal: Terminal, folder: Path, env: Path) -> None:
    data = {
        "folder": str(folder.resolve()),
        "config": str((folder / "twinlock.toml").resolve()),
        "env": str(env.resolve()),
        "home": str((folder / "members").resolve()),
        "members": [ADMIN, MEMBER],
        "groups": list(GROUPS),
    }
    terminal.result(
        data,
        done(f"A deployment to play with is in {folder}."),
        facts(
            [
                ("weber", "admin of ward and emergency; device key and passphrase"),
                ("kim", "member of both; device key"),
            ]
        ),
        "",
        next_steps(
            f"source {env}     (sets SOFTHSM2_CONF, TWINLOCK_CONFIG, TWINLOCK_HOME)",
            "twinlock doctor",
            "twinlock group show ward",
            "twinlock seal --csv patients.csv --id patient_id --columns finding,outcome "
            "--to ward --to emergency",
            "twinlock open --as kim --table patients --limit 5",
        ),
    )


def add_to(app: typer.Typer, panel: str) -> None:
    """Register the command."""
    command(app, "dev", rich_help_panel=panel)(dev)
