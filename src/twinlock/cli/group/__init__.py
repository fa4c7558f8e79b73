"""``twinlock group``: groups, their members and their rules."""

from __future__ import annotations

from twinlock.cli.command import command, new_app
from twinlock.cli.group import exchange, found, people, settings, show

app = new_app(
    "Groups: who opens what. Every change is a signed entry of the group's log.\n\n"
    "A change is made in one step where agent and server are one machine. Else write it with "
    "[bold]--propose FILE[/bold] and hand it to [bold]group append[/bold] on the server."
)

command(app, "list", rich_help_panel="Look")(show.list_groups)
command(app, "show", rich_help_panel="Look")(show.show)
command(app, "log", rich_help_panel="Look")(show.log)
command(app, "found", rich_help_panel="People")(found.found)
command(app, "invite", rich_help_panel="People")(people.invite)
command(app, "add", rich_help_panel="People")(people.add)
command(app, "remove", rich_help_panel="People")(people.remove)
command(app, "leave", rich_help_panel="People")(people.leave)
command(app, "new-epoch", rich_help_panel="People")(people.new_epoch)
command(app, "set-admins", rich_help_panel="Rules")(settings.set_admins)
command(app, "set-writers", rich_help_panel="Rules")(settings.set_writers)
command(app, "set-policy", rich_help_panel="Rules")(settings.set_policy)
command(app, "set-identity", rich_help_panel="Rules")(settings.set_identity)
command(app, "bundle", rich_help_panel="Between agents and server")(exchange.bundle)
command(app, "append", rich_help_panel="Between agents and server")(exchange.append)
command(app, "cosign", rich_help_panel="Between agents and server")(exchange.cosign)
command(app, "trust", rich_help_panel="Between agents and server")(exchange.trust)
