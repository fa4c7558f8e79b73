"""``twinlock member``: people, on their own computers. Only ``list`` runs on the server."""

from __future__ import annotations

from twinlock.cli.command import command, new_app
from twinlock.cli.member import create, session, show

app = new_app(
    "People: their keys, cards and sessions, on their own computers.\n\n"
    "These commands need neither the token nor the database; only [bold]list[/bold] runs on "
    "the server."
)

command(app, "create")(create.create)
command(app, "add-enrolment")(create.enrol_again)
command(app, "card")(session.card)
command(app, "hello")(session.hello)
command(app, "follow")(session.follow)
command(app, "show")(show.show)
command(app, "list")(show.list_members)
