"""``twinlock member contacts reply | confirm | share``: a contact helps another member back."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from twinlock.agent.aiding import Aiding
from twinlock.cli.group.history import moment
from twinlock.cli.member.contacts import deliver
from twinlock.cli.member.online import Delivery, acting
from twinlock.cli.messages import OutputOption, read_message, write_message
from twinlock.cli.terminal import Terminal, done, facts, next_steps
from twinlock.cli.who import NameArgument, Using, Who
from twinlock.core.contacts.codes import show_code
from twinlock.core.contacts.letter import HOUR
from twinlock.core.contacts.messages import decode_ask, decode_opening

AskArgument = Annotated[
    Path, typer.Argument(metavar="ASK", help="What the new device wrote with `request`.")
]
BundleOption = Annotated[
    Path | None, typer.Option(metavar="FILE", help="News from `twinlock group bundle`.")
]
CodeOption = Annotated[
    str, typer.Option(metavar="DIGITS", help="The eight digits that the other one reads out.")
]


def reply(
    terminal: Terminal,
    name: NameArgument,
    ask: AskArgument,
    output: OutputOption,
    bundle: BundleOption = None,
    using: Using = Using(),
) -> None:
    """Answer a new device that asks NAME, a contact, for help. Nothing is given away yet.

    [dim]twinlock member contacts reply anna weber.ask -o anna.reply[/dim]
    """
    raw = read_message(ask, "recovery ask")
    with acting(terminal, Who.of(name, using), Delivery(bundle=bundle)) as acts:
        asked = Aiding.of(acts.agent).reply(raw)
    write_message(output, asked.reply)
    if str(output) == "-":
        return
    data = {
        "output": str(output),
        "recovery": asked.digest.hex(),
        "member": asked.name,
        "group": asked.group,
        "needed": asked.needed,
        "contacts": asked.count,
        "wait_hours": asked.wait / HOUR,
    }
    terminal.result(
        data,
        done(f"Wrote {output}. Somebody says to be {asked.name}, who lost every way in."),
        facts(
            [
                ("needed", f"{asked.needed} of {asked.count} contacts"),
                ("announced in", asked.group),
                ("waiting time", f"{asked.wait / HOUR:g} hours"),
            ]
        ),
        f"\nCall {asked.name}, on a number that you know. Have the code read out to you.\n",
        next_steps(
            f"twinlock member contacts open NAME {output}     (the new device)",
            f"twinlock member contacts confirm {name} OPENING --code DIGITS",
        ),
    )


def confirm(
    terminal: Terminal,
    name: NameArgument,
    opening: Annotated[
        Path, typer.Argument(metavar="OPENING", help="What the new device wrote with `open`.")
    ],
    code: CodeOption,
    propose: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write the notice for `twinlock group append`."),
    ] = None,
    bundle: BundleOption = None,
    using: Using = Using(),
) -> None:
    """Compare the code that the person read out, announce the recovery, and read a code back.

    Only for a person whom you know by voice, or who sits before you. The agent compares; after
    three other codes it ends.

    [dim]twinlock member contacts confirm anna anna.opening --code 12345678 --propose FILE[/dim]
    """
    raw = read_message(opening, "recovery opening")
    with acting(terminal, Who.of(name, using), Delivery(bundle=bundle)) as acts:
        confirmed = Aiding.of(acts.agent).confirm(raw, code)
    digest = decode_opening(raw).digest
    data = {"recovery": digest.hex(), "code": confirmed.code, "announced": confirmed.notice is None}
    steps = []
    if confirmed.notice is not None:
        data |= deliver(terminal, [confirmed.notice], propose)
        if propose is not None:
            steps.append(f"twinlock group append {propose}     (server)")
    steps.append(f"twinlock member contacts share {name} ASK -o FILE     (after the waiting time)")
    terminal.result(
        data,
        done("The codes agree."),
        facts([("read this back", show_code(confirmed.code))]),
        next_steps(*steps),
    )


def share(
    terminal: Terminal,
    name: NameArgument,
    ask: AskArgument,
    output: OutputOption,
    bundle: Annotated[
        Path,
        typer.Option(metavar="FILE", help="The newest news, from `twinlock group bundle`."),
    ],
    using: Using = Using(),
) -> None:
    """Hand over the share, sealed to the device whose code was compared, once the time is over.

    [dim]twinlock member contacts share anna weber.ask --bundle anna.bundle -o anna.share[/dim]
    """
    digest = decode_ask(read_message(ask, "recovery ask")).request.digest
    news = read_message(bundle, "group bundle")
    with acting(terminal, Who.of(name, using), Delivery(bundle=bundle)) as acts:
        aiding = Aiding.of(acts.agent)
        due = aiding.due(digest)
        if due is not None:
            terminal.say(f"The share is due from {moment(due)}.")
        raw = aiding.share(digest, news)
    write_message(output, raw)
    if str(output) == "-":
        return
    terminal.result(
        {"output": str(output), "recovery": digest.hex()},
        done(f"Wrote {output}: {name}'s share, which that device alone can open."),
        next_steps(f"twinlock member contacts take NAME {output} --code DIGITS     (new device)"),
    )
