"""``twinlock device-key``: a member's device keys, their backups, and the system's keyring."""

from __future__ import annotations

from twinlock.cli.command import command, new_app
from twinlock.cli.device_key import backups, moving

app = new_app(
    "Device keys: backups on paper and on a stick, and the system's keyring.\n\n"
    "A check such as 7K3M-9QTX says which key is meant. It stands on the printed page and in "
    "[bold]list[/bold], and helps nobody to find the key."
)

command(app, "backup")(backups.backup)
command(app, "restore")(backups.restore)
command(app, "check")(backups.check)
command(app, "to-keyring")(moving.to_keyring)
command(app, "from-keyring")(moving.from_keyring)
command(app, "list")(moving.list_keys)
