"""``twinlock member contacts request | open | take | finish | settle``: the new device's side."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from twinlock.agent.home import FileHome
from twinlock.agent.new_device import MAX_KEPT, NewDevice, contacts_enrolment, too_few
from twinlock.agent.recovering import FromServer, recover
from twinlock.agent.revocation import finish_revocation
from twinlock.cli.at_hand import Known, choose_way, factors_for
from twinlock.cli.member.aid import CodeOption
from twinlock.cli.member.making import making
from twinlock.cli.member.options import NewFactors, WithoutGroupOption
from twinlock.cli.messages import OutputOption, read_message, write_message
from twinlock.cli.service import reached
from twinlock.cli.sharing import sharing
from twinlock.cli.terminal import Terminal, done, facts, next_steps
from twinlock.cli.who import HOME, HomeOption, NameArgument, Using, Who
from twinlock.core.contacts.codes import show_code
from twinlock.core.contacts.messages import decode_reply, peek_share
from twinlock.core.deployment import DeploymentCard
from twinlock.core.enrolment import decode_enrolment
from twinlock.core.factors.contacts import KIND
from twinlock.core.member_bundle import decode_member_bundle
from twinlock.core.request import Hello
from twinlock.errors import CallerError
from twinlock.files import read_private, write_private

MemberBundleArgument = Annotated[
    Path, typer.Argument(metavar="BUNDLE", help="From `twinlock member bundle`, on the server.")
]


def request(
    terminal: Terminal,
    name: NameArgument,
    bundle: MemberBundleArgument,
    output: OutputOption,
    home: HomeOption = HOME,
) -> None:
    """Begin to recover NAME on this computer: write what goes to each contact.

    Also writes HOME/NAME.hello, with which the server hands out the groups, and keeps a key of
    this computer in HOME/NAME.recovering until the end.

    [dim]twinlock member contacts request weber weber.bundle -o weber.ask[/dim]
    """
    who = Who(name, home)
    if who.state_file.exists():
        raise CallerError(
            "recovery.not-lost",
            f"{name} is kept in this folder: {who.state_file}.",
            hint="Use another way in, see `twinlock member factors`; or recover in another folder.",
        )
    shown = decode_member_bundle(read_message(bundle, "member bundle"))
    kept = _kept_file(who)
    if kept.exists():
        raise CallerError(
            "file.exists",
            f"{kept} exists already: a recovery of {name} is under way.",
            hint="Go on with it, or delete the file to begin anew.",
        )
    device = NewDevice.begin(name, contacts_enrolment(shown), _saver(kept))
    write_message(output, device.ask.encode())
    ids, hello = (shown.deployment_id, shown.member_id), home / f"{name}.hello"
    write_message(hello, Hello(*ids, bytes(32), bytes(32), (), "program").encode())
    if str(output) == "-":
        return
    terms = device.ask.letters.terms
    data = {
        "output": str(output),
        "hello": str(hello),
        "recovery": device.digest.hex(),
        "needed": terms.needed,
        "contacts": [row.contact_id.hex() for row in device.ask.letters.rows],
    }
    terminal.result(
        data,
        done(f"Wrote {output}. {terms.needed} of {terms.count} contacts are needed, it says."),
        next_steps(f"twinlock member contacts reply CONTACT {output} -o FILE     (each contact)"),
    )


def open_reply(
    terminal: Terminal,
    name: NameArgument,
    reply: Annotated[
        Path, typer.Argument(metavar="REPLY", help="What the contact wrote with `reply`.")
    ],
    output: OutputOption,
    home: HomeOption = HOME,
) -> None:
    """Take a contact's reply, and show the code to read out to that contact alone.

    [dim]twinlock member contacts open weber anna.reply -o anna.opening[/dim]
    """
    raw = read_message(reply, "recovery reply")
    opened = _device(Who(name, home)).open(raw)
    write_message(output, opened.opening)
    if str(output) == "-":
        return
    data = {
        "output": str(output),
        "contact": decode_reply(raw).contact_id.hex(),
        "code": opened.code,
    }
    terminal.result(
        data,
        done(f"Wrote {output}"),
        facts([("read this out", show_code(opened.code))]),
        next_steps(f"twinlock member contacts confirm CONTACT {output} --code …     (the contact)"),
    )


def take(
    terminal: Terminal,
    name: NameArgument,
    share: Annotated[
        Path, typer.Argument(metavar="SHARE", help="What the contact wrote with `share`.")
    ],
    code: CodeOption,
    home: HomeOption = HOME,
) -> None:
    """Take a contact's share, with the code that the contact read back.

    [dim]twinlock member contacts take weber anna.share --code 87654321[/dim]
    """
    raw = read_message(share, "recovery share")
    missing = _device(Who(name, home)).accept(raw, code)
    data = {"contact": peek_share(raw).contact_id.hex(), "missing": missing}
    more = f"{missing} more are needed." if missing else "These suffice."
    step = f"twinlock member contacts finish {name} BUNDLE --groups FILE --new-key FILE -o FILE"
    terminal.result(
        data,
        done(f"The share is the one that was made. {more}"),
        *([] if missing else [next_steps(step)]),
    )


def finish(
    terminal: Terminal,
    name: NameArgument,
    bundle: MemberBundleArgument,
    groups: Annotated[
        Path,
        typer.Option(metavar="FILE", help="From `twinlock group bundle --for NAME.hello`."),
    ],
    output: OutputOption,
    without_group: WithoutGroupOption = None,
    new: NewFactors = NewFactors(),
    using: Using = Using(),
) -> None:
    """Put the shares together, and make new keys, with a new way in. The old ones all end.

    Further factors that the contacts' way in needs are given as usual (--passphrase-env, …).

    [dim]twinlock member contacts finish weber weber.bundle --groups g.bundle -o FILE …[/dim]
    """
    who, device = Who.of(name, using), _device(Who.of(name, using))
    server = FromServer(read_message(bundle, "member bundle"), read_message(groups, "group bundle"))
    known = _known(device, server)
    wanted = new.wanted(who, _pinned(device))
    if wanted.nothing:
        raise CallerError(
            "member.no-factor",
            "Nothing was named that the member shall open with from now on.",
            hint="Name --new-key, --new-password, --new-recovery or another; see --help.",
        )
    with reached(terminal, who.service, name) as service:
        further = factors_for(_further(known), terminal, who, known, service)
        with making(terminal, wanted, service) as made:
            change = recover(
                device,
                server,
                [new.way(made)],
                FileHome(who.state_file),
                sharing=sharing(),
                factors=further,
                logins=made.logins,
                logins_of=made.logins_of,
                scram_alone=new.scram_alone,
                sole_passkey=new.sole_passkey,
                without=without_group or (),
            )
            write_message(output, change)
    if str(output) == "-":
        return
    data = {"output": str(output), "member": name, "factors": made.kinds, **made.facts}
    terminal.result(
        data,
        done(f"{name} has new keys, as soon as the server has taken {output}."),
        *made.shown,
        next_steps(
            f"twinlock member accept {output}     (server)",
            f"twinlock group bundle --for {who.home / name}.hello -o {name}.groups     (server)",
            f"twinlock member contacts settle {name} {name}.groups",
        ),
    )


def settle(
    terminal: Terminal,
    name: NameArgument,
    groups: Annotated[
        Path, typer.Argument(metavar="BUNDLE", help="From `group bundle`, after `member accept`.")
    ],
    using: Using = Using(),
) -> None:
    """End the recovery: check that the groups know the new keys, and keep the member here.

    [dim]twinlock member contacts settle weber weber.groups[/dim]
    """
    who, kept = Who.of(name, using), FileHome(Who.of(name, using).state_file)
    news = read_message(groups, "group bundle")
    staged = kept.staged()
    if staged is None:
        raise CallerError(
            "revocation.none",
            "No recovery of this member waits here for the server.",
            hint="Run `twinlock member contacts finish` first.",
        )
    known = Known.of(staged[0])
    online = bool(who.service or terminal.config_named)
    way = choose_way(known, who, online=online)
    with reached(terminal, who.service, name) as service:
        factors = factors_for(way.kinds, terminal, who, known, service)
        with finish_revocation(kept, factors, news) as agent:
            data = {"member": name, "state": str(who.state_file), "groups": len(agent.groups)}
    _kept_file(who).unlink(missing_ok=True)
    terminal.warn("The contacts led to the old keys: choose them again.")
    terminal.result(
        data,
        done(f"{name} is back."),
        next_steps(f"twinlock member contacts set {name} CONTACT… --group GROUP --needed K"),
    )


def _device(who: Who) -> NewDevice:
    """Go on with a recovery. Raises CallerError ``recovery.not-begun`` or ``format.*``."""
    kept = _kept_file(who)
    if not kept.exists():
        raise CallerError(
            "recovery.not-begun",
            f"No recovery of {who.name} is under way in the folder {who.home}.",
            hint="Begin with `twinlock member contacts request`, or name the folder with --home.",
        )
    return NewDevice.resume(read_private(kept, max_size=MAX_KEPT), _saver(kept))


def _known(device: NewDevice, server: FromServer) -> Known:
    """What is known of the member: the token from the contacts, the way in that shares open.

    Raises CallerError ``recovery.too-few``.
    """
    place = device.ask.request.place
    if device.missing:
        raise too_few(len(device.said), device.ask.letters.terms.needed)
    blobs = decode_member_bundle(server.member).blobs
    found = [e for e in map(decode_enrolment, blobs) if e.place == place]
    ids = (place.deployment_id, place.member_id)
    return Known(device.ask.name, *ids, _pinned(device), found)


def _pinned(device: NewDevice) -> DeploymentCard:
    """The token that the contacts' logs name; ``recover`` checks that all name the same."""
    return DeploymentCard(device.ask.request.place.deployment_id, device.said[0].identity)


def _further(known: Known) -> list[str]:
    return [kind for e in known.enrolments for kind in e.kinds if kind != KIND]


def _kept_file(who: Who) -> Path:
    return who.home / f"{who.name}.recovering"


def _saver(path: Path) -> Callable[[bytes], None]:
    return lambda kept: write_private(path, kept)
