"""What keeps the memory token out of production: it refuses to exist there."""

from __future__ import annotations

import os
from collections.abc import Mapping

from twinlock.errors import CallerError
from twinlock.server.config import Config, load_config


def refuse_production(config: Config | None, environment: Mapping[str, str] = os.environ) -> None:
    """Raise CallerError ``testing.production`` if this is, or may be, a production process.

    That is: ``config`` says so, TWINLOCK_ENV is ``production``, or TWINLOCK_CONFIG names a
    configuration that says so. One that cannot be read raises ``config.*``: nobody can tell.
    """
    why = None
    if config is not None and config.production:
        why = "the configuration that it was given is one for production"
    elif environment.get("TWINLOCK_ENV", "").strip().lower() == "production":
        why = "TWINLOCK_ENV is production"
    elif (named := environment.get("TWINLOCK_CONFIG")) and load_config(named).production:
        why = "TWINLOCK_CONFIG names a configuration for production"
    if why is not None:
        raise CallerError(
            "testing.production",
            f"A token in memory protects nothing and does not start here: {why}.",
            hint="Connect the HSM with Vault.connect(), or test with a development configuration.",
        )
