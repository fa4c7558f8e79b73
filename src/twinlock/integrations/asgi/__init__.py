"""The HTTP flow for ASGI applications: ``TwinlockMiddleware`` in front, ``Releases`` inside.

``MemberRoutes`` beside it: where members sign in and reach their ways in.
"""

from twinlock.integrations.asgi.exchange import ReleaseNeeded
from twinlock.integrations.asgi.member_sign_in import SignedIn
from twinlock.integrations.asgi.members import MemberRoutes
from twinlock.integrations.asgi.middleware import TwinlockMiddleware
from twinlock.integrations.asgi.pending import Limits
from twinlock.integrations.asgi.releases import Releases, SyncReleases

__all__ = [
    "Limits",
    "MemberRoutes",
    "ReleaseNeeded",
    "Releases",
    "SignedIn",
    "SyncReleases",
    "TwinlockMiddleware",
]
