"""The HTTP flow for ASGI applications: ``TwinlockMiddleware`` in front, ``Releases`` inside."""

from twinlock.integrations.asgi.exchange import ReleaseNeeded
from twinlock.integrations.asgi.middleware import TwinlockMiddleware
from twinlock.integrations.asgi.pending import Limits
from twinlock.integrations.asgi.releases import Releases, SyncReleases

__all__ = ["Limits", "ReleaseNeeded", "Releases", "SyncReleases", "TwinlockMiddleware"]
