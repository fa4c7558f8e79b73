"""``twinlock request``: ask for records on the server; the request is held until it is opened."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any

import typer

from twinlock.cli import holder_client
from twinlock.cli.command import command
from twinlock.cli.holder import Held, Job, hold
from twinlock.cli.messages import OutputOption, read_message, write_message
from twinlock.cli.records import (
    AfterOption,
    AllOption,
    ColumnsOption,
    IdsOption,
    LimitOption,
    TableOption,
    select,
)
from twinlock.cli.sealed_files import file_name_of
from twinlock.cli.server_side import ask_pin, configuration, needing_server, needs_pin
from twinlock.cli.terminal import Terminal, done, next_steps
from twinlock.core.request import MAX_REQUEST_LIFE


def request(
    terminal: Terminal,
    hello: Annotated[Path, typer.Option("--for", metavar="HELLO", help="The member's hello.")],
    output: OutputOption,
    table: TableOption = None,
    ids: IdsOption = None,
    all_rows: AllOption = False,
    limit: LimitOption = None,
    after: AfterOption = None,
    columns: ColumnsOption = None,
    file: Annotated[
        Path | None, typer.Option(metavar="FILE", help="A sealed file, in place of a table.")
    ] = None,
    name: Annotated[
        str | None, typer.Option(metavar="RECORD", help="What the file is called.")
    ] = None,
    purpose: Annotated[
        str, typer.Option(metavar="TEXT", help="What for; the member sees it.")
    ] = "",
    assist: Annotated[
        Path | None,
        typer.Option(metavar="REQUEST", help="Write what another member needs to help with it."),
    ] = None,
    wait: Annotated[
        int,
        typer.Option(
            metavar="SECONDS", min=1, max=MAX_REQUEST_LIFE, help="How long to hold the request."
        ),
    ] = MAX_REQUEST_LIFE,
    foreground: Annotated[
        bool, typer.Option("--foreground", help="Hold it in this terminal.")
    ] = False,
) -> None:
    """Ask a member for records: writes a request that lives for two minutes.

    A process of its own holds the request and its transport key until it is opened or too old.

    [dim]twinlock request --for weber.hello --table patients --ids P0001,P0002 -o request.twl[/dim]

    [dim]twinlock request --assist request.twl --for officer.hello -o assist.twl[/dim]
    """
    said = read_message(hello, "hello")
    if assist is not None:
        _assist(terminal, assist, said, output)
        return
    selection = None if file else select(table, ids, all_rows, limit, after, columns)
    config = configuration(terminal)
    with needing_server():
        pin = ask_pin(terminal) if needs_pin(config) else None
    job = Job(
        terminal.config.absolute(),
        said,
        purpose,
        wait,
        selection,
        None if file is None else file.absolute(),
        name or ("" if file is None else file_name_of(file)),
        pin,
    )
    if foreground:
        hold(job, lambda held: _held_here(terminal, job, held, output))
        terminal.say("The request is no longer held.")
        return
    ready = holder_client.start(job)
    write_message(output, ready.bundle)
    _show(terminal, job, output, ready.rows, ready.missing, ready.bundle)


def _held_here(terminal: Terminal, job: Job, held: Held, output: Path) -> None:
    write_message(output, held.bundle)
    _show(terminal, job, output, len(held.rows), len(held.missing), held.bundle)
    terminal.say(f"Holding it for {job.wait} s in process {os.getpid()}; Ctrl-C ends it.")


def _show(
    terminal: Terminal, job: Job, output: Path, rows: int, missing: int, bundle: bytes
) -> None:
    if str(output) == "-":
        return
    message = holder_client.message_of(bundle)
    asked = len(message.items)
    left_out = rows + missing - asked if job.file is None else 0
    if left_out:
        terminal.warn(f"{left_out} record(s) cannot be asked for; opening will say why.")
    data: dict[str, Any] = {
        "output": str(output),
        "request_id": message.request_id.hex(),
        "records": asked,
        "not_asked": left_out,
        "not_after": message.not_after,
        "held_for": job.wait,
    }
    terminal.result(
        data,
        done(f"Wrote {output}: {asked} record(s), held for {job.wait} s."),
        next_steps(
            f"twinlock release {output} --as MEMBER -o release.twl     (the member)",
            f"twinlock open {output} release.twl"
            + ("" if job.file is None else f" -o {job.name}")
            + "     (here)",
        ),
    )


def _assist(terminal: Terminal, path: Path, hello: bytes, output: Path) -> None:
    bundle = read_message(path, "request")
    write_message(output, holder_client.assist(terminal.config, bundle, hello))
    if str(output) == "-":
        return
    step = f"twinlock release --help-request {output} --as MEMBER -o share.twl     (who helps)"
    terminal.result({"output": str(output)}, done(f"Wrote {output}"), next_steps(step))


def add_to(app: typer.Typer, panel: str) -> None:
    """Register the command."""
    command(app, "request", rich_help_panel=panel)(request)
