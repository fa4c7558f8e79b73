"""Letting a member answer for a test's HTTP client."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from twinlock.errors import CallerError

if TYPE_CHECKING:
    from twinlock.integrations.http_answering import AnswersRequests


@contextmanager
def answering(client: Any, agent: AnswersRequests, *, explicit: bool) -> Iterator[None]:
    """While the block runs, ``agent`` answers the client's requests that need a release.

    ``client`` is of httpx or of a library like it, such as the one that Starlette's TestClient is
    made of. Blocks nest. Raises CallerError ``testing.client``.
    """
    # Here, because tests that use no HTTP client need not have the packages of one.
    from twinlock.integrations.http_answering import Answering

    before = getattr(client, "auth", None)
    library = _library_of(client)
    if library is None or not (before is None or isinstance(before, Answering)):
        raise CallerError(
            "testing.client",
            "This client cannot be answered for: it is none of httpx, or signs in with auth=.",
            hint="Sign in with cookies or headers of an httpx client or a TestClient.",
        )
    auth = type("AgentAuth", (Answering, library.Auth), {})
    client.auth = auth(agent, explicit=explicit)
    try:
        yield
    finally:
        client.auth = before


def _library_of(client: Any) -> Any:
    """The module whose client this is: the root of the class that knows ``auth``."""
    roots = [kind.__module__.partition(".")[0] for kind in type(client).__mro__]
    return next((sys.modules[r] for r in roots if hasattr(sys.modules.get(r), "Auth")), None)
