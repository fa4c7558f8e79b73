"""``twinlock member contacts``: recovery of a member by k of n others, step by step."""

from __future__ import annotations

from twinlock.cli.command import command, new_app
from twinlock.cli.member import aid, contacts, recover_contacts

app = new_app(
    "Recovery by contacts: K of N other members together bring a member back.\n\n"
    "The new device: [bold]request[/bold], [bold]open[/bold] each reply and read the code out, "
    "[bold]take[/bold] each share, [bold]finish[/bold], [bold]settle[/bold]. Each contact: "
    "[bold]reply[/bold], [bold]confirm[/bold] with the code, [bold]share[/bold] after the waiting "
    "time. Files go by any way; what two people read to each other makes them trustworthy."
)

command(app, "set", rich_help_panel="The member")(contacts.set_contacts)
command(app, "show", rich_help_panel="The member")(contacts.show)
command(app, "cancel", rich_help_panel="The member")(contacts.cancel_recovery)
command(app, "request", rich_help_panel="The new device")(recover_contacts.request)
command(app, "open", rich_help_panel="The new device")(recover_contacts.open_reply)
command(app, "take", rich_help_panel="The new device")(recover_contacts.take)
command(app, "finish", rich_help_panel="The new device")(recover_contacts.finish)
command(app, "settle", rich_help_panel="The new device")(recover_contacts.settle)
command(app, "reply", rich_help_panel="A contact")(aid.reply)
command(app, "confirm", rich_help_panel="A contact")(aid.confirm)
command(app, "share", rich_help_panel="A contact")(aid.share)
