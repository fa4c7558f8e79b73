"""``twinlock member``: people, on their own computers. Only ``list`` runs on the server."""

from __future__ import annotations

from twinlock.cli.command import command, new_app
from twinlock.cli.member import (
    contacts_app,
    create,
    enrol,
    factors,
    kept,
    recover,
    revoke,
    session,
    show,
)

app = new_app(
    "People: their keys, cards and sessions, on their own computers.\n\n"
    "These commands need neither the token nor the database; only [bold]accept[/bold], "
    "[bold]bundle[/bold] and [bold]list[/bold] run on the server."
)

command(app, "create")(create.create)
command(app, "enrol")(enrol.enrol)
command(app, "factors")(factors.factors)
command(app, "change")(enrol.change)
command(app, "drop")(enrol.drop)
command(app, "revoke")(revoke.revoke)
command(app, "recover")(recover.recover)
command(app, "publish")(enrol.publish)
command(app, "card")(session.card)
command(app, "hello")(session.hello)
command(app, "follow")(session.follow)
command(app, "show")(show.show)
command(app, "accept")(kept.accept)
command(app, "bundle")(kept.bundle)
command(app, "list")(kept.list_members)
app.add_typer(contacts_app.app, name="contacts")
