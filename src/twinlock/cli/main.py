"""``twinlock``: the command line. Each family of commands has a module of its own."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import typer

from twinlock.cli.adopt import add_to as add_unseal
from twinlock.cli.adopt import app as adopt_app
from twinlock.cli.audit import app as audit_app
from twinlock.cli.command import (
    ConfigOption,
    Globals,
    Group,
    JsonOption,
    QuietOption,
    command,
    new_app,
)
from twinlock.cli.dev import add_to as add_dev
from twinlock.cli.device_key import app as device_key_app
from twinlock.cli.doctor import add_to as add_doctor
from twinlock.cli.failure import EXIT_INTERRUPTED, interrupted, report
from twinlock.cli.group import app as group_app
from twinlock.cli.guess_cost import add_to as add_guess_cost
from twinlock.cli.init import add_to as add_init
from twinlock.cli.member import app as member_app
from twinlock.cli.open import add_to as add_open
from twinlock.cli.release import add_to as add_release
from twinlock.cli.request import add_to as add_request
from twinlock.cli.seal import add_to as add_seal
from twinlock.cli.terminal import Terminal
from twinlock.cli.tokens import app as token_app


class _Root(Group):
    """Every failure of every command ends here, and shows one face."""

    def main(self, args: Sequence[str] | None = None, *rest: Any, **extra: Any) -> Any:
        given = list(sys.argv[1:] if args is None else args)
        extra["standalone_mode"] = False
        try:
            code = super().main(given, *rest, **extra)
        except SystemExit:
            raise
        except BaseException as failure:  # noqa: BLE001 - the border: nothing passes unseen
            sys.exit(_failed(failure, given))
        if code == EXIT_INTERRUPTED:
            interrupted()
        sys.exit(code or 0)


def _failed(failure: BaseException, given: Sequence[str]) -> int:
    if isinstance(failure, KeyboardInterrupt):
        return interrupted()
    if type(failure).__name__ == "NoArgsIsHelpError":
        # Its message is the help text.
        print(getattr(failure, "format_message", str)())
        return 2
    return report(failure, as_json="--json" in given)


app = new_app(
    "Records that open only when a member and the HSM turn their keys together.",
    cls=_Root,
    epilog="Begin on a laptop with [bold]twinlock dev[/bold], on a server with "
    "[bold]twinlock doctor[/bold] and [bold]twinlock init[/bold].",
)


@app.callback()
def root(
    ctx: typer.Context,
    config: ConfigOption = None,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Take the global options."""
    ctx.obj = Globals(config, as_json, quiet)


for add_to in (add_init, add_dev, add_doctor):
    add_to(app, "Set up")
app.add_typer(token_app, name="token", rich_help_panel="Set up")
app.add_typer(member_app, name="member", rich_help_panel="People")
app.add_typer(device_key_app, name="device-key", rich_help_panel="People")
app.add_typer(group_app, name="group", rich_help_panel="People")
for add_to in (add_seal, add_request, add_release, add_open):
    add_to(app, "Records")
app.add_typer(adopt_app, name="adopt", rich_help_panel="Old data")
add_unseal(app, "Old data")
app.add_typer(audit_app, name="audit", rich_help_panel="Look back")
add_guess_cost(app, "Look back")


@command(app, "version", rich_help_panel="Look back")
def version(terminal: Terminal) -> None:
    """Print the version."""
    from importlib.metadata import PackageNotFoundError
    from importlib.metadata import version as version_of

    try:
        number = version_of("twinlock")
    except PackageNotFoundError:
        number = "unknown"
    terminal.result({"version": number}, f"twinlock {number}")


def main() -> None:
    """Run the command line."""
    app(prog_name="twinlock")


if __name__ == "__main__":
    main()
